"""The command line: `syncd COMMAND`. Command modules import what is heavy when they run."""

import importlib.metadata
import os
import sys
from typing import Annotated

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
from syncd.cli.output import say
from syncd.errors import SyncdError

app = typer.Typer(
    name="syncd",
    help="Keeps an organisation's mailboxes and its application in step.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (demo_command, run, status, mailbox, send, queue, message, quarantine, config):
    module.register(app)
for module in (secret, sandbox, later):
    module.register(app)


@app.callback()
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    """Take what stands before the command."""
    if version:
        say(f"syncd {importlib.metadata.version('syncd')}")
        raise typer.Exit(Exit.DONE)


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
