"""`python docs/make_modules.py` writes docs/modules.md: every module with the first line of its docstring."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "pcdarts"
PAGE = ROOT / "docs" / "modules.md"
HEAD = """# Every module, in a line

Written by `python docs/make_modules.py` from the docstrings: change them, not this page. A folder imports only from
the folders that `tests/test_layers.py` lists before it; [architecture.md](architecture.md) says why the house stands
as it does.
"""


def first_line(path: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0].rstrip(".")


def page() -> str:
    """The page as it should be."""
    parts = [HEAD]
    for folder in sorted({path.parent for path in PACKAGE.rglob("*.py")}):
        name = folder.relative_to(PACKAGE.parent).as_posix()
        parts.append(f"\n## `{name}/`\n\n{first_line(folder / '__init__.py')}.\n\n| module | what it is |\n|---|---|\n")
        for path in sorted(folder.glob("*.py")):
            if path.name != "__init__.py":
                parts.append(f"| `{path.name}` | {first_line(path).replace('|', chr(92) + '|')} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
