"""`syncd secret …`: keys and sealed secrets."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from syncd.cli.output import print_json, remark, say

group = typer.Typer(no_args_is_help=True, help="Keys and sealed secrets.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="secret")


@group.command("new-key")
def new_key(*, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Print one key line for encryption.keys; keep it in a file of mode 0600."""
    del config  # taken as by every command: a key is made from nothing
    from syncd.vault.keys import new_key_line

    line = new_key_line()
    if json:
        print_json({"key": line})
    else:
        say(line)


@group.command("encrypt")
def encrypt(
    *,
    sealed_for: Annotated[
        str, typer.Option("--for", metavar="ADDRESS|PROFILE", help="Whose secret it is.")
    ],
    outgoing: Annotated[
        bool, typer.Option("--outgoing", help="For separate outgoing credentials.")
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Use this key file instead of the configuration's keys."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Seal a secret read from the prompt or standard input, bound to object and server."""
    from syncd.cli.sealing import prepare_sealing, seal_clear

    # Prepared first: nobody should type a password that cannot be sealed.
    ring, binding = prepare_sealing(
        sealed_for, config=config, key_file=key_file, outgoing=outgoing
    )
    sealed = seal_clear(ring, binding, read_secret(f"secret for {sealed_for}: "))
    if json:
        print_json({"encrypted": sealed})
        return
    remark("write this in place of the secret:")
    say(f'{{encrypted: "{sealed}"}}')


def read_secret(prompt: str) -> str:
    """Read one secret: hidden at a terminal, one line otherwise."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(prompt)
    return sys.stdin.readline().rstrip("\r\n")
