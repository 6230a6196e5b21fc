"""Every public dataset is read in its official form, and every quirk of it comes out right."""

import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.leaks import LeakError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.official import hmdb51 as hmdb51_module
from actionrnn.datasets.official import jester as jester_module
from actionrnn.datasets.official import kinetics as kinetics_module
from actionrnn.datasets.official import kth as kth_module
from actionrnn.datasets.official import ssv2 as ssv2_module
from actionrnn.datasets.official import ucf101 as ucf101_module
from actionrnn.video.images import ImageFolderReader
from actionrnn.video.reader import open_video


def report_of(root: Path) -> str:
    return (root / "report.txt").read_text()


def section(root: Path, heading: str) -> list[str]:
    """Entries under a heading of report.txt."""
    lines = report_of(root).splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith(heading + ":")) + 1
    rest = lines[first:]
    return [line.strip() for line in rest[: rest.index("") if "" in rest else len(rest)]]


# ---- UCF101 -----------------------------------------------------------------------------------


def test_ucf101_gives_its_official_splits(ucf101: Path, tmp_path: Path) -> None:
    manifest = ucf101_module.prepare(ucf101, tmp_path)
    table = Manifest.load(tmp_path).table
    assert manifest.class_names == ["ApplyEyeMakeup", "HandstandPushups"]
    assert len(table) == 36
    group_number = table["video_id"].str.extract(r"_g(\d+)_")[0].astype(int)
    for split in (1, 2, 3):
        is_test = (group_number + 2) // 3 == split
        assert ((table[f"split{split}"] == "test") == is_test).all()
        assert set(table.loc[~is_test, f"split{split}"]) == {"train", "val"}
        assert not manifest.check_split(f"split{split}")
    assert all(path.is_file() for path in manifest.video_paths())
    assert "36 clips in the lists, published are 13320" in report_of(tmp_path)
    assert "2 classes, published are 101" in report_of(tmp_path)


def test_ucf101_takes_the_class_from_the_folder(ucf101: Path, tmp_path: Path) -> None:
    table = ucf101_module.prepare(ucf101, tmp_path).table
    odd = table[table["video_id"].str.startswith("v_HandStandPushups")]
    assert set(odd["label"]) == {"HandstandPushups"}
    assert len(odd) == 18
    assert set(odd["group"]) == {f"HandstandPushups/g{k:02d}" for k in range(1, 10)}


def test_a_random_split_of_ucf101_is_refused(ucf101: Path, tmp_path: Path) -> None:
    manifest = ucf101_module.prepare(ucf101, tmp_path)
    side = np.where(np.random.default_rng(0).random(len(manifest.table)) < 0.25, "test", "train")
    random = Manifest(tmp_path, manifest.table.assign(split4=side), manifest.class_names)
    with pytest.raises(LeakError, match=r"group 'ApplyEyeMakeup/g0\d' is in train: v_Apply"):
        random.check_split("split4")
    shared = {leak.key for leak in random.find_leaks("split4")}
    tested = random.split("split4", "test").table
    assert tested["group"].isin(shared).mean() >= 0.5


