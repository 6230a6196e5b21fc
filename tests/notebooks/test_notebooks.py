"""Every notebook runs from top to bottom on a small run, defines nothing and keeps no output."""

import ast
import os
import shutil
import time
from pathlib import Path

import nbformat
import pytest

import actionrnn

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def code_of(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_they_are_numbered() -> None:
    assert [int(path.stem[:2]) for path in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_keeps_no_output_defines_nothing_and_imports_public_names(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    code = "\n".join(line for source in code_of(path) for line in lines_of(source))
    nodes = list(ast.walk(ast.parse(code)))
    assert not [n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
    modules = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    assert not [name for name in modules if name.startswith("actionrnn.")]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("actionrnn"):
            assert node.module == "actionrnn"
            assert {alias.name for alias in node.names} <= set(actionrnn.__all__)


def lines_of(source: str) -> list[str]:
    """Without Jupyter's own commands."""
    return [line for line in source.splitlines() if not line.startswith("%")]


@pytest.mark.slow
def test_they_run_on_any_run_within_a_minute(tiny_run: Path, tmp_path: Path) -> None:
    """One after another in one kernel, each with no name of the one before."""
    nbclient = pytest.importorskip("nbclient", reason="pip install 'actionrnn[notebooks]'")
    pytest.importorskip("ipykernel", reason="pip install 'actionrnn[notebooks]'")
    shutil.copytree(tiny_run, tmp_path / "runs" / "tiny")
    (tmp_path / "notebooks").mkdir()
    parts = [nbformat.read(path, as_version=4).cells for path in NOTEBOOKS]
    cells = [cell for part in parts for cell in (nbformat.v4.new_code_cell("%reset -f"), *part)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path / "notebooks")}},
    )
    started = time.process_time(), os.times().children_user
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    for part in parts:
        outputs = [out for cell in part if cell.cell_type == "code" for out in cell.outputs]
        assert not [out for out in outputs if out.output_type == "error"]
        assert any("image/png" in out.get("data", {}) for out in outputs)
    # Processor time, not the clock: the machine may be busy with other things.
    assert time.process_time() - started[0] + os.times().children_user - started[1] < 60
