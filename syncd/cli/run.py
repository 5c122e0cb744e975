"""`syncd run`, the daemon, and `syncd once`, one round for cron, scripts and benchmarks."""

import asyncio
from typing import Annotated

import typer

from syncd.cli.exits import Exit
from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import plain, print_json, say


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("run")(run)
    app.command("once")(once)


def run(*, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; logs go to standard error."""
    from syncd.cli.environment import environment
    from syncd.config.load import load_settings
    from syncd.daemon.run import run_daemon

    environ = environment()
    settings = load_settings(config, environ=environ)
    raise typer.Exit(asyncio.run(run_daemon(settings, environ)))


def once(
    addresses: Annotated[list[str] | None, typer.Argument(metavar="ADDRESS…")] = None,
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Poll every mailbox once, send what is due, print a summary, exit."""
    from syncd.cli.environment import environment
    from syncd.cli.mailbox import print_report
    from syncd.config.load import load_settings
    from syncd.daemon.once import run_once

    environ = environment()
    settings = load_settings(config, environ=environ)
    summary = asyncio.run(run_once(settings, environ, addresses or []))
    if json:
        print_json(summary)
    else:
        for report in summary["mailboxes"]:
            print_report(report)
        for waiting in summary["not_polled"]:
            say(f"{waiting['address']}: not polled: {plain(waiting['why'])}")
        for failure in summary["sent"]["failures"]:
            say(f"{failure['address']}: not sent: {plain(failure['cause'])}")
            say(f"    the server said: {plain(failure['words'])}")
            say(f"    what to do: {plain(failure['remedy'])}")
        say(summary["summary"])
    if not summary["ok"]:
        raise typer.Exit(Exit.FAILED)
