"""Commands of the contract that this version does not have yet: refused with a sentence."""

from collections.abc import Callable

import typer

from syncd.cli.exits import Exit
from syncd.cli.output import remark

LATER = {
    "init": "write the configuration by hand; config/syncd.yaml is a commented example",
    "reload": "check the file with `syncd config check`, then restart the daemon",
    "top": "look at `syncd status` and `syncd mailbox list`",
    "explain": "look at `syncd mailbox show ADDRESS` or `syncd queue show ID`",
    "adopt": "a store belongs to the instance whose name it remembers",
    "pause": "set `enabled: false` on the profile and restart the daemon",
    "resume": "remove `enabled: false` from the profile and restart the daemon",
    "profile": "look at `syncd config show`",
    "diagnose": "`syncd mailbox poll ADDRESS` shows phase, server's words and remedy",
    "alerts": "open alerts are part of `syncd status`",
    "history": "the log on standard error says what was done",
    "jobs": "there are no background jobs yet",
    "audit": "`syncd message list` shows what is stored",
    "oauth": "only passwords are supported",
    "import": "set process_email_from to the moment of the change",
    "backup": "stop the daemon and copy the store file, or use `sqlite3 FILE '.backup COPY'`",
    "restore": "stop the daemon and put the copied store file in its place",
    "store": "the store is checked and migrated when the daemon starts",
    "cluster": "one node is supported",
}
"""Command → what to do instead."""


def register(app: typer.Typer) -> None:
    """Add the refusals; they do not clutter `--help`."""
    for name, instead in LATER.items():
        app.command(
            name,
            hidden=True,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_refusal(name, instead))


def _refusal(name: str, instead: str) -> Callable[[], None]:
    def refuse() -> None:
        remark(f"syncd: `syncd {name}` is not in this version of syncd; {instead}")
        raise typer.Exit(Exit.USAGE)

    return refuse
