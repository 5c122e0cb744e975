"""The command line: `syncd COMMAND`. Command modules import what is heavy when they run."""

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
        app(prog_name="syncd")
    except SyncdError as error:
        complain(error)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has gone; Python would complain again while flushing.
        sys.stderr.close()
        sys.exit(Exit.FAILED)
