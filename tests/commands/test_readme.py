"""Every command and the Python of README are run, word for word but for their size."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
PLACES = {"COPY": "runs/mine", "WHERE_IT_IS_NOW": "data/synthetic", "RUN_A": "runs/mine"}
PLACES |= {"RUN_B": "runs/other", "RUN": "runs/mine", "...": "runs/mine", "FOLDER": "shared"}
ELSEWHERE = {  # needs a network, a camera, or an official dataset: where it is tested instead
    "actionrnn prepare kth --download": "tests/datasets/test_download.py",
    "actionrnn prepare ucf101 --source FOLDER --root data/ucf101": (
        "tests/datasets/test_official.py"
    ),
    "actionrnn folds --config configs/experiment/ucf101.yaml": "tests/datasets/test_official.py",
    "actionrnn compare --config own --refit false --trainer.max_epochs 15 "
    "--features.transform.flip false --backbones mobilenet_v2,squeezenet1_1 --space own "
    "--trials 4 --inner 2 --seeds 3": ("tests/commands/test_backbones.py"),
    "actionrnn live 0 --ckpt_path RUN": "tests/live/test_recorder.py",
    "actionrnn calibrate --events --ckpt_path RUN --streams true.csv --alarms_per_hour 1": (
        "tests/live/test_thresholds.py"
    ),
}
CODES = {"actionrnn verify --duplicates data/mine": 3}  # rendered clips do look alike
SMALL = [
    "--features.backbone.name=squeezenet1_1",
    "--features.backbone.weights=random",
    "--features.transform.size=32",
    "--trainer.max_epochs=2",
]
SMALLER = {
    "fit": SMALL,
    "folds": SMALL,
    "sweep": [*SMALL, "--trials=2"],
    "compare": [*SMALL, "--heads=gru,mean_pool"],
    "explain": ["--num_clips=4"],
}


def blocks() -> list[tuple[str, str]]:
    """The code blocks of README with the heading that they stand under."""
    found, heading = [], ""
    for part in re.split(r"^(?=## )", README, flags=re.MULTILINE):
        heading = part.partition("\n")[0].removeprefix("## ")
        found += [(heading, code) for code in re.findall(r"^```\w*\n(.*?)^```", part, re.M | re.S)]
    return found


def commands() -> list[str]:
    """The lines of code that call `actionrnn` or what it wrote, without comments, in order."""
    lines = [line.partition(" #")[0].strip() for _, code in blocks() for line in code.splitlines()]
    return [line for line in lines if line.startswith(("actionrnn ", "python "))]


@pytest.fixture(scope="module")
def workshop(tiny_data: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what README speaks of: own videos, a long one, runs, data."""
    folder = tmp_path_factory.mktemp("workshop")
    manifest = Manifest.load(tiny_data)
    videos = manifest.video_paths()
    notes = ["video,start,end,label\n"]
    for path, label in zip(videos, manifest.table["label"], strict=True):
        place = folder / "my_videos" / str(label) / path.stem / path.name
        place.parent.mkdir(parents=True)
        shutil.copy(path, place)
        notes.append(f"{place.relative_to(folder / 'my_videos')},0.0,0.2,{label}\n")
    (folder / "notes.csv").write_text("".join(notes))
    (folder / "more_videos").mkdir()
    for name in ("new", "clip", "long", "more_videos/another"):
        shutil.copy(videos[0], folder / f"{name}.mp4")
    for name in ("mine", "other"):
        shutil.copytree(tiny_run, folder / "runs" / name)
    for name in ("synthetic", "fights"):
        shutil.copytree(tiny_data, folder / "data" / name)
    (folder / "configs").symlink_to(CHECKOUT / "configs")
    return folder


def words_of(line: str) -> list[str]:
    """A line's words with places for its names in capitals, and so that it takes seconds."""
    names = re.compile("|".join(rf"(?<![\w.]){re.escape(name)}(?![\w.])" for name in PLACES))
    words = [names.sub(lambda found: PLACES[found[0]], word) for word in shlex.split(line)][1:]
    if words[0] == "fit" and "--ckpt_path" in words:
        return words
    return words + (
        SMALLER.get(words[0], []) if "--config" in words or words[0] == "explain" else []
    )


def test_commands_that_are_run_elsewhere_are_there() -> None:
    assert set(ELSEWHERE) <= set(commands())
    assert all((CHECKOUT / file).is_file() for file in ELSEWHERE.values())
    assert {line.split()[1] for line in README.splitlines() if line.startswith("make ")} <= set(
        re.findall(r"^(\w[\w-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    )


@pytest.mark.slow
def test_every_command_runs(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workshop)
    failed = []
    for line in commands():
        if line in ELSEWHERE:
            continue
        words = words_of(line)
        if line.startswith("python "):
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(words[0], run_name="__main__")
        elif (code := main(words)) != CODES.get(line, 0):
            failed.append((code, line))
    assert not failed


@pytest.mark.slow
def test_the_python_runs(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workshop)
    (code,) = [code for _, code in blocks() if code.startswith("from actionrnn")]
    first = Manifest.load(workshop / "data" / "synthetic").split("split1", "test").table
    names = {"video_id": str(first["video_id"].iloc[0])}
    shutil.copytree("data/synthetic", "data/of_python")
    for store in sorted(Path("data/of_python/features").iterdir())[1:]:
        shutil.rmtree(store)
    for old, new in {"runs/mine/TIME": "runs/mine", "data/mine": "data/of_python"}.items():
        code = code.replace(old, new)
    exec(code, names)
