"""The project's own files, as the house rules look at them."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "syncd"

_NOT_OURS = {".git", ".venv", ".cache", ".hypothesis", "__pycache__", "build", "dist"}
_BY_TOOLS = ("_cache", ".egg-info")


def project_files() -> Iterator[Path]:
    """Walk everything that is, or could be, committed. Not by git: a source archive has the same rules."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(
            f for f in folders if f not in _NOT_OURS and not f.endswith(_BY_TOOLS)
        )
        yield from (Path(folder, name) for name in sorted(files))


def shown(path: Path) -> str:
    """Name a file the way a person in the project's folder would."""
    return str(path.relative_to(ROOT))
