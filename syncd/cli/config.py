"""`syncd config …`: check, schema, show. None of them needs a daemon."""

from typing import Annotated

import typer

from syncd.cli.exits import Exit
from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import counted, plain, print_json, print_table, remark, say

group = typer.Typer(no_args_is_help=True, help="The configuration: check, schema, show.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="config")


@group.command("check")
def check(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Print every error with file:line:column; exit status 78 when there is one.

    What is allowed but probably not meant is a warning. Secrets that only the daemon can read
    (its credentials, its environment, files of its user) are listed as not checked.
    """
    from syncd.cli.environment import environment
    from syncd.config.load import ConfigError, load_settings
    from syncd.config.remarks import unread, warnings

    try:
        settings = load_settings(config, environ=environment(), merely_looking=True)
    except ConfigError as error:
        if json:
            print_json({"ok": False, "problems": [p.as_json() for p in error.problems]})
        else:
            for problem in error.problems:
                remark(plain(str(problem)))
            count = counted(len(error.problems), "problem", "problems")
            remark(f"{count}; nothing was started or changed")
        raise typer.Exit(Exit.CONFIGURATION) from None
    counts = {"profiles": len(settings.profiles), "mailboxes": len(settings.mailboxes)}
    doubtful, unchecked = warnings(settings), unread(settings)
    if json:
        print_json(
            {
                "ok": True,
                "problems": [],
                "warnings": [warning.as_json() for warning in doubtful],
                "not_checked": [secret.as_json() for secret in unchecked],
                **counts,
            }
        )
        return
    for warning in doubtful:
        remark(plain(f"warning: {warning}"))
    for secret in unchecked:
        remark(plain(f"not checked here: {secret}"))
    say(f"{config}: {_verdict(**counts, unchecked=len(unchecked))}")


def _verdict(profiles: int, mailboxes: int, unchecked: int) -> str:
    counts = ", ".join(
        (
            counted(profiles, "profile", "profiles"),
            counted(mailboxes, "mailbox", "mailboxes"),
        )
    )
    if not mailboxes:
        return f"{counts}: nothing to do"
    secrets = counted(unchecked, "secret", "secrets")
    return f"{counts}: good, but for {secrets} not checked" if unchecked else f"{counts}: good"


@group.command("schema")
def schema(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Print the JSON Schema that editors use."""
    del config, json  # taken as by every command: it is JSON anyway, and one for all files
    from syncd.config.load import json_schema

    print_json(json_schema())


@group.command("show")
def show(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    key: Annotated[str | None, typer.Argument(help="Only keys that start so.")] = None,
    json: JsonOption = False,
) -> None:
    """Show every value in effect and where it comes from; secrets as ***."""
    from syncd.cli.environment import environment
    from syncd.config.load import load_settings
    from syncd.config.show import effective

    values = [
        value
        for value in effective(
            load_settings(config, environ=environment(), merely_looking=True)
        )
        if key is None or value.key.startswith(key)
    ]
    if json:
        print_json([{"key": v.key, "value": v.value, "origin": v.origin} for v in values])
        return
    print_table(("KEY", "VALUE", "FROM"), ((v.key, v.value, v.origin) for v in values))
