"""Your own folder of videos, and the surveillance fights, become manifests."""

from pathlib import Path

import pytest

from actionrnn.cli import main
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official import fights
from actionrnn.datasets.own import folder


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    for label in ("jump", "run fast"):
        for take in range(12):
            touch(tmp_path / "mine" / label / f"p{take // 2}_{take}.MP4")
        touch(tmp_path / "mine" / label / "notes.txt")
    return tmp_path / "mine"


def test_class_folders(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = folder.prepare(mine, tmp_path / "out")
    assert manifest.class_names == ["jump", "run fast"]
    assert len(manifest.table) == 24
    assert all(path.is_file() for path in Manifest.load(tmp_path / "out").video_paths())
    assert set(manifest.table["split1"]) == {"train", "val", "test"}
    assert "nothing says which clips come from the same recording" in capsys.readouterr().err


def test_groups_from_the_file_names(mine: Path, tmp_path: Path) -> None:
    manifest = folder.prepare(mine, tmp_path / "out", group_regex=r"^(p\d+)_", folds=3)
    assert sorted(set(manifest.table["group"])) == [f"p{k}" for k in range(6)]
    assert manifest.splits == ["split1", "split2", "split3"]
    for column in manifest.splits:
        assert not manifest.check_split(column)


def test_folders_that_say_the_split(tmp_path: Path) -> None:
    for split, takes in (("train", 10), ("test", 3)):
        for label in ("a", "b"):
            for take in range(takes):
                touch(tmp_path / "mine" / split / label / f"{take}.avi")
    manifest = folder.prepare(tmp_path / "mine", tmp_path / "out", val=0.2)
    counts = manifest.table["split1"].value_counts()
    assert counts["test"] == 6
    assert counts["val"] == 4
    assert not manifest.table.query("split1 == 'val'")["path"].str.contains("test").any()


def test_what_is_wrong_with_a_folder_is_said(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="finds no"):
        folder.prepare(mine, tmp_path / "out", group_regex=r"^(person\d+)_")
    touch(tmp_path / "one" / "jump" / "a.mp4")
    with pytest.raises(ManifestError, match="all 1 clips are of one class"):
        folder.prepare(tmp_path / "one", tmp_path / "out")
    with pytest.raises(ManifestError, match="gone does not exist"):
        folder.prepare(tmp_path / "gone", tmp_path / "out")


def test_the_verb_names_near_misses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "foldr"]) == 2
    assert "did you mean folder" in capsys.readouterr().err
    assert main(["prepare", "folder", "--grop_regex", "x"]) == 2
    assert "did you mean group_regex" in capsys.readouterr().err
    assert main(["prepare", "folder", "--group-regex", "x", "--check-files", "--source", "no"]) == 1
    assert "--source no does not exist" in capsys.readouterr().err, "dashes do as well"
    assert main(["prepare", "fights"]) == 0
    assert "prepare fights --source PATH" in capsys.readouterr().out


def test_recordings_are_read_from_the_list(tmp_path: Path) -> None:
    (tmp_path / "videos.txt").write_text(
        "https://a\r\nfi001: 0.1 - 0.2\r\nnofi001: 0.3 - 0.4\r\n\r\nhttps://b\nfi002: 1 - 2\n"
        "nofi062 - nofi076 : CamNet Dataset\nnofi001: 2.0 - 3.0\n"
    )
    found, again = fights.read_recordings(tmp_path / "videos.txt")
    assert found == {"fi001": "r01", "nofi001": "r01", "fi002": "r02"}
    assert again == ["nofi001"]


@pytest.mark.real
def test_the_real_fights(shared_data: Path, tmp_path: Path) -> None:
    manifest = fights.prepare(shared_data / "surveillance-fights", tmp_path)
    table = manifest.table
    assert table["label"].value_counts().to_dict() == {"fight": 150, "noFight": 150}
    assert (table["group"] == "unlisted").sum() == 30  # videos.txt names 270 clips
    assert table["group"].nunique() == 45
    assert all(path.is_file() for path in manifest.video_paths())
    for column in manifest.splits:
        assert not manifest.check_split(column)
        both = table.groupby(column)["label"].nunique()
        assert (both == 2).all()


@pytest.mark.real
def test_the_folds_of_the_fights_stay_what_published_figures_rest_on(
    shared_data: Path, tmp_path: Path
) -> None:
    manifest = fights.prepare(shared_data / "surveillance-fights", tmp_path, check_files=False)
    assert [manifest.split_hash(column) for column in manifest.splits] == [
        "6525432eecd56bdc",
        "2fa1dff10134197e",
        "15c67f28b6a7967d",
        "99181b4cad5d5441",
        "f330c66ab2833a48",
    ]
