"""The manifest: what is refused and how it says so; round trips; leaks."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actionrnn.datasets.errors import ManifestError, ManifestNotFound
from actionrnn.datasets.leaks import LeakError
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import DataRejected

CLASSES = ["run", "jump, high", 'say "hi"']


def table(**columns: list[object]) -> pd.DataFrame:
    base = {
        "video_id": ["a", "b", "c"],
        "path": ["v/a.mp4", "v/b.mp4", "../c d.mp4"],
        "label": CLASSES,
        "group": ["g1", "g2", "g3"],
        "start_seconds": [np.nan, 0.1, 1 / 3],
        "end_seconds": [np.nan, 0.30000000000000004, np.nan],
        "split1": ["train", "val", "test"],
    }
    return pd.DataFrame({**base, **columns})


def written(folder: Path, text: str, classes: str = "run\njump\n") -> Path:
    (folder / "manifest.csv").write_text(text)
    (folder / "classes.txt").write_text(classes)
    return folder


HEAD = "video_id,path,label,group,start_seconds,end_seconds,split1\n"


def test_round_trip_is_exact_in_values_and_bytes(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, table(split2=["unused"] * 3, fps=[1, 2.5, 3]), CLASSES)
    first = manifest.save().read_bytes()
    loaded = Manifest.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.table, manifest.table)
    assert loaded.class_names == CLASSES
    assert loaded.splits == ["split1", "split2"]
    assert loaded.save(tmp_path / "again").read_bytes() == first
    assert list(tmp_path.glob(".*")) == []
    assert Manifest.load(tmp_path / "manifest.csv").table.equals(loaded.table)


text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    ids=st.lists(text, min_size=1, max_size=4, unique=True),
    extra=st.lists(st.just("") | text, min_size=4, max_size=4),
    seconds=st.lists(st.floats(0, 1e6) | st.just(np.nan), min_size=4, max_size=4),
)
def test_any_strings_survive(
    tmp_path: Path, ids: list[str], extra: list[str], seconds: list[float]
) -> None:
    n = len(ids)
    rows = pd.DataFrame(
        {"video_id": ids, "path": ids, "label": "x", "group": ids[::-1], "note": extra[:n],
         "start_seconds": seconds[:n], "end_seconds": np.nan}
    )  # fmt: skip
    manifest = Manifest(tmp_path, rows, ["x"])
    manifest.save()
    pd.testing.assert_frame_equal(Manifest.load(tmp_path).table, manifest.table)


def test_split_labels_and_paths(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, table(), CLASSES)
    assert manifest.label_ids().tolist() == [0, 1, 2]
    assert manifest.label_ids().dtype == np.int64
    assert manifest.video_paths()[2] == tmp_path / "../c d.mp4"
    val = manifest.split("split1", "val")
    assert val.table["video_id"].tolist() == ["b"]
    assert val.class_names == CLASSES
    with pytest.raises(ManifestError, match="no split column 'split7'; it has split1"):
        manifest.split("split7", "val")
    with pytest.raises(ManifestError, match="unknown split 'dev'; one of train, val, test"):
        manifest.split("split1", "dev")


def test_split_columns_sort_by_number(tmp_path: Path) -> None:
    extra = {f"split{i}": ["train"] * 3 for i in (10, 2)}
    assert Manifest(tmp_path, table(**extra), CLASSES).splits == ["split1", "split2", "split10"]


def test_group_and_seconds_may_be_absent(tmp_path: Path) -> None:
    loaded = Manifest.load(written(tmp_path, "video_id,path,label\na,a.mp4,run\n\n"))
    assert loaded.table.loc[0, "group"] == ""
    assert np.isnan(loaded.table.loc[0, "end_seconds"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a,a.mp4,run,g,,,train\na,b.mp4,run,g,,,val\n", r"line 3: video_id 'a'.*line 2"),
        ("\n\na,a.mp4,Run,g,,,train\n", "line 4: label 'Run' and class 'run' differ only in case"),
        ("a,a.mp4,ju mp,g,,,train\n", "line 2: label 'ju mp' and class 'jump' differ only"),
        ("a,a.mp4,jumpp,g,,,train\n", "line 2: label 'jumpp' .* did you mean 'jump'"),
        ("a,a.mp4,run,g,,,dev\n", "line 2: split1 is 'dev'; one of train, val, test, unused"),
        ("a,a.mp4,run,g,,,\n", "line 2: split1 is ''"),
        ("a,,run,g,,,train\n", "line 2: path is empty"),
        (",a.mp4,run,g,,,train\n", "line 2: video_id is empty"),
        ("a,a.mp4,,g,,,train\n", "line 2: label is empty"),
        ("a,a.mp4,run,g,soon,,train\n", "line 2: start_seconds 'soon' is not a number"),
        ("a,a.mp4,run,g,nan,,train\n", "line 2: start_seconds 'nan': leave it empty"),
        ("a,a.mp4,run,g,2,1,train\n", r"line 2: segment 2.0 to 1.0 seconds; 0 <= start < end"),
        ("a,a.mp4,run,g,-1,,train\n", "line 2: segment -1.0"),
        ("a,a.mp4,run,g,,inf,train\n", "line 2: segment"),
        ("a,a.mp4,run,g,,0,train\n", "line 2: segment"),
        ("a,a.mp4,run\n", "line 2: 3 cells, but line 1 names 7 columns"),
        ("a,a.mp4,run,g,,,train,x\n", "line 2: 8 cells"),
        ('"a\nb",a.mp4,run,g,,,train\nc,c.mp4,run,g,,,dev\n', "line 2: video_id .* line break"),
        ('a,"x"y,run,g,,,train\n', "line 2: not CSV"),
    ],
)
def test_bad_rows_name_file_and_line(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        Manifest.load(written(tmp_path, HEAD + body))
    assert str(tmp_path / "manifest.csv") in str(caught.value)


def test_line_numbers_count_lines_of_the_file_not_rows(tmp_path: Path) -> None:
    quoted = 'video_id,path,label,note\na,a.mp4,run,"one, two"\n\n\nb,b.mp4,run,"two\nlines"\n'
    with pytest.raises(ManifestError, match=r"line 5: note 'two\\nlines' holds a line break"):
        Manifest.load(written(tmp_path, quoted))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("video_id,paths,label\n", "no column 'path'; did you mean 'paths'"),
        ("video_id,path,label,label\n", "line 1: column 'label' is there twice"),
        ("", "the file is empty"),
    ],
)
def test_bad_headers(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        Manifest.load(written(tmp_path, header))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("run\nRun\n", "classes 1 and 2: 'run' and 'Run' differ only in case or spaces"),
        ("long jump\nlongjump\n", "differ only in case or spaces"),
        ("run\nrun\n", "classes 1 and 2: 'run' is there twice"),
        ("run\n\njump\n", "class 2 has an empty name"),
        ("run \n", "class 1 'run ' has spaces at its edge"),
        ("", "no classes"),
    ],
)
def test_bad_class_names(tmp_path: Path, classes: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        Manifest.load(written(tmp_path, HEAD, classes))
    assert "classes.txt" in str(caught.value)


def test_absent_manifest_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestNotFound, match="actionrnn prepare folder --source VIDEOS --root"
    ) as caught:
        Manifest.load(tmp_path / "nowhere")
    assert isinstance(caught.value, FileNotFoundError)
    (tmp_path / "manifest.csv").write_text(HEAD)
    with pytest.raises(ManifestNotFound, match=r"no class names at .*classes\.txt"):
        Manifest.load(tmp_path)


def test_shared_group_is_refused_with_the_clips_named(tmp_path: Path) -> None:
    leaking = Manifest(tmp_path, table(group=["g1", "g2", "g1"]), CLASSES)
    with pytest.raises(LeakError, match="group 'g1' is in train: a; test: c") as caught:
        leaking.check_split("split1")
    assert isinstance(caught.value, DataRejected)
    assert "--allow-leak" in str(caught.value)
    assert caught.value.leaks[0].clips == {"train": ["a"], "test": ["c"]}
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.leaks) == (str(caught.value), caught.value.leaks)
    assert leaking.check_split("split1", allow_leak=True) == list(caught.value.leaks)


def test_many_leaks_are_summarised(tmp_path: Path) -> None:
    n = 40
    rows = pd.DataFrame({
        "video_id": [f"v{i:02d}" for i in range(2 * n)], "label": "x",
        "path": [f"{i}.mp4" for i in range(2 * n)], "group": [f"g{i % 8}" for i in range(2 * n)],
        "split1": ["train"] * n + ["test"] * n,
    })  # fmt: skip
    with pytest.raises(LeakError) as caught:
        Manifest(tmp_path, rows, ["x"]).check_split("split1")
    assert len(caught.value.leaks) == 8
    assert "v00, v08, v16 and 2 more" in str(caught.value)
    assert "and 3 more\n" in str(caught.value)


def test_unused_rows_and_unknown_groups_do_not_leak(tmp_path: Path) -> None:
    unused = table(group=["g1", "g2", "g1"], split1=["train", "val", "unused"])
    assert Manifest(tmp_path, unused, CLASSES).check_split("split1") == []
    assert Manifest(tmp_path, table(group=[""] * 3), CLASSES).check_split("split1") == []


@pytest.mark.parametrize(
    ("start", "end", "leaks"),
    [
        ([np.nan, np.nan, np.nan], [np.nan, np.nan, np.nan], True),
        ([0, 5, 0], [5, 9, np.nan], False),  # a touches b; c is another file
        ([0, 4.99, 0], [5, 9, np.nan], True),
        ([3, 0, 0], [4, np.nan, 1], True),  # one segment inside the other
    ],
)
def test_overlapping_seconds_of_one_file_leak(
    tmp_path: Path, start: list[float], end: list[float], leaks: bool
) -> None:
    rows = table(path=["v/a.mp4", "v/../v/./a.mp4", "c.mp4"], start_seconds=start, end_seconds=end)
    found = Manifest(tmp_path, rows, CLASSES).find_leaks("split1")
    assert [leak.clips for leak in found] == ([{"train": ["a"], "val": ["b"]}] if leaks else [])


def test_file_leaks_agree_with_every_pair_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        n = 12
        start = rng.integers(0, 8, n).astype(float)
        end = start + rng.integers(1, 4, n)
        split = rng.choice(["train", "val", "test", "unused"], n)
        rows = pd.DataFrame({
            "video_id": [f"v{i}" for i in range(n)], "path": "one.mp4", "label": "x",
            "start_seconds": start, "end_seconds": end, "split1": split,
        })  # fmt: skip
        expected = any(
            split[i] != split[j] and "unused" not in (split[i], split[j])
            and start[i] < end[j] and start[j] < end[i]
            for i in range(n) for j in range(i)
        )  # fmt: skip
        assert bool(Manifest(tmp_path, rows, ["x"]).find_leaks("split1")) == expected


def test_split_hash_sees_content_not_order(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, table(), CLASSES)
    reference = manifest.split_hash("split1")
    assert len(reference) == 16
    shuffled = Manifest(tmp_path / "moved", table().iloc[::-1], CLASSES[::-1])
    assert shuffled.split_hash("split1") == reference
    moved = Manifest(tmp_path, table(split1=["train", "test", "test"]), CLASSES)
    relabelled = Manifest(tmp_path, table(label=["run"] * 3), CLASSES)
    assert len({reference, moved.split_hash("split1"), relabelled.split_hash("split1")}) == 3


@pytest.mark.slow
def test_scales_to_many_clips(tmp_path: Path) -> None:
    n = 50_000
    number = np.arange(n)
    rows = pd.DataFrame({
        "video_id": [f"v{i}" for i in number], "path": [f"{i}.mp4" for i in number],
        "label": "x", "group": [f"g{i}" for i in number // 10],
        "split1": np.array(["train", "val", "test"])[number // 10 % 3],
    })  # fmt: skip
    manifest = Manifest(tmp_path, rows, ["x"])
    assert manifest.check_split("split1") == []
    manifest.save()
    assert Manifest.load(tmp_path).split_hash("split1") == manifest.split_hash("split1")


@pytest.mark.parametrize("column", ["video_id", "label", "group", "camera"])
@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\n"])
def test_what_is_printed_everywhere_commands_no_terminal(column: str, character: str) -> None:
    name = f"x{character}y"
    rows = pd.DataFrame({"video_id": ["a", "b"], "path": ["a", "b"], "label": ["run", "jump"]})
    classes = ["run", "jump", name] if column == "label" else ["run", "jump"]
    with pytest.raises(ManifestError, match="control characters") as told:
        Manifest(Path("/data"), rows.assign(**{column: [name, "jump"]}), classes)
    assert character not in str(told.value)
    kept = Manifest(Path("/data"), rows.assign(path=["x\x1by", "b"]), ["run", "jump"])
    assert kept.table["path"].tolist() == ["x\x1by", "b"], "a file is called what it is called"