def test_missing_extra_duplicated_and_unreadable_are_reported(
    ucf101: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(ucf101, source)
    folder = source / "UCF-101" / "ApplyEyeMakeup"
    (folder / "v_ApplyEyeMakeup_g01_c01.avi").unlink()
    (folder / "v_ApplyEyeMakeup_g01_c02.avi").write_bytes(b"")
    make_video(folder / "v_ApplyEyeMakeup_g99_c01.avi", seed=1)
    shutil.copy(folder / "v_ApplyEyeMakeup_g02_c01.avi", source)
    root = tmp_path / "root"
    manifest = ucf101_module.prepare(source, root)
    assert section(root, "missing") == ["v_ApplyEyeMakeup_g01_c01"]
    assert "v_ApplyEyeMakeup_g99_c01.avi" in section(root, "extra")[0]
    assert "v_ApplyEyeMakeup_g02_c01.avi (used is" in section(root, "duplicated")[0]
    assert "g01_c02.avi: the file is empty" in section(root, "unreadable")[0]
    assert len(manifest.table) == 36, "what is missing counts as an error"
    dropped = ucf101_module.prepare(source, root, missing="drop")
    assert len(dropped.table) == 35


def test_training_clips_with_the_bytes_of_a_test_clip_are_set_aside(
    ucf101: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(ucf101, source)
    folder = source / "UCF-101" / "ApplyEyeMakeup"
    shutil.copy(folder / "v_ApplyEyeMakeup_g01_c01.avi", folder / "v_ApplyEyeMakeup_g05_c01.avi")
    manifest = ucf101_module.prepare(source, tmp_path / "root")
    row = manifest.table.set_index("video_id").loc["v_ApplyEyeMakeup_g05_c01"]
    assert (row["split1"], row["split2"]) == ("unused", "test")
    assert section(tmp_path / "root", "identical files") == [
        "v_ApplyEyeMakeup_g01_c01 = v_ApplyEyeMakeup_g05_c01"
    ]
    assert len(manifest.split("split1", "test").table) == 12, "test stays as published"
    leaking = manifest.table.assign(split1=manifest.table["split1"].replace("unused", "train"))
    with pytest.raises(
        LeakError, match=r"content '[0-9a-f]{16}' is in train: v_ApplyEyeMakeup_g05"
    ):
        Manifest(tmp_path, leaking, manifest.class_names).check_split("split1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../../etc/passwd 1", r"trainlist.txt, line 2: .*leads outside"),
        ("/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 1", r"line 2: .*is not relative"),
        ("Unknown/v_Unknown_g01_c01.avi 1", r"line 2: class 'Unknown' is not in classInd"),
        ("A/v_A_g01_c01.avi 2", r"line 2: label '2' is not that of 'A'"),
        ("A/v_A_g01_c01.avi x", r"line 2: label 'x' is not that of 'A'"),
        ("A/clip.avi 1", r"line 2: 'clip.avi' is not named v_CLASS_gNN_cNN"),
        ("A/v_A_g02_c01.avi 1", r"line 2: A/v_A_g02_c01.avi is there already .*line 1"),
    ],
)
def test_ucf101_lists_are_read_strictly(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "trainlist.txt"
    path.write_text(f"A/v_A_g02_c01.avi 1\n{line}\n")
    with pytest.raises(ManifestError, match=message):
        ucf101_module.read_list(path, {1: "A", 2: "B"})


def test_ucf101_classes_count_from_one(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("0 A\n1 B\n")
    with pytest.raises(ManifestError, match=r"line 1: '0 A'; expected '1 CLASS'"):
        ucf101_module.read_classes(tmp_path / "classInd.txt")


# ---- HMDB51 -----------------------------------------------------------------------------------


def test_hmdb51_from_nested_rars(hmdb51: Path, tmp_path: Path) -> None:
    manifest = hmdb51_module.prepare(hmdb51, tmp_path)
    table = Manifest.load(tmp_path).table
    assert manifest.class_names == ["brush_hair", "climb", "climb_stairs"], "sorted: no index"
    assert len(table) == 21
    assert all(path.is_file() for path in manifest.video_paths())
    one = table[table["label"] == "climb"].set_index("video_id")
    assert one.loc["climb/left_out_climb_f_cm_np2_ri_med_6", "split1"] == "unused"
    assert one.loc["climb/turnles!!_climb_f_cm_np1_ri_med_6", "split1"] == "test"
    assert one.loc["climb/turnles!!_climb_f_cm_np1_ri_med_6", "split2"] in ("train", "val")
    assert one.loc["climb/it's;a`b_climb_f_cm_np2_ri_med_6", "split2"] == "test"
    assert set(one[one["group"] == "climb/April_09"]["split1"]) in ({"train"}, {"val"})
    for column in manifest.splits:
        assert (table.groupby("label")[column].apply(lambda s: (s == "test").sum()) >= 1).all()


def test_hmdb51_groups_know_classes_with_underscores() -> None:
    name = "Alb_climb_stairs_climb_stairs_f_cm_np1_ba_med_0.avi"
    assert hmdb51_module.group_of("climb_stairs", name) == "climb_stairs/Alb_climb_stairs"
    assert hmdb51_module.group_of("wave", "odd name.avi") == "wave/odd name"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.avi 3 ", r"line 1: 'a.avi 3'; expected"),
        ("a.avi", r"line 1: 'a.avi'; expected"),
        ("../a.avi 1 ", r"line 1: .*leads outside"),
        ("x/a.avi 1 ", r"line 1: .*leads into a folder"),
    ],
)
def test_hmdb51_lists_are_read_strictly(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "wave_test_split1.txt"
    path.write_text(line + "\n")
    with pytest.raises(ManifestError, match=message):
        hmdb51_module.read_list(path)


# ---- Kinetics ---------------------------------------------------------------------------------


def test_kinetics_tests_on_the_validation_list(kinetics: Path, tmp_path: Path) -> None:
    manifest = kinetics_module.prepare400(kinetics, tmp_path, val=0.3)
    table = manifest.table.set_index("video_id")
    assert manifest.class_names == [
        "massaging person's head",
        "petting animal (not cat)",
        'playing "hot potato"',
    ]
    assert Manifest.load(tmp_path).class_names == manifest.class_names
    assert (table["split1"] == "test").sum() == 4
    assert table.loc["-abcdefghij_000003_000013", "label"] == "petting animal (not cat)"
    assert "val" in set(table["split1"])
    assert "gone0000000_000001_000011" not in table.index
    assert section(tmp_path, "missing") == ["gone0000000_000001_000011"]
    assert "corrupt0000" in section(tmp_path, "unreadable")[0]
    assert "web page" in section(tmp_path, "unreadable")[0]
    extra = section(tmp_path, "extra")
    assert len(extra) == 1
    assert "zzzzzzzzzz1" in extra[0]
    assert "replacement" in table.loc["bbbbbbbbbb1_000112_000122", "path"]
    assert "1 test clips have no label: left out" in report_of(tmp_path)


def test_kinetics_archives_of_one_name_are_kept_apart(kinetics: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(kinetics / "annotations", source / "annotations")
    for part in ("train", "val"):
        (source / part).mkdir()
        with tarfile.open(source / part / "part_0.tar.gz", "w:gz") as archive:
            archive.add(kinetics / part, arcname=".")
    manifest = kinetics_module.prepare700(source, tmp_path / "root")
    assert len(manifest.table) == 11
    assert kinetics_module.RELEASES[700].card.lists[1].url == (
        "https://s3.amazonaws.com/kinetics/700_2020/val/k700_2020_val_path.txt"
    )


def test_kinetics_keeps_what_is_missing_on_request(kinetics: Path, tmp_path: Path) -> None:
    manifest = kinetics_module.prepare600(kinetics, tmp_path, missing="keep")
    assert len(manifest.table) == 12
    assert "1 of 12 clips are missing; they stay" in report_of(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,../../etc/pa,0,10,train", r"train.csv, line 2: .*leads outside"),
        ("a,short,0,10,train", r"line 2: youtube_id 'short' is not 11 letters"),
        ("a,aaaaaaaaaaa,x,10,train", r"line 2: time_start 'x' is not in seconds"),
    ],
)
def test_kinetics_lists_are_read_strictly(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "train.csv"
    path.write_text(f"label,youtube_id,time_start,time_end,split\n{row}\n")
    with pytest.raises(ManifestError, match=message):
        list(kinetics_module.read_annotations(path))


def test_kinetics_without_a_column_says_so(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError, match=r"line 1: no column time_end, time_start, youtube_id"):
        list(kinetics_module.read_annotations(tmp_path / "train.csv"))


# ---- Something-Something v2 -------------------------------------------------------------------


def test_ssv2_strips_brackets_and_follows_the_string_indices(ssv2: Path, tmp_path: Path) -> None:
    manifest = ssv2_module.prepare(ssv2, tmp_path, val=0.2)
    assert manifest.class_names == [
        "Holding something in front of something",
        "Pushing something from left to right",
    ]
    table = manifest.table.set_index("video_id")
    assert table.loc["2", "label"] == "Pushing something from left to right"
    assert set(table.index[table["split1"] == "test"]) == {"20", "21", "22", "23"}
    assert "30" not in table.index
    assert section(tmp_path, "extra") == ["none"] or not section(tmp_path, "extra")
    assert "2 test clips have no published label" in report_of(tmp_path)


def test_ssv2_lists_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('[{"id": "1", "template": "A [b]"}, {"id": "../2", "template": "A [b]"}]')
    with pytest.raises(ManifestError, match=r"train.json, entry 2: .*leads outside"):
        ssv2_module.read_list(path, ["A b"])
    with pytest.raises(ManifestError, match=r"entry 1: template 'A \[b\]' is not in the labels"):
        ssv2_module.read_list(path, ["B"])
    path.write_text("[")
    with pytest.raises(ManifestError, match="not JSON"):
        ssv2_module.read_list(path, [])
    path.write_text('{"A": "0", "B": "2"}')
    with pytest.raises(ManifestError, match="not 0, 1, 2"):
        ssv2_module.read_classes(path)


# ---- Jester -----------------------------------------------------------------------------------


def test_jester_folders_are_clips(jester: Path, tmp_path: Path) -> None:
    manifest = jester_module.prepare(jester, tmp_path, val=0.3)
    assert manifest.class_names == ["Swiping Left", "No gesture", "Thumb Up"]
    table = manifest.table.set_index("video_id")
    assert len(table) == 15
    assert table.loc["3", "label"] == "Swiping Left"
    assert (table["split1"] == "test").sum() == 3
    assert set(table["split1"]) == {"train", "val", "test"}
    reader = ImageFolderReader(str(manifest.video_paths()[0]))
    assert (reader.num_frames, reader.fps) == (12, 12.0)
    assert reader.read([11, 0]).shape == (2, 48, 96, 3)


def test_jester_lists_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("1;A\n../2;A\n")
    with pytest.raises(ManifestError, match=r"line 2: .*leads outside"):
        jester_module.read_list(path, ["A"])
    path.write_text("1;B\n")
    with pytest.raises(ManifestError, match=r"line 1: class 'B' is not in the labels"):
        jester_module.read_list(path, ["A"])
    path.write_text("x;A\n")
    with pytest.raises(ManifestError, match=r"line 1: id 'x' is not a number"):
        jester_module.read_list(path, ["A"])


@pytest.mark.parametrize(
    ("module", "list_name"),
    [
        (ssv2_module, "something-something-v2-validation.json"),
        (jester_module, "jester-v1-validation.csv"),
    ],
)
def test_a_clip_in_both_lists_is_refused(
    module: object, list_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    dataset = module.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
    source = tmp_path / "source"
    shutil.copytree(request.getfixturevalue(dataset), source)
    shutil.copy(source / list_name.replace("validation", "train"), source / list_name)
    with pytest.raises(ManifestError, match="clip 1 is in both lists"):
        module.prepare(source, tmp_path / "root")  # type: ignore[attr-defined]


# ---- KTH --------------------------------------------------------------------------------------


def test_kth_splits_by_person_and_cuts_sequences(kth: Path, tmp_path: Path) -> None:
    manifest = kth_module.prepare(kth, tmp_path)
    table = manifest.table
    parts = table.groupby("group")["split1"].agg(set).to_dict()
    assert parts == {
        "person11": {"train"},
        "person13": {"train"},
        "person19": {"val"},
        "person02": {"test"},
        "person22": {"test"},
    }
    assert len(table) == 19 * 3, "the video marked *missing* is none"
    assert not manifest.check_split("split1"), "sequences of one person may overlap"
    row = table.set_index("video_id").loc["person11_boxing_d1_3"]
    reader = open_video(tmp_path / row["path"], "pyav", row["start_seconds"], row["end_seconds"])
    assert reader.num_frames == 10, "frames 11 to 20"


def test_kth_whole_videos(kth: Path, tmp_path: Path) -> None:
    assert len(kth_module.prepare(kth, tmp_path, unit="video").table) == 19


def test_kth_frames_must_be_frames(tmp_path: Path) -> None:
    path = tmp_path / "00sequences.txt"
    path.write_text("person01_boxing_d1\tframes\t1-95, 96-18x\n")
    with pytest.raises(ManifestError, match=r"line 1: '1-95, 96-18x' are not frames"):
        kth_module.read_sequences(path)


# ---- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [ucf101_module, hmdb51_module, ssv2_module, jester_module])
def test_a_second_run_gives_the_same_manifest(
    module: object, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(re.sub(r".*\.", "", module.__name__))  # type: ignore[attr-defined]
    first = module.prepare(source, tmp_path, seed=3).table  # type: ignore[attr-defined]
    again = module.prepare(source, tmp_path, seed=3).table  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(first, again)


def test_an_empty_folder_is_not_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no classInd.txt in"):
        ucf101_module.prepare(tmp_path, tmp_path / "root")
    with pytest.raises(ManifestError, match="does not exist"):
        ucf101_module.prepare(tmp_path / "gone", tmp_path / "root")


def test_source_and_root_may_be_one_folder(ucf101: Path, tmp_path: Path) -> None:
    root = tmp_path / "ucf101"
    shutil.copytree(ucf101, root)
    first = ucf101_module.prepare(root, root).table
    again = ucf101_module.prepare(root, root).table
    pd.testing.assert_frame_equal(first, again)
    assert "duplicated: none" in report_of(root)
    assert not first["path"].str.startswith("..").any()
