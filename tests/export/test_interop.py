"""Other tools read what is written for them, and what they write comes back the same."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from torchvision import datasets
from torchvision.datasets.folder import find_classes, make_dataset

from actionrnn.cli import main
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own.folder import prepare as prepare_folder
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.export.layouts import write_layout


def sides(manifest: Manifest, *wanted: str) -> set[str]:
    rows = manifest.table[manifest.table["split1"].isin(wanted)]
    return {Path(path).stem for path in rows["path"]}


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51"])
def test_torchvision_selects_the_same_clips(layout: str, tiny_data: Path, tmp_path: Path) -> None:
    assert main(["interop", layout, str(tiny_data), str(tmp_path / "out")]) == 0
    manifest = Manifest.load(tiny_data)
    root, lists = tmp_path / "out" / "videos", tmp_path / "out" / "splits"
    classes, index = find_classes(root)
    assert classes == sorted(manifest.class_names)
    videos = [path for path, _ in make_dataset(str(root), index, ("avi",))]
    assert len(videos) == len(manifest.table)
    reader = getattr(datasets, "UCF101" if layout == "ucf101" else "HMDB51")
    known = reader.__new__(reader)  # what reads the lists; opening videos is torchvision's
    known.root = str(root)
    for train, wanted in ((True, ("train", "val")), (False, ("test",))):
        chosen = known._select_fold(videos, str(lists), 1, train)
        assert {Path(videos[k]).stem for k in chosen} == sides(manifest, *wanted)


def test_kinetics_and_fiftyone_layouts_come_back_as_they_were(
    tiny_data: Path, tmp_path: Path
) -> None:
    manifest = Manifest.load(tiny_data)
    labels = {Path(p).stem: k for p, k in zip(manifest.table["path"], manifest.table["label"])}  # noqa: B905
    for layout in ("kinetics", "fiftyone"):
        assert main(["interop", layout, str(tiny_data), str(tmp_path / layout), "--copy"]) == 0
        back = prepare_folder(tmp_path / layout, tmp_path / f"{layout}-back", allow_leak=True)
        found = {Path(p).stem: k for p, k in zip(back.table["path"], back.table["label"])}  # noqa: B905
        assert found == labels
        if layout == "kinetics":
            for side in ("train", "val", "test"):
                assert sides(back, side) == sides(manifest, side)
            assert find_classes(tmp_path / layout / "train")[0] == sorted(manifest.class_names)


def test_what_a_layout_cannot_hold_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(tiny_data)
    with pytest.raises(ActionRNNError, match="is there already"):
        write_layout(manifest, "fiftyone", tmp_path)
    with pytest.raises(ActionRNNError, match="no split column 'split9'"):
        write_layout(manifest, "kinetics", tmp_path / "a", "split9")
    parts = Manifest(tiny_data, manifest.table.assign(end_seconds=0.2), manifest.class_names)
    with pytest.raises(ActionRNNError, match="parts of longer files"):
        write_layout(parts, "fiftyone", tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """A table of three clips, one of them unreadable."""
    rows = {
        "video_id": ["a", "b", "c"], "path": ["a b.mp4", "b,c.mp4", "c.mp4"],
        "label": ["run", "walk", "run"], "split1": ["test"] * 3,
    }  # fmt: skip
    manifest = Manifest(tmp_path, pd.DataFrame(rows), ["run", "walk"])
    logits = torch.tensor([[[2.0, 0.0]], [[1.0, 0.0]], [[float("nan")] * 2]])
    Predictions.from_logits(manifest, "test", logits, {"c": "broken"}).save(
        tmp_path / "predictions.parquet"
    )
    return tmp_path


def test_label_studio_and_cvat_get_every_readable_clip(predicted: Path) -> None:
    target = predicted / "tasks.json"
    assert main(["interop", "labelstudio", str(predicted), str(target), "--prefix", "s3://x/"]) == 0
    tasks = json.loads(target.read_text())
    assert [task["data"]["video"] for task in tasks] == ["s3://x/a b.mp4", "s3://x/b,c.mp4"]
    (result,) = tasks[1]["predictions"][0]["result"]
    assert result["value"] == {"choices": ["run"]}
    assert tasks[0]["predictions"][0]["score"] == pytest.approx(0.880797)

    assert main(["interop", "cvat", str(predicted), str(predicted / "cvat.json")]) == 0
    made = json.loads((predicted / "cvat.json").read_text())
    # Datumaro 1.13 was seen to import this: `Dataset.import_from(FOLDER, "datumaro")`.
    assert made["media_type"] == 1
    assert set(made["items"][0]) == {"id", "annotations", "attr", "media"}
    names = [label["name"] for label in made["categories"]["label"]["labels"]]
    assert [names[item["annotations"][0]["label_id"]] for item in made["items"]] == ["run", "run"]

    assert main(["interop", "cvat", str(predicted), str(predicted / "t.csv")]) == 0
    with (predicted / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["video"], row["pred"], row["correct"]) for row in rows] == [
        ("a b.mp4", "run", "True"),
        ("b,c.mp4", "run", "False"),
    ]


def test_another_ending_is_an_error(predicted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interop", "cvat", str(predicted), str(predicted / "t.xml")]) == 1
    assert ".json or .csv" in capsys.readouterr().err
