"""`syncd status`: what runs, what waits, what is wrong."""

import typer

from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import plain, print_fields, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Show mailboxes by state, the queue, the store, and every open alert."""
    from syncd.cli.road import over_road

    facts = over_road(config, lambda road: road.get("/api/v1/status"), needs_daemon=False)
    if json:
        print_json(facts)
        return
    alerts = facts.pop("alerts")
    print_fields(facts)
    say()
    if not alerts:
        say("no open alerts")
    for alert in alerts:
        say(f"[{alert['level']}] {plain(alert['text'])}")
        say(f"    what to do: {plain(alert['remedy'])}  (seen {alert['count']} times)")
