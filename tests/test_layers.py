"""Imports point one way: a stage may import an earlier one, never a later one."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "actionrnn"
LAYERS = (
    "errors",
    "files",
    "memory",
    "process",
    "progress",
    "video",
    "datasets",
    "features",
    "models",
    "training",
    "evaluation",
    "diagnosis",
    "explain",
    "export",
    "report",
    "cli",
    "commands",
    "__main__",
)
HEAVY = ("torch", "torchvision", "pytorch_lightning", "decord", "av", "timm", "pandas", "numpy")

FRONT_DOOR = ("cli.py", "__init__.py", "__main__.py", "errors.py", "memory.py", "process.py")


def imported_modules(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(module: str) -> str:
    return module.split(".")[1]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up(path: Path) -> None:
    own = LAYERS.index(path.relative_to(PACKAGE).with_suffix("").parts[0])
    for module in imported_modules(ast.parse(path.read_text())):
        if module.startswith("actionrnn.") and layer_of(module) in LAYERS:
            assert LAYERS.index(layer_of(module)) <= own, f"{path} imports the later {module}"


def test_every_package_has_a_layer() -> None:
    found = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    assert found - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("name", FRONT_DOOR)
def test_the_front_door_imports_nothing_heavy(name: str) -> None:
    top_level = ast.Module(
        [n for n in ast.parse((PACKAGE / name).read_text()).body if not isinstance(n, ast.If)], []
    )
    at_import = [node for node in top_level.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = imported_modules(ast.Module(at_import, []))
    assert not {module.split(".")[0] for module in modules} & set(HEAVY)
