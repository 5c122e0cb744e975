"""Configurations on disk, for tests."""

from collections.abc import Mapping
from pathlib import Path

from syncd.config.load import ConfigError, load_settings
from syncd.config.schema import Settings

KEY_LINE = "syncd-key-v1:Z2VoZWltLWdlaGVpbS1nZWhlaW0tZ2VoZWltLWdlaGU="
"""A well-formed key (its octets begin with "geheim"), for configurations that need one."""

PROFILE = """\
profiles:
  - name: contoso
    type: pop3-smtp
    default: true
    incoming: {server: pop3.contoso.com}
    outgoing: {server: smtp.contoso.com}
"""

MAILBOX = """\
mailboxes:
  - address: ann@contoso.com
    credentials: {username: ann, password: geheim}
"""


def written(folder: Path, text: str, name: str = "syncd.yaml", mode: int = 0o600) -> Path:
    """Write a file below a folder and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Write a configuration and load it."""
    return load_settings(written(folder, text), environ=environ or {})


def problems(path: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the problems of a configuration as they are printed, less the folder."""
    try:
        load_settings(path, environ=environ or {})
    except ConfigError as error:
        return [_without(path.parent, str(problem)) for problem in error.problems]
    return []


def _without(folder: Path, sentence: str) -> str:
    return sentence.replace(f"{folder}/", "").replace(str(folder), "FOLDER")
