"""Long videos: what annotation tools export, read into timelines, and what cannot be one."""

import json
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest

from actionrnn.cli import main
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own.annotation_files import read_annotations
from actionrnn.datasets.own.segments import prepare
from actionrnn.datasets.timelines import label_ids_at
from actionrnn.video.writer import write_video

NUM_VIDEOS, SECONDS, FPS = 6, 4.0, 10


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of four seconds, 0.mp4 to 5.mp4, no two alike."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(NUM_VIDEOS):
        rng = np.random.default_rng(number)
        picture = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        write_video(folder / f"{number}.mp4", [picture] * round(SECONDS * FPS), FPS)
    return folder


def write(path: Path, text: str) -> Path:
    path.write_text(dedent(text).lstrip())
    return path


def read(path: Path) -> list[tuple[str, str, float, float]]:
    """Video, label, start and end of what happens."""
    return [(a.video, a.label, a.start, a.end) for a in read_annotations(path) if a.label]


def notes(folder: Path, *more: str) -> Path:
    """A jump and a run in every video, and further lines."""
    lines = ["video,start,end,label"]
    for number in range(NUM_VIDEOS):
        lines += [f"{number}.mp4,0.5,1.5,jump", f"{number}.mp4,2,3.25,run"]
    return write(folder / "notes.csv", "\n".join([*lines, *more]))


# ---- each tool ------------------------------------------------------------------------------


def test_boris_aggregated_events(tmp_path: Path) -> None:
    path = write(
        tmp_path / "boris.csv",
        "Observation id,Observation date,Description,Media file,Total length,FPS,Subject,Behavior,"
        "Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment\n"
        "obs,2021-12-06 13:26:24,,T:/Films/0.mp4,4.0,10,nobody,jump,,,STATE,0.500,1.500,1.000,\n"
        "obs,2021-12-06 13:26:24,,T:/Films/0.mp4,4.0,10,nobody,blink,,,POINT,2.000,2.000,NA,\n",
    )
    assert read(path) == [("T:/Films/0.mp4", "jump", 0.5, 1.5)]


def test_boris_tabular_events(tmp_path: Path) -> None:
    rows = [
        "Observation id\tMedia file name\tSubject\tBehavior\tBehavior type\tTime",
        "obs\t0.mp4\tA\tjump\tSTART\t0.5",
        "obs\t0.mp4\tB\tjump\tSTART\t0.75",
        "obs\t0.mp4\tA\tjump\tSTOP\t1.5",
        "obs\t0.mp4\tA\tblink\tPOINT\t1.6",
        "obs\t0.mp4\tB\tjump\tSTOP\t2.0",
    ]
    path = write(tmp_path / "boris.tsv", "\n".join(rows))
    assert read(path) == [("0.mp4", "jump", 0.5, 1.5), ("0.mp4", "jump", 0.75, 2.0)]
    write(path, "\n".join(rows[:-1]))
    with pytest.raises(ManifestError, match=r"boris.tsv, line 3: 'jump' starts and never stops"):
        read(path)
    write(path, "\n".join([rows[0], rows[3]]))
    with pytest.raises(ManifestError, match=r"line 2: 'jump' stops, but has not started"):
        read(path)


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/my%20films/0.mp4" MIME_TYPE="video/mp4"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="action">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>jump</ANNOTATION_VALUE>
    </ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""


def test_elan(tmp_path: Path) -> None:
    path = write(tmp_path / "a.eaf", EAF)
    assert read(path) == [("0.mp4", "jump", 0.5, 1.5)]


@pytest.mark.parametrize(
    ("notation", "edges"),
    [
        ("ss.msec", ("0.500", "1.500")),
        ("hh:mm:ss.ms", ("00:00:00.500", "00:00:01.500")),
        ("msec", ("500", "1500")),
    ],
)
def test_elan_as_text(tmp_path: Path, notation: str, edges: tuple[str, str]) -> None:
    header = ["Tier", "Begin Time - " + notation, "End Time - " + notation, "Annotation", "File"]
    row = ["action", *edges, "jump", r"C:\films\0.eaf"]
    path = write(tmp_path / "elan.txt", "\t".join(header) + "\n" + "\t".join(row))
    assert read(path) == [("0", "jump", 0.5, 1.5)]


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE lolz [<!ENTITY lol "lol">]>\n' + EAF.partition("\n")[2]
    with pytest.raises(ManifestError, match=r"a.eaf, line 1: a document type"):
        read(write(tmp_path / "a.eaf", bomb))


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>7</id><size>40</size><start_frame>0</start_frame><stop_frame>39</stop_frame>
    <source>0.mp4</source></task></meta>
  <track id="0" label="jump" source="manual">
    <box frame="5" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9"/>
    <box frame="15" keyframe="1" outside="1" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9"/>
    <box frame="30" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9"/>
  </track>
  <tag label="run" frame="20"/>
  <tag label="run" frame="21"/>
  <tag label="run" frame="25"/>
