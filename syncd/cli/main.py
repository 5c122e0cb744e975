"""The command line: `syncd COMMAND`. Command modules import what is heavy when they run."""

import os
import sys

import typer

from syncd.cli import (
    config,
    demo_command,
    later,
    mailbox,
    message,
    quarantine,
    queue,
    run,
    sandbox,
    secret,
    send,
    status,
)
from syncd.cli.exits import Exit, complain, exit_status
from syncd.errors import SyncdError

app = typer.Typer(
    name="syncd",
    help="Keeps an organisation's mailboxes and its application in step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (demo_command, run, status, mailbox, send, queue, message, quarantine, config):
    module.register(app)
for module in (secret, sandbox, later):
    module.register(app)


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        try:
            app(prog_name="syncd")
        finally:
            # Here, not at the interpreter's end: a full disk below a redirect is an error.
            sys.stdout.flush()
    except SyncdError as error:
        complain(error)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _forget_output()
        sys.exit(Exit.FAILED)
    except OSError as error:
        _forget_output()
        place = f"{error.filename}: " if error.filename else ""
        complain(SyncdError(f"{place}{error.strerror or error}"))
        sys.exit(Exit.FAILED)


def _forget_output() -> None:
    """Point standard output at nothing: Python would try, and complain, once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
