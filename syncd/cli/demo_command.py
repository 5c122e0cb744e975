"""`syncd demo`: the real daemon beside a sandbox mail server and an outside ledger."""

from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    *,
    seconds: Annotated[
        float | None, typer.Option(help="End after this long, with the books; absent: Ctrl-C.")
    ] = None,
    kill_every: Annotated[
        float | None, typer.Option(help="Kill (SIGKILL) and restart the daemon this often.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Keep configuration, store and log here.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """See mail arrive, be answered and leave; exit status 0 only if the books balance."""
    from syncd.cli.demo import run_demo

    raise typer.Exit(
        run_demo(seconds=seconds, kill_every=kill_every, json=json, directory=directory)
    )
