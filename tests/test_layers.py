"""Imports point one way: a stage may import an earlier one, never a later one."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "actionrnn"
ROOMS = (
    "version",
    "errors",
    "cache",
    "places",
    "files",
    "memory",
    "process",
    "launcher",
    "progress",
    "run_copies",
    "video",
    "datasets",
    "features",
    "models",
    "training",
    "evaluation",
    "diagnosis",
    "explain",
    "live",
    "export",
    "report",
    "cli",
    "commands",
    "__main__",
    "__init__",
)
HEAVY = ("torch", "torchvision", "pytorch_lightning", "decord", "av", "timm", "pandas", "numpy")

FRONT_DOOR = (
    "cli.py",
    "__init__.py",
    "__main__.py",
    "errors.py",
    "launcher.py",
    "memory.py",
    "process.py",
    "version.py",
)


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


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_imported(path: Path) -> set[str]:
    modules = imported_modules(ast.parse(path.read_text()))
    ours = [module.split(".") for module in modules if module.split(".")[0] == "actionrnn"]
    return {parts[1] if len(parts) > 1 else "__init__" for parts in ours}


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up(path: Path) -> None:
    own = ROOMS.index(room_of(path))
    for room in rooms_imported(path):
        assert ROOMS.index(room) <= own, f"{path} imports the later {room}"


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in FILES} == set(ROOMS)


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").rglob("*.py")), ids=lambda p: p.name)
def test_models_are_pure_torch(path: Path) -> None:
    modules = {module.split(".")[0] for module in imported_modules(ast.parse(path.read_text()))}
    assert modules <= {"torch", "actionrnn", *sys.stdlib_module_names} - {"os", "pathlib", "io"}
    assert rooms_imported(path) <= {"models", "errors"}


@pytest.mark.parametrize("name", FRONT_DOOR)
def test_the_front_door_imports_nothing_heavy(name: str) -> None:
    top_level = ast.Module(
        [n for n in ast.parse((PACKAGE / name).read_text()).body if not isinstance(n, ast.If)], []
    )
    at_import = [node for node in top_level.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = imported_modules(ast.Module(at_import, []))
    assert not {module.split(".")[0] for module in modules} & set(HEAVY)


TRAINING = {"pytorch_lightning", "torchmetrics", "scipy", "matplotlib"}
NETWORKS = {"torchvision", "torch._dynamo", "timm"}


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("extract --data.roott x", TRAINING | NETWORKS),
        ("features info none", TRAINING | NETWORKS),
        ("verify none", {"torch", *TRAINING, *NETWORKS}),
        ("prepare folder --source none", {"torch", *TRAINING, *NETWORKS}),
        ("recipes", {"torch", "pandas", *TRAINING, *NETWORKS}),
        ("fit --model.cel gru", {"optuna", "sklearn", "timm", "decord"}),
    ],
)
def test_a_verb_imports_only_what_it_needs(command: str, unneeded: set[str]) -> None:
    code = (
        "import sys; from actionrnn.cli import main; main(sys.argv[1:]); "
        f"print('imported:', {unneeded} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "imported: set()"
