"""The documents name what exists: files, functions, tests, and links."""

import ast
import re
import tomllib
from pathlib import Path

import make_modules
import pytest
import yaml

import pcdarts
from pcdarts.config.methods.recipes import VARIANTS
from pcdarts.methods.methods import METHODS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "pcdarts"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], key=str)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_spans(page: Path) -> list[str]:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def file_of(name: str) -> Path | None:
    """The file that a page means: below the root, or below the package."""
    return next((path for path in (ROOT / name, PACKAGE / name) if path.is_file()), None)


def defined_in(path: Path) -> set[str]:
    """The functions, classes, methods (`Class.method`) and constants that a module defines."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_module_and_test_that_a_page_names_exists(page: Path) -> None:
    missing = []
    for span in code_spans(page):
        name, _, member = span.partition("::")
        if not re.fullmatch(r"[\w./]+\.py", name) or not ("/" in name or member):
            continue  # not a path of ours: the authors' scripts are named without a folder
        path = file_of(name)
        if path is None or (member and member not in defined_in(path)):
            missing.append(span)
    assert not missing


def test_every_row_of_the_paper_map_names_code_or_says_that_there_is_none() -> None:
    lines = (ROOT / "docs" / "paper-map.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith(("|---", "| paper |", "| figure |"))]
    assert len(rows) > 50
    assert [row for row in rows if ".py" not in row and "not built yet" not in row and "above" not in row] == []


def test_every_deviation_has_a_number_of_its_own() -> None:
    text = (ROOT / "docs" / "deviations.md").read_text("utf-8")
    numbers = re.findall(r"^(\d+)\. ", text, flags=re.MULTILINE)
    assert sorted(set(numbers)) == sorted(numbers)
    assert len(numbers) > 90


def test_the_page_of_methods_has_a_row_for_each_method_and_variant_and_for_no_other() -> None:
    built = (ROOT / "docs" / "methods.md").read_text("utf-8")
    rows = {line.split(" | ")[0].strip("| `"): line for line in built.splitlines() if line.startswith("| `")}
    assert sorted(rows) == sorted([*METHODS, *VARIANTS])
    for name, method in METHODS.items():
        module = method.__module__.removeprefix("pcdarts.").replace(".", "/")
        file, test = re.findall(r"\(\.\./(\S+)\)", rows[name])
        assert file == f"src/pcdarts/{module}.py"
        assert test.startswith("tests/methods/")
        assert (ROOT / test).is_file()
    assert all(row.count(" | ") == 9 for row in rows.values())


def test_the_page_of_modules_is_what_their_docstrings_say() -> None:
    assert make_modules.PAGE.read_text("utf-8") == make_modules.page(), "run python docs/make_modules.py"


def test_every_module_says_in_one_line_what_it_is() -> None:
    assert [path for path in PACKAGE.rglob("*.py") if not make_modules.first_line(path)] == []


def test_the_architecture_page_lists_every_folder_in_the_words_of_its_docstring() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for folder in {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}:
        name = folder.relative_to(PACKAGE).as_posix()
        assert f"| `{name}/` | {make_modules.first_line(folder / '__init__.py')}. |" in page


def test_a_folder_holds_few_files() -> None:
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in PACKAGE.rglob("*.py")}}
    assert {folder.name: count for folder, count in counts.items() if count > 16} == {}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_of_a_page_resolves(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    paths = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [path for path in paths if path and not (page.parent / path).exists()] == []


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert project["version"] == citation["version"] == pcdarts.__version__
    assert f"## [{pcdarts.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
