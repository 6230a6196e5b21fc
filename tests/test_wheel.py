"""The built wheel, installed in a fresh environment and run outside of the repository.

The environment sees the packages of this one, but not this checkout: what is proven is that the
wheel holds all of the package (modules, styles, recipes), not that its dependencies can be had.
"""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an environment that has the wheel."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    tracked = ["actionrnn", "configs", "pyproject.toml", "setup.py", "MANIFEST.in"]
    source = folder / "source"  # a build leaves things where it is done
    source.mkdir()
    run("cp", "-r", *(CHECKOUT / name for name in [*tracked, "README.md", "LICENSE"]), source,
        cwd=folder)  # fmt: skip
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", source, "--no-deps", "--no-build-isolation", "-w", folder / "dist",
        cwd=folder)  # fmt: skip
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    run(*pip, "--python", folder / "venv" / "bin" / "python", "install", "--no-deps", "--no-index",
        built, cwd=folder)  # fmt: skip
    # A path in a .pth file is searched, but the .pth files in it (of this checkout) are not read.
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"


@pytest.mark.slow
def test_the_wheel_holds_the_recipes_and_finds_them_by_name(wheel: Path, tmp_path: Path) -> None:
    where = run(wheel / "python", "-c", "import actionrnn; print(actionrnn.__file__)", cwd=tmp_path)
    assert str(wheel.parent) in where.stdout
    listed = json.loads(run(wheel / "actionrnn", "recipes", "--json", cwd=tmp_path).stdout)
    shipped = {path.relative_to(CHECKOUT / "configs") for path in CHECKOUT.glob("configs/*/*.yaml")}
    assert {Path(each["path"]).parent.name + "/" + each["name"] for each in listed} == {
        str(path.with_suffix("")) for path in shipped
    }
    assert all(str(wheel.parent) in each["path"] for each in listed)
    help_text = run(wheel / "actionrnn", "--help", cwd=tmp_path).stdout
    assert "actionrnn demo" in help_text


@pytest.mark.slow
def test_the_demo_works_from_the_wheel(wheel: Path, tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "synthetic").symlink_to(tiny_data)
    shown = run(wheel / "actionrnn", "demo", cwd=tmp_path)
    assert "mean pool" in shown.stdout
    assert "demo_gru" in shown.stderr
    assert len(list((tmp_path / "runs").rglob("best.ckpt"))) == 3
    (run_folder,) = (tmp_path / "runs" / "demo_gru").iterdir()
    page = run(wheel / "actionrnn", "report", run_folder, cwd=tmp_path)
    assert Path(tmp_path, page.stdout.strip()).stat().st_size > 10_000