</annotations>
"""


def test_cvat(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.xml", CVAT)) == [
        ("0.mp4", "jump", 5, 15),
        ("0.mp4", "jump", 30, 40),
        ("0.mp4", "run", 20, 22),
        ("0.mp4", "run", 25, 26),
    ]


def label_studio(ranges: list[dict[str, int]]) -> list[object]:
    value = {"ranges": ranges, "timelinelabels": ["jump"]}
    region = {"type": "timelinelabels", "to_name": "video", "value": value}
    skipped = {"was_cancelled": True, "result": [{**region, "value": {**value, "ranges": []}}]}
    return [
        {
            "id": 3,
            "data": {"video": "/data/upload/1/0a1b2c3d-0.mp4"},
            "annotations": [skipped, {"was_cancelled": False, "result": [region]}],
        }
    ]


def test_label_studio(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(label_studio([{"start": 6, "end": 15}])))
    assert read(path) == [("/data/upload/1/0.mp4", "jump", 5, 15)]
    short = [{"video": "0.mp4", "videoLabels": [{"ranges": [{"start": 1, "end": 5}],
                                                 "timelinelabels": ["jump"]}]}]  # fmt: skip
    path.write_text(json.dumps(short))
    assert read(path) == [("0.mp4", "jump", 0, 5)]


def test_via(tmp_path: Path) -> None:
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": ["1"]},
        "attribute": {
            "1": {"aname": "what", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"0": "jump"}}
        },
        "file": {"1": {"fid": "1", "fname": "0.mp4", "type": 4, "loc": 1, "src": ""}},
        "metadata": {
            "1_a": {"vid": "1", "flg": 0, "z": [0.5, 1.5], "xy": [], "av": {"1": "0"}},
            "1_b": {"vid": "1", "flg": 0, "z": [2.0], "xy": [2, 1, 1, 9, 9], "av": {"1": "0"}},
            "1_c": {"vid": "1", "flg": 0, "z": [2, 3], "xy": [], "av": {"1": "run"}},
        },
        "view": {"1": {"fid_list": ["1"]}},
    }
    path = tmp_path / "via.json"
    path.write_text(json.dumps(project))
    assert read(path) == [("0.mp4", "jump", 0.5, 1.5), ("0.mp4", "run", 2.0, 3.0)]


def activitynet(subsets: tuple[str, ...]) -> dict[str, object]:
    jump = {"segment": [0.5, 1.5], "label": "jump"}
    return {
        "version": "1.3",
        "database": {
            str(number): {"subset": subset, "duration": SECONDS, "annotations": [jump]}
            for number, subset in enumerate(subsets)
        },
    }


def test_activitynet_and_its_parts(tmp_path: Path, films: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(activitynet(("training",) * 4 + ("validation",) * 2)))
    assert read(path)[0] == ("0", "jump", 0.5, 1.5)
    manifest = prepare(path, tmp_path / "r", videos=films)
    assert manifest.table["split1"].tolist()[4:] == ["test"] * 2, "its test labels are hidden"
    assert "val" in manifest.table["split1"].tolist()[:4], "carved from train"
    path.write_text(json.dumps(activitynet(("Validation",) * 4 + ("Test",) * 2)))  # THUMOS14
    manifest = prepare(path, tmp_path / "r", videos=films, val=0.0)
    assert manifest.table["split1"].tolist() == ["train"] * 4 + ["test"] * 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "a,b\n1,2\n", r"a.csv, line 1: a, b: not known; .*video,start,end,label"),
        ("a.csv", "video,start,end,label\n0.mp4,x,2,jump\n", r"line 2: time 'x' is neither"),
        ("a.csv", "video,start,end,label\n0.mp4,1,2,\n", r"line 2: label is empty"),
        ("a.xml", "<annotations>", r"a.xml, line 1: not XML"),
        ("a.xml", "<html/>", r"<html> is neither ELAN's"),
        ("a.json", "{", r"a.json: not JSON"),
        ("a.json", "{}", r"neither a list of tasks"),
        ("a.json", '{"database": {"v": {"annotations": [{"label": "x"}]}}}', r"KeyError: 'segment"),
        ("a.srt", "", r"must end in one of .csv"),
    ],
)
def test_what_no_tool_writes_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_annotations(write(tmp_path / name, text))


# ---- the manifest ---------------------------------------------------------------------------


def test_a_recording_is_in_one_part(tmp_path: Path, films: Path) -> None:
    source = notes(tmp_path, "5.mp4,0:03.5,0:04,rest")
    prepare(source, tmp_path / "r", videos=films, folds=3, background="rest")
    manifest = Manifest.load(tmp_path / "r")
    assert manifest.class_names == ["rest", "jump", "run"]
    assert len(manifest.table) == NUM_VIDEOS
    assert manifest.splits == ["split1", "split2", "split3"]
    assert manifest.timelines is not None
    assert len(manifest.timelines) == 2 * NUM_VIDEOS, "the background has no segments"
    assert set(manifest.table["label"]) == {"run"}, "what takes most of the time"
    test = manifest.split("split1", "test")
    assert test.timelines is not None
    assert set(test.timelines["video_id"]) == set(test.table["video_id"])
    saved = (tmp_path / "r" / "timelines.csv").read_bytes()
    manifest.save(tmp_path / "again")
    assert (tmp_path / "again" / "timelines.csv").read_bytes() == saved


def test_a_video_without_events_is_a_recording_too(tmp_path: Path, films: Path) -> None:
    lines = ["video,start,end,label,group"]
    lines += [f"{n}.mp4,1,2,jump,g{n % 3}" for n in range(5)] + ["5.mp4,,,,"]
    manifest = prepare(write(tmp_path / "a.csv", "\n".join(lines)), tmp_path / "r", videos=films)
    assert manifest.table.set_index("video_id").loc["5.mp4", "label"] == "background"
    split = manifest.table.set_index("group")["split1"]
    assert all(split.loc[[f"g{n}"]].nunique() == 1 for n in range(3))


def test_frames_become_seconds(tmp_path: Path, films: Path) -> None:
    path = tmp_path / "a.json"
    tasks = label_studio([{"start": 6, "end": 15}])
    for number in range(1, 4):
        tasks += [{**tasks[0], "id": number, "data": {"video": f"{number}.mp4"}}]  # type: ignore[dict-item]
    path.write_text(json.dumps(tasks))
    for fps, edges in ((None, (0.5, 1.5)), (5.0, (1.0, 3.0))):
        found = prepare(path, tmp_path / "r", videos=films, fps=fps).timelines
        assert found is not None
        assert tuple(found.iloc[0][["start_seconds", "end_seconds"]]) == edges
    assert "left out, for nothing is said of them: 2" in (tmp_path / "r/report.txt").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.mp4,3.5,3.4,jump", r"notes.csv, line 14: 'jump' lasts from 3.5 to 3.4 s; 0 <= start"),
        ("0.mp4,4.5,5,jump", r"line 14: 'jump' lasts from 4.5 to 5 s, but 0.mp4 ends at 4 s"),
        ("9.mp4,1,2,jump", r"line 14: there is no video '9.mp4' in .*--missing drop"),
        ("0.mp4,1,2.5,fall", r"line 14: 'fall' begins at 1 s, while 'jump' lasts until 1.5 s \(.*"
                             r"line 2\).*--overlaps later"),
    ],
)  # fmt: skip
def test_what_cannot_be_names_file_and_line(
    tmp_path: Path, films: Path, line: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        prepare(notes(tmp_path, line), tmp_path / "r", videos=films)


def test_overlaps_missing_videos_and_ends_that_are_allowed(tmp_path: Path, films: Path) -> None:
    more = ["0.mp4,1,2.5,fall", "1.mp4,0.5,2.5,fall", "9.mp4,1,2,jump", "0.mp4,1.2,1.3,fall"]
    source = notes(tmp_path, "0.mp4,3.5,9,jump", *more, "2.mp4,1.25,1.75,jump")
    manifest = prepare(source, tmp_path / "r", videos=films, overlaps="later", missing="drop")
    assert manifest.timelines is not None
    found = {
        name: [tuple(row)[1:] for row in rows.itertuples(index=False)]
        for name, rows in manifest.timelines.groupby("video_id")
    }
    assert found["0.mp4"] == [
        ("jump", 0.5, 1), ("fall", 1, 2), ("run", 2, 3.25), ("jump", 3.5, 4)
    ]  # fmt: skip
    assert found["1.mp4"][:2] == [("jump", 0.5, 1.5), ("fall", 1.5, 2)]
    assert found["2.mp4"][0] == ("jump", 0.5, 1.75), "of one class that overlap: one segment"
    report = (tmp_path / "r" / "report.txt").read_text()
    assert "cut to the end of the video: 1" in report
    assert "annotated, but not there: 1" in report


def test_a_broken_video_is_refused_or_dropped(tmp_path: Path, films: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(NUM_VIDEOS):
        (videos / f"{number}.mp4").symlink_to(films / f"{number}.mp4")
    (videos / "broken.mp4").write_bytes(b"no video")
    source = notes(tmp_path, "broken.mp4,0,1,jump")
    with pytest.raises(ManifestError, match=r"1 of 7 videos cannot be read, such as .*broken.mp4"):
        prepare(source, tmp_path / "r", videos=videos)
    assert len(prepare(source, tmp_path / "r", videos=videos, missing="drop").table) == NUM_VIDEOS
    assert "unreadable: 1" in (tmp_path / "r" / "report.txt").read_text()


def test_the_command(tmp_path: Path, films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--source", str(notes(tmp_path)), "--videos", str(films), "--root", str(tmp_path)]
    assert main(["prepare", "segments", *words]) == 0
    said = capsys.readouterr().err
    assert "segments" in said
    assert f"--config timelines --data segments --data.root {tmp_path}" in said
    assert main(["prepare", "segments"]) == 0
    assert "BORIS" in capsys.readouterr().out
    assert main(["prepare", "segments", "--source", str(tmp_path / "no"), *words[2:]]) == 1


def table(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"video_id": ["a"], "path": ["a.mp4"], "label": ["x"], **columns})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("b", "x", 0, 1), "no recording 'b'"),
        (("a", "rest", 0, 1), "the background 'rest' has no segments"),
        (("a", "x", 1, 1), "0 <= start < end"),
        (("a", "x", 2.5, 4), "overlaps .* of the same recording"),
    ],
)
def test_a_manifest_checks_its_timelines(row: tuple[object, ...], message: str) -> None:
    columns = ["video_id", "label", "start_seconds", "end_seconds"]
    segments = pd.DataFrame([("a", "x", 2, 3), row], columns=columns)
    with pytest.raises(ManifestError, match=message):
        Manifest(Path("nowhere"), table(), ["rest", "x"], segments)
    with pytest.raises(ManifestError, match="whole files"):
        Manifest(Path("nowhere"), table(end_seconds=[3.0]), ["rest", "x"], segments[:1])


def test_a_changed_segment_is_another_split() -> None:
    columns = ["video_id", "label", "start_seconds", "end_seconds"]
    hashes = {
        Manifest(
            Path("nowhere"),
            table(split1=["train"]),
            ["rest", "x"],
            pd.DataFrame([("a", "x", 2, end)], columns=columns),
        ).split_hash("split1")
        for end in (3, 4)
    }
    assert len(hashes) == 2


def test_every_moment_has_one_class() -> None:
    segments = pd.DataFrame(
        [("a", "x", 1.0, 2.0), ("a", "y", 2.0, 3.0)],
        columns=["video_id", "label", "start_seconds", "end_seconds"],
    )
    moments = np.array([0.0, 0.99, 1.0, 1.99, 2.0, 2.99, 3.0, 9.0])
    assert label_ids_at(segments, ["rest", "x", "y"], moments).tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    assert label_ids_at(segments[:0], ["rest"], moments).tolist() == [0] * 8
