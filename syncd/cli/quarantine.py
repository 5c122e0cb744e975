"""`syncd quarantine …`: messages that could not be taken."""

from typing import Annotated
from urllib.parse import quote

import typer

from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import JsonValue, print_json, print_table, say

group = typer.Typer(no_args_is_help=True, help="What could not be taken: list, replay, drop.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="quarantine")


@group.command("list")
def list_quarantine(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """List messages that could not be taken, with the reason and the next try."""
    items = _all(config, needs_daemon=False)
    if json:
        print_json({"items": items, "next": None})
        return
    print_table(
        ("ID", "MAILBOX", "KEPT", "SINCE", "TRIES", "NEXT TRY", "REASON"),
        (
            (
                item["id"],
                item["address"],
                "in the store" if item["stored"] else "on the server",
                item["since"],
                f"{item['attempts']} of {item['most_attempts']}",
                item["next_try_at"],
                item["reason"],
            )
            for item in items
        ),
    )


@group.command("replay")
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Judge messages again, or fetch them again where the server would not hand them out."""
    _act("replay", ids or [], every=every, config=config, json=json)


@group.command("drop")
def drop(
    ids: Annotated[list[str], typer.Argument(metavar="ID…")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Give messages up: not tried again, nothing deleted on the server."""
    _act("drop", ids, every=False, config=config, json=json)


def _act(verb: str, ids: list[str], *, every: bool, config: ConfigOption, json: bool) -> None:
    from syncd.cli.client import Road
    from syncd.cli.road import Results, ask_each, over_road

    async def go(road: Road) -> Results:
        chosen = ids
        if every:
            chosen = [item["id"] async for item in road.pages("/api/v1/quarantine")]
        elif not chosen:
            raise typer.BadParameter("name an ID, or --all")
        return await ask_each(
            chosen, lambda one: road.post(f"/api/v1/quarantine/{quote(one, safe='')}/{verb}")
        )

    results = over_road(config, go, needs_daemon=True)
    if json:
        print_json({"items": results.items, "next": None})
    else:
        for item in results.items:
            say(f"{item['id']}: {item['result']}")
        if not results.items and not results.failures:
            say("nothing is quarantined")
    results.end()


def _all(config: ConfigOption, *, needs_daemon: bool) -> list[JsonValue]:
    from syncd.cli.client import Road
    from syncd.cli.road import over_road

    async def collect(road: Road) -> list[JsonValue]:
        return [item async for item in road.pages("/api/v1/quarantine")]

    return over_road(config, collect, needs_daemon=needs_daemon)
