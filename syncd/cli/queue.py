"""`syncd queue …`: the outgoing queue."""

from typing import Annotated

import typer

from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import JsonValue, print_fields, print_json, print_table, say

group = typer.Typer(no_args_is_help=True, help="The outgoing queue: list, show, retry, cancel.")
Ids = Annotated[list[int], typer.Argument(metavar="ID…")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="queue")


@group.command("list")
def list_queue(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    mailbox: Annotated[str | None, typer.Option(help="Only from this address.")] = None,
    json: JsonOption = False,
) -> None:
    """List outgoing messages, why each waits, and when it is tried next."""
    from syncd.cli.client import Road
    from syncd.cli.road import over_road

    async def collect(road: Road) -> list[JsonValue]:
        return [
            item async for item in road.pages("/api/v1/outgoing", state=state, mailbox=mailbox)
        ]

    items = over_road(config, collect, needs_daemon=False)
    if json:
        print_json({"items": items, "next": None})
        return
    print_table(
        ("ID", "STATE", "FROM", "TO", "SUBJECT", "TRIES", "NEXT", "WHY"),
        (
            (
                item["id"],
                item["state"],
                item["sender"],
                [recipient["address"] for recipient in item["recipients"]],
                item["subject"],
                item["attempts"],
                item["next_attempt_at"],
                item["reason"],
            )
            for item in items
        ),
    )


@group.command("show")
def show(
    outgoing_id: Annotated[int, typer.Argument(metavar="ID")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show one outgoing message: every recipient, every attempt, the servers' words."""
    from syncd.cli.road import over_road

    facts = over_road(
        config, lambda road: road.get(f"/api/v1/outgoing/{outgoing_id}"), needs_daemon=False
    )
    if json:
        print_json(facts)
        return
    recipients, history = facts.pop("recipients"), facts.pop("history")
    print_fields(facts)
    say()
    print_table(
        ("RECIPIENT", "STATE", "CODE", "SERVER SAID"),
        ((r["address"], r["state"], r["reply_code"], r["words"]) for r in recipients),
    )
    if history:
        say()
        print_table(
            ("TRIED AT", "SERVER", "PHASE", "RESULT", "SERVER SAID"),
            ((h["at"], h["server"], h["phase"], h["result"], h["words"]) for h in history),
        )


@group.command("retry")
def retry(ids: Ids, *, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Try messages again now; a failed one is tried for its refused recipients."""
    _act("retry", ids, config=config, json=json)


@group.command("cancel")
def cancel(
    ids: Ids, *, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Cancel messages; recipients that have an answer keep it."""
    _act("cancel", ids, config=config, json=json)


def _act(verb: str, ids: list[int], *, config: ConfigOption, json: bool) -> None:
    from syncd.cli.client import Road
    from syncd.cli.road import Results, ask_each, over_road

    async def go(road: Road) -> Results:
        return await ask_each(
            map(str, ids), lambda one: road.post(f"/api/v1/outgoing/{one}/{verb}")
        )

    results = over_road(config, go, needs_daemon=True)
    if json:
        print_json({"items": results.items, "next": None})
    else:
        for item in results.items:
            say(f"{item['id']}: {item['state']}")
    results.end()
