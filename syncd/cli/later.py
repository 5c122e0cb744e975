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

LATER_IN_GROUPS = {
    "mailbox": {
        "test": "`syncd mailbox poll ADDRESS` connects, logs in and lists",
        "enable": "a mailbox whose poll succeeds is enabled: `syncd mailbox poll ADDRESS`",
        "disable": "set `enabled: false` on the mailbox and restart the daemon",
        "reset": "what was left alone stays on the server",
        "set": "change the configuration and restart the daemon",
        "revert": "change the configuration and restart the daemon",
        "rename": "an address is what a mailbox is known by",
        "purge": "a mailbox removed from the configuration is parked",
        "set-credentials": "`syncd secret encrypt --for ADDRESS`, then restart the daemon",
        "apply-defaults": "change the configuration and restart the daemon",
    },
    "queue": {
        "hold": "`syncd queue cancel ID` stops a message for good",
        "release": "`syncd queue retry ID` sends a held message",
    },
    "secret": {"rotate": "put the new key first and seal each secret anew"},
    "config": {"export": "the configuration is the YAML you wrote; `syncd config show`"},
}
"""The same for commands inside groups."""


def register(app: typer.Typer) -> None:
    """Add the refusals; they do not clutter `--help`."""
    for name, instead in LATER.items():
        _add(app, name, name, instead)
    groups = {info.name: info.typer_instance for info in app.registered_groups}
    for group_name, commands in LATER_IN_GROUPS.items():
        group = groups[group_name]
        assert group is not None  # noqa: S101 - every group here was registered with one
        for name, instead in commands.items():
            _add(group, name, f"{group_name} {name}", instead)


def _add(app: typer.Typer, name: str, said: str, instead: str) -> None:
    app.command(
        name,
        hidden=True,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_refusal(said, instead))


def _refusal(name: str, instead: str) -> Callable[[], None]:
    def refuse() -> None:
        remark(f"syncd: `syncd {name}` is not in this version of syncd; {instead}")
        raise typer.Exit(Exit.USAGE)

    return refuse
