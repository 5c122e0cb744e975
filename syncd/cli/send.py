"""`syncd send`: a message into the outgoing queue."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import JsonValue, print_json, say
from syncd.errors import Refused


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send)


def send(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="An RFC 5322 message; absent or -: standard input.",
            exists=True,
            dir_okay=False,
            readable=True,
            allow_dash=True,
        ),
    ] = None,
    *,
    sender: Annotated[
        str | None, typer.Option("--from", help="The mailbox; absent: the From header's.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option(help="Recipients instead of To, Cc and Bcc.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--idempotency-key", help="The same key queues the same message once."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Queue a message; it is committed before this command returns."""
    import asyncio

    from syncd.cli.client import Road, mailbox_path, open_road

    raw = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
    headers = {"content-type": "message/rfc822"}
    if key is not None:
        if not (key.isascii() and key.isprintable()):
            raise Refused("--idempotency-key", "must be printable ASCII, as HTTP headers are")
        headers["idempotency-key"] = key

    async def go() -> JsonValue:
        async with open_road(config, needs_daemon=False, writes=True) as road:
            return await queue(road)

    async def queue(road: Road) -> JsonValue:
        address = sender or _from_address(raw)
        return await road.post(
            mailbox_path(address, "outgoing"), raw, headers, recipient=to or None
        )

    accepted = asyncio.run(go())
    if json:
        print_json(accepted)
        return
    say(f"queued as {accepted['id']}, {accepted['message_id']}")
    for recipient in accepted["recipients"]:
        say(f"    to {recipient['address']}: {recipient['state']}")


def _from_address(raw: bytes) -> str:
    """Find the mailbox that a message names as its sender."""
    from syncd.outgoing.compose import from_address

    return from_address(raw)
