"""Every notebook runs from top to bottom on a small run, defines nothing and keeps no output."""

import ast
import os
import shutil
import time
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def code_of(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_there_are_five() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01_predictions",
        "02_lstm_vs_gru",
        "03_inside_the_gates",
        "04_bias_and_order",
        "05_timelines",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_keeps_no_output_defines_nothing_and_names_the_run_first(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    sources = code_of(path)
    assert '("../runs")' in sources[0]
    for source in sources:
        code = "\n".join(line for line in source.splitlines() if not line.startswith("%"))
        defined = [
            node
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)
        ]
        assert not defined


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_on_any_run_within_a_minute(path: Path, tiny_run: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="pip install 'actionrnn[notebooks]'")
    pytest.importorskip("ipykernel", reason="pip install 'actionrnn[notebooks]'")
    shutil.copytree(tiny_run, tmp_path / "runs" / "tiny")
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path / "notebooks")}},
    )
    started = time.process_time(), os.times().children_user
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    errors = [out for cell in cells for out in cell.outputs if out.output_type == "error"]
    assert not errors
    assert any("image/png" in out.get("data", {}) for cell in cells for out in cell.outputs)
    # Processor time, not the clock: the machine may be busy with other things.
    assert time.process_time() - started[0] + os.times().children_user - started[1] < 60
