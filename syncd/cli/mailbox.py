"""`syncd mailbox …`: list, show, poll, approve, reject."""

from typing import Annotated

import typer

from syncd.cli.exits import Exit
from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import JsonValue, print_fields, print_json, print_table, say

group = typer.Typer(no_args_is_help=True, help="Mailboxes: list, show, poll, approve.")
Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS…")]
All = Annotated[bool, typer.Option("--all", help="Every mailbox.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="mailbox")


@group.command("list")
def list_mailboxes(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    profile: Annotated[str | None, typer.Option(help="Only this profile's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    json: JsonOption = False,
) -> None:
    """List mailboxes with the state of both directions."""
    from syncd.cli.client import Road
    from syncd.cli.road import over_road

    async def collect(road: Road) -> list[JsonValue]:
        return [
            item async for item in road.pages("/api/v1/mailboxes", profile=profile, state=state)
        ]

    items = over_road(config, collect, needs_daemon=False)
    if json:
        print_json({"items": items, "next": None})
        return
    print_table(
        (
            "ADDRESS",
            "TYPE",
            "PROFILE",
            "APPROVAL",
            "INCOMING",
            "OUTGOING",
            "NEXT POLL",
            "TAKEN",
        ),
        (
            (
                item["address"],
                item["type"],
                item["profile"],
                item["approval"]["state"],
                item["incoming"]["state"],
                item["outgoing"]["state"],
                item["incoming"]["next_at"],
                item["incoming"]["taken_total"],
            )
            for item in items
        ),
    )


@group.command("show")
def show(
    address: str, *, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Show everything known of one mailbox."""
    from syncd.cli.client import mailbox_path
    from syncd.cli.road import over_road

    facts = over_road(config, lambda road: road.get(mailbox_path(address)), needs_daemon=False)
    if json:
        print_json(facts)
    else:
        print_fields(facts)


@group.command("poll")
def poll(
    addresses: Annotated[list[str] | None, typer.Argument(metavar="ADDRESS…")] = None,
    *,
    every: All = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Poll mailboxes now, joining a poll under way, and show what came."""
    from syncd.cli.client import Road, mailbox_path
    from syncd.cli.road import Results, ask_each, over_road

    async def go(road: Road) -> Results:
        chosen = [*(addresses or [])]
        if every:
            chosen = [item["address"] async for item in road.pages("/api/v1/mailboxes")]
        if not chosen:
            raise typer.BadParameter("name an ADDRESS, or --all")
        return await ask_each(chosen, lambda one: road.post(mailbox_path(one, "poll")))

    results = over_road(config, go, needs_daemon=True)
    if json:
        print_json({"items": results.items, "next": None})
    else:
        for report in results.items:
            print_report(report)
    results.end()
    if any(report["result"] != "ok" for report in results.items):
        raise typer.Exit(Exit.FAILED)


@group.command("approve")
def approve(
    addresses: Annotated[list[str] | None, typer.Argument(metavar="ADDRESS…")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every pending mailbox.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Let syncd connect to these mailboxes."""
    _judge("approve", addresses or [], every=every, config=config, json=json)


@group.command("reject")
def reject(
    addresses: Addresses, *, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False
) -> None:
    """Forbid syncd to connect to these mailboxes."""
    _judge("reject", addresses, every=False, config=config, json=json)


def _judge(
    verb: str, addresses: list[str], *, every: bool, config: ConfigOption, json: bool
) -> None:
    from syncd.cli.client import Road, mailbox_path
    from syncd.cli.road import Results, ask_each, over_road

    async def go(road: Road) -> Results:
        chosen = addresses
        if every:
            chosen = [
                item["address"]
                async for item in road.pages("/api/v1/mailboxes", state="unapproved")
            ]
        elif not chosen:
            raise typer.BadParameter("name an ADDRESS, or --all")
        return await ask_each(chosen, lambda one: road.post(mailbox_path(one, verb)))

    results = over_road(config, go, needs_daemon=True)
    if json:
        print_json({"items": results.items, "next": None})
    else:
        for item in results.items:
            approval = item["approval"]
            say(f"{item['address']}: {approval['state']} by {approval['by']}")
        if not results.items and not results.failures:
            say("nothing waits for approval")
    results.end()


def print_report(report: JsonValue) -> None:
    """Print what one poll brought, for a person."""
    say(f"{report['address']}: {report['summary']}")
    failure = report.get("failure")
    if failure:
        print_fields(failure, indent="    ")
