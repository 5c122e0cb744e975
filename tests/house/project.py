"""What pyproject.toml says, for the house rules that build on it."""

import ast
import tomllib
from pathlib import Path
from typing import Any

from tests.house.tree import PACKAGE, ROOT

# TOML is a tree of anything: whoever asks knows the shape of the branch it asks for.
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def contract(contract_id: str) -> dict[str, Any]:
    """Find an import-linter contract."""
    contracts: list[dict[str, Any]] = PROJECT["tool"]["importlinter"]["contracts"]
    return next(c for c in contracts if c["id"] == contract_id)


def deciding_modules() -> list[Path]:
    """List the files that the contract `pure-is-pure` names; those that only declare decide nothing."""
    named = [
        ROOT.joinpath(*name.split(".")) for name in contract("pure-is-pure")["source_modules"]
    ]
    files: set[Path] = set()
    for path in named:
        files.update(path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")])
    return sorted(f for f in files if _decides(f))


def own_test_of(module: Path) -> Path:
    """Name the unit test file of a module: syncd/a/b.py -> tests/unit/a/test_b.py."""
    inner = module.relative_to(PACKAGE)
    return ROOT / "tests" / "unit" / inner.parent / f"test_{inner.name}"


def _decides(module: Path) -> bool:
    if not module.is_file():
        return True  # named, and not there: let the test say so
    tree = ast.parse(module.read_text("utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.Lambda) for node in ast.walk(tree))
