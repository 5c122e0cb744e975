"""`syncd config …`: check, schema, show. None of them needs a daemon."""

from typing import Annotated

import typer

from syncd.cli.exits import Exit
from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import plain, print_json, print_table, remark, say

group = typer.Typer(no_args_is_help=True, help="The configuration: check, schema, show.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="config")


@group.command("check")
def check(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Print every error with file:line:column; exit status 78 when there is one."""
    from syncd.cli.environment import environment
    from syncd.config.load import ConfigError, load_settings

    try:
        settings = load_settings(config, environ=environment(), merely_looking=True)
    except ConfigError as error:
        if json:
            print_json({"ok": False, "problems": [p.as_json() for p in error.problems]})
        else:
            for problem in error.problems:
                remark(plain(str(problem)))
            remark(f"{len(error.problems)} problem(s); nothing was started or changed")
        raise typer.Exit(Exit.CONFIGURATION) from None
    counts = {"profiles": len(settings.profiles), "mailboxes": len(settings.mailboxes)}
    if json:
        print_json({"ok": True, "problems": [], **counts})
    else:
        say(f"{config}: {counts['profiles']} profiles, {counts['mailboxes']} mailboxes: good")


@group.command("schema")
def schema() -> None:
    """Print the JSON Schema that editors use."""
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
