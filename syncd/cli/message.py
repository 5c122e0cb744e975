"""`syncd message …`: incoming messages as stored."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import JsonValue, print_fields, print_json, print_table, remark

group = typer.Typer(no_args_is_help=True, help="Incoming messages: list, show, export.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="message")


@group.command("list")
def list_messages(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    mailbox: Annotated[str | None, typer.Option(help="Only of this address.")] = None,
    json: JsonOption = False,
) -> None:
    """List stored messages, oldest first."""
    from syncd.cli.client import Road
    from syncd.cli.road import over_road

    async def collect(road: Road) -> list[JsonValue]:
        return [
            item async for item in road.pages("/api/v1/messages", mailbox=mailbox, limit=500)
        ]

    items = over_road(config, collect, needs_daemon=False)
    if json:
        print_json({"items": items, "next": None})
        return
    print_table(
        ("ID", "MAILBOX", "STATE", "STORED AT", "BYTES", "FROM", "SUBJECT"),
        (
            (
                item["id"],
                item["address"],
                item["state"],
                item["stored_at"],
                item["octets"],
                item["from"],
                item["subject"],
            )
            for item in items
        ),
    )


@group.command("show")
def show(
    message_id: Annotated[int, typer.Argument(metavar="ID")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show what is known of one message."""
    from syncd.cli.road import over_road

    facts = over_road(
        config, lambda road: road.get(f"/api/v1/messages/{message_id}"), needs_daemon=False
    )
    if json:
        print_json(facts)
    else:
        print_fields(facts)


@group.command("export")
def export(
    message_ids: Annotated[list[int] | None, typer.Argument(metavar="ID…")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every message.")] = False,
    mailbox: Annotated[str | None, typer.Option(help="With --all: of this address.")] = None,
    maildir: Annotated[
        Path | None, typer.Option(help="Write into this Maildir, made if absent.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Write the exact bytes of messages: one to standard output, many into a Maildir."""
    from syncd.cli.client import Road
    from syncd.cli.export import write_maildir, write_stream
    from syncd.cli.road import over_road

    ids = message_ids or []
    if every == bool(ids):
        raise typer.BadParameter("name message IDs, or --all")
    if maildir is None and (every or len(ids) != 1):
        raise typer.BadParameter("several messages need --maildir DIR")

    async def go(road: Road) -> list[JsonValue]:
        if maildir is None:
            await write_stream(road, ids[0], sys.stdout.buffer)
            return []
        return await write_maildir(road, maildir, None if every else ids, mailbox)

    written = over_road(config, go, needs_daemon=False)
    if maildir is None:
        return
    if json:
        print_json({"items": written, "next": None})
    else:
        remark(f"{len(written)} messages written to {maildir}")
