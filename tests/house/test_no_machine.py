"""No file names the machine it was written on, nor the places that machine takes its packages from."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, project_files

# Says nothing about a machine.
PUBLIC = {"localhost"}
TOO_COMMON = {
    Path(p) for p in ("/", "/home", "/root", "/opt", "/srv", "/tmp", "/usr/src", "/var")
}
HOST = re.compile(r"[a-z+]+://(?:[^/\s\"'@]*@)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
SETTINGS = (
    "/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf",
    "/etc/uv/uv.toml", "~/.config/uv/uv.toml", "/etc/apt/sources.list",
)  # fmt: skip
SETTING_FOLDERS = ("/etc/apt/sources.list.d", "/etc/apt/apt.conf.d")
SETTING_WORDS = re.compile(r"index|proxy|registry", re.IGNORECASE)


def machine_paths() -> Iterator[str]:
    """Give a pattern for each folder whose mention would give this machine away."""
    for folder in (ROOT, ROOT.parent, Path.home()):
        if folder not in TOO_COMMON:
            yield rf"(?<![A-Za-z0-9_.]){re.escape(str(folder))}/"


def package_hosts() -> set[str]:
    """Read the hosts out of this machine's settings for pip, uv and apt."""
    texts = [value for name, value in os.environ.items() if SETTING_WORDS.search(name)]
    files = [Path(name).expanduser() for name in SETTINGS]
    files += [f for folder in SETTING_FOLDERS for f in Path(folder).glob("*")]
    if "PIP_CONFIG_FILE" in os.environ:
        files.append(Path(os.environ["PIP_CONFIG_FILE"]))
    texts += [
        f.read_text("utf-8", "replace") for f in files if f.is_file() and os.access(f, os.R_OK)
    ]
    hosts = {host for text in texts for host in HOST.findall(text)}
    return {h for h in hosts if h not in PUBLIC and not h.startswith("127.")}


FILES = [path for path in project_files() if not path.is_symlink()]


def files_with(patterns: list[str], files: list[Path]) -> list[str]:
    """List the files that match; what they match stays unsaid, a test's output may be public."""
    if not patterns:
        return []
    found = re.compile("|".join(patterns).encode())
    return [path.name for path in files if found.search(path.read_bytes())]


def test_no_file_names_a_folder_of_this_machine() -> None:
    assert files_with(list(machine_paths()), FILES) == []


def test_no_file_names_a_package_source() -> None:
    assert files_with([re.escape(host) for host in package_hosts()], FILES) == []


def test_a_planted_path_would_be_found(tmp_path: Path) -> None:
    guilty = tmp_path / "guilty.md"
    guilty.write_text(f"see {ROOT}/README.md")
    assert files_with(list(machine_paths()), [guilty]) == ["guilty.md"]


def test_a_planted_host_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = https://user:pw@packages.corp.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    assert "packages.corp.example" in package_hosts()
