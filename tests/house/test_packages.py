"""Packages are folders with an essay, not places where code hides."""

import ast
from pathlib import Path

import pytest

from tests.house.tree import PACKAGE, ROOT, shown

INIT_FILES = sorted(PACKAGE.rglob("__init__.py"))
PACKAGE_FOLDERS = sorted({module.parent for module in PACKAGE.rglob("*.py")})


@pytest.mark.parametrize("path", INIT_FILES, ids=shown)
def test_an_init_file_is_a_docstring_and_nothing_else(path: Path) -> None:
    body = ast.parse(path.read_text("utf-8")).body
    assert len(body) == 1, f"{shown(path)} holds more than a docstring"
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)


@pytest.mark.parametrize("folder", PACKAGE_FOLDERS, ids=shown)
def test_every_folder_with_code_is_a_package(folder: Path) -> None:
    assert (folder / "__init__.py").is_file()


def test_the_types_travel_with_the_package() -> None:
    assert (ROOT / "syncd" / "py.typed").is_file()
