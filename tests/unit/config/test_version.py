"""What refusals call this version is the version of the project."""

import tomllib
from pathlib import Path

from syncd.config.values import VERSION


def test_refusals_name_the_projects_version() -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    version = tomllib.loads(project.read_text())["project"]["version"]
    assert version.rpartition(".")[0] == VERSION
