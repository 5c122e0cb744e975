"""`syncd sandbox`: the mail server of the demo by itself, with scripted misbehaviour."""

from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.options import JsonOption
from syncd.cli.output import plain, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sandbox")(sandbox)


def sandbox(
    *,
    mailboxes: Annotated[int, typer.Option(help="How many mailboxes.")] = 3,
    pop3_port: Annotated[int, typer.Option(help="0: a free one.")] = 0,
    smtp_port: Annotated[int, typer.Option(help="0: a free one.")] = 0,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM; with it the sandbox speaks TLS after STLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM; absent: in the certificate.")] = None,
    script: Annotated[
        Path | None, typer.Option(help="Misbehaviour as JSON; see syncd/sandbox/script.py.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a POP3 and SMTP server in memory, saying what happens, until Ctrl-C."""
    from syncd.sandbox.serve import Wishes, run_sandbox
    from syncd.sandbox.server import Settings

    wishes = Wishes(
        settings=Settings(pop3_port=pop3_port, smtp_port=smtp_port),
        mailboxes=mailboxes,
        certificate=certificate,
        key=key,
        script=script,
        json=json,
    )
    raise typer.Exit(run_sandbox(wishes, lambda line: say(plain(line))))
