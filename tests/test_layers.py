"""The house has one direction: a folder imports only from folders above it."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import pcdarts

PACKAGE = Path(pcdarts.__file__).parent
LAYERS = [
    "errors",
    "extras",
    "cache",
    "ops",
    "cell",
    "supernet",
    "methods",
    "network",
    "score",
    "truth",
    "config",
    "data",
    "run",
    "learn",
    "jobs",
    "detect",
    "bench",
    "ship",
    "timm_models",
    "launch",
    "study",
    "report",
    "rank",
    "own_images",
    "work",
    "from_python",
    "cli",
    "__main__",
]
SEES_NO_CONFIG = {"ops", "cell", "supernet", "methods", "network", "score", "truth"}
BELOW = {"config", "run", "learn", "jobs"}


def imported(path: Path) -> set[str]:
    """The parts of pcdarts that a module imports, anywhere in it."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("pcdarts.")}
    return parts


def imports_inside(folder: str) -> dict[str, set[str]]:
    """Which modules of a folder each of them imports, for its types too; `from package import module` counts."""
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in (PACKAGE / folder).rglob("*.py")
    }
    found = {}
    for module, path in paths.items():
        names = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        found[module] = names & set(paths)
    return found


def modules() -> list[tuple[str, Path]]:
    """Every module with the layer it lives in; the package's own __init__ only points at others."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if str(relative) != "__init__.py":
            found.append((relative.parts[0].removesuffix(".py"), path))
    return found


def test_every_module_lives_in_a_known_layer():
    assert {layer for layer, _ in modules()} == set(LAYERS)


def test_a_module_imports_only_from_layers_above_its_own():
    for layer, path in modules():
        below = [part for part in imported(path) if LAYERS.index(part) > LAYERS.index(layer)]
        assert not below, f"{path.relative_to(PACKAGE)} imports {below}"


def test_what_is_searched_and_trained_never_sees_a_configuration():
    for layer, path in modules():
        if layer in SEES_NO_CONFIG:
            assert not imported(path) & BELOW, path.relative_to(PACKAGE)


def test_no_modules_import_each_other_in_a_circle():
    imports = imports_inside("")
    del imports["pcdarts.__init__"]  # it only points at others
    assert len(imports) > 100
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(circle.args[1][::-1]))


def test_neither_way_of_computing_a_supernet_sees_the_supernet_or_the_other():
    imports = imports_inside("supernet")
    for module in ("plain.per_source", "native.cells", "reference"):
        others = {"supernet", "plain.per_source", "native.cells", "reference"} - {module}
        assert not imports[f"pcdarts.supernet.{module}"] & {f"pcdarts.supernet.{other}" for other in others}


def test_what_both_ways_of_computing_a_supernet_share_sees_neither():
    imports = imports_inside("supernet")
    ways = {module for module in imports if module.split(".")[2] in ("plain", "native", "supernet")}
    for module in ("arch", "edges", "masks", "parameters", "reference"):
        assert not imports[f"pcdarts.supernet.{module}"] & ways
