"""`python -m tests.house.smells`: what is worth a second look. It prints; it fails nothing.

Size is a smell, not a law: "which second question moved in here?"
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import PACKAGE, ROOT, shown

LONG_FILE = 400
LONG_FUNCTION = 50
TOOLS = (
    ("ruff", "check", "--select", "C901,PLR0912,PLR0915", "--exit-zero", "--output-format", "concise", "--quiet", "syncd"),
    ("vulture",),
)  # fmt: skip


def long_things(path: Path) -> Iterator[str]:
    """Say which file, and which of its functions, got long (in lines, docstring and comments included)."""
    text = path.read_text("utf-8")
    lines = text.count("\n")
    if lines > LONG_FILE:
        yield f"{shown(path)}: {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONG_FUNCTION:
                yield f"{shown(path)}:{node.lineno}: {node.name} has {length} lines"


def reports_of_tools() -> Iterator[str]:
    """Run the tools that measure complexity and look for dead code."""
    for name, *arguments in TOOLS:
        command = [str(Path(sys.executable).with_name(name)), *arguments]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        yield from found.stdout.splitlines()


def main() -> None:
    """Print every smell, one a line."""
    smells = [line for path in sorted(PACKAGE.rglob("*.py")) for line in long_things(path)]
    smells += reports_of_tools()
    sys.stdout.write("".join(f"smell: {line}\n" for line in smells))


if __name__ == "__main__":
    main()
