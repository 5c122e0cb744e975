"""Options that every command shares."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("/etc/syncd/syncd.yaml")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", envvar="SYNCD_CONFIG", help="The configuration file."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
