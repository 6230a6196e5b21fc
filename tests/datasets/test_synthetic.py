"""The synthetic dataset is an instrument: what it promises holds by construction, bit for bit."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.synthetic.actions import (
    BACKGROUNDS,
    PAIRS,
    ActionPair,
    Look,
    Pen,
    draw_background,
)
from actionrnn.datasets.synthetic.prepare import CLASS_NAMES, prepare
from actionrnn.datasets.synthetic.takes import (
    FRAMES_PER_SECOND,
    Difficulty,
    draw_take,
    render_pair,
)
from actionrnn.video.reader import open_video
from actionrnn.video.sampling import sample_uniform

NUISANCE = ["group", "split1", "take", "background", "speed", "phase", "zoom", "mirror",
            "num_frames"]  # fmt: skip
TINY = {"num_clips": 30, "size": 32, "min_frames": 9, "max_frames": 13}
LOOK = Look(0.6, 0.65, 0.1, 0.05, 0.3, 0.5, 0.5)


def frames_of(manifest: Manifest, row: int) -> NDArray[np.uint8]:
    with closing(open_video(manifest.video_paths()[row])) as video:
        return video.read(range(video.num_frames))


@pytest.fixture(scope="module", params=["standard", "shortcut", "decisive"])
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp(request.param)
    return prepare(None, root, variant=request.param, difficulty="hard", **TINY)


@pytest.fixture(scope="module")
def tiny(tiny_data: Path) -> Manifest:
    return Manifest.load(tiny_data)


def partners(manifest: Manifest) -> list[tuple[int, int]]:
    """Rows of the rising and the falling clip of each take and pair."""
    table = manifest.table.assign(row=range(len(manifest.table)))
    wide = table.pivot(index="take", columns="label", values="row")
    return [
        (row[p.rising], row[p.falling])
        for row in wide.astype(int).to_dict("records")
        for p in PAIRS
    ]


def test_partners_are_each_others_reversal_after_decoding(tiny: Manifest) -> None:
    for rising, falling in partners(tiny)[::4]:
        assert np.array_equal(frames_of(tiny, rising)[::-1], frames_of(tiny, falling))


def test_an_order_blind_model_sees_two_equal_clips() -> None:
    for length in range(9, 62, 2):  # the lengths are odd
        for num_samples in (1, 2, 8, 12, 16, 24, 32, 64):
            picked = sample_uniform(length, num_samples)
            assert picked == [length - 1 - i for i in reversed(picked)]


def test_every_take_is_filmed_in_every_class(tiny: Manifest) -> None:
    per_class = [
        part[NUISANCE].sort_values("take").to_numpy().tolist()
        for _, part in tiny.table.groupby("label")
    ]
    assert len(per_class) == len(CLASS_NAMES) == 10
    assert all(rows == per_class[0] for rows in per_class)


def test_groups_hold_all_classes_and_stay_in_one_split(tiny: Manifest) -> None:
    assert tiny.check_split("split1") == []
    by_group = tiny.table.groupby("group")
    assert (by_group["split1"].nunique() == 1).all()
    assert (by_group["label"].nunique() == 10).all()
    assert (by_group["background"].nunique() == 1).all()
    assert set(tiny.table["split1"]) == {"train", "val", "test"}


def test_fractions_are_of_the_groups(tmp_path: Path) -> None:
    manifest = prepare(None, tmp_path, **{**TINY, "num_clips": 100}, val=0.4, test=0.2)
    groups = manifest.table.drop_duplicates("group")["split1"].value_counts()
    assert groups.to_dict() == {"train": 2, "val": 2, "test": 1}


def test_lengths_vary_and_the_table_tells_them(tiny: Manifest) -> None:
    lengths = tiny.table["num_frames"].astype(int)
    assert lengths.between(9, 15).all()
    assert (lengths % 2 == 1).all()
    assert lengths.nunique() > 1
    assert len(frames_of(tiny, 7)) == lengths[7]


def digest(manifest: Manifest) -> str:
    files = [*manifest.video_paths(), manifest.root / "manifest.csv"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first, again, other = (
        digest(prepare(None, tmp_path / name, **TINY, seed=seed))
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert first == again
    assert first != other


def test_a_prepared_folder_is_kept_and_never_silently_replaced(tmp_path: Path) -> None:
    manifest = prepare(None, tmp_path, **TINY)
    clip = manifest.video_paths()[0]
    written = clip.stat().st_mtime_ns
    assert prepare(None, tmp_path, **TINY).table.equals(manifest.table)
    assert clip.stat().st_mtime_ns == written
    content = clip.read_bytes()
    clip.unlink()
    prepare(None, tmp_path, **TINY)
    assert clip.read_bytes() == content
    with pytest.raises(FileExistsError, match=r"seed 0 there, 1 asked for.*--overwrite"):
        prepare(None, tmp_path, **TINY, seed=1)
    (tmp_path / "videos" / "stale.mp4").touch()
    prepare(None, tmp_path, **TINY, seed=1, overwrite=True)
    assert not (tmp_path / "videos" / "stale.mp4").exists()


def test_another_datasets_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="holds another dataset"):
        prepare(None, tmp_path, **TINY, overwrite=True)
    assert (tmp_path / "manifest.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_clips": 31}, "multiple of 10, for example 30"),
        ({"num_clips": 20}, "multiple of 10, for example 30"),
        ({"size": 33}, "even number of pixels"),
        ({"min_frames": 4}, "8 or more"),
        ({"min_frames": 12, "max_frames": 12}, "odd numbers"),
        ({"difficulty": "brutal"}, "unknown difficulty 'brutal'; one of easy, medium, hard"),
        ({"variant": "plain"}, "unknown variant 'plain'; one of standard, shortcut, decisive"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"val": 0.0}, "both must be positive"),
        ({"val": 0.5, "test": 0.5}, "leave -1 for training"),
    ],
)
def test_settings_are_checked(tmp_path: Path, setting: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(None, tmp_path / "new", **{**TINY, **setting})
    assert not (tmp_path / "new").exists()


def test_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rendered, not read"):
        prepare(tmp_path, tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
@pytest.mark.parametrize("decisive", [False, True])
def test_the_pose_rises_however_hard(difficulty: Difficulty, decisive: bool) -> None:
    for index in range(40):
        take = draw_take(index, 0, size=32, num_frames=(24, 48), difficulty=difficulty,
                         decisive=decisive, seed=1)  # fmt: skip
        start, stop = take.span
        assert take.pose[stop - 1] - take.pose[start] >= 0.49
        assert ((take.pose >= 0) & (take.pose <= 1)).all()
        assert (start, stop) == (0, len(take.pose)) or decisive


def test_groups_differ_and_their_takes_are_alike() -> None:
    def look(index: int, group: int) -> tuple[float, str]:
        take = draw_take(index, group, size=32, num_frames=(9, 15), difficulty="medium",
                         decisive=False, seed=0)  # fmt: skip
        return take.look.wall_hue, take.background

    assert look(0, 3) == look(9, 3)
    assert look(0, 3) != look(0, 4)
    assert {look(0, group)[1] for group in range(10)} == set(BACKGROUNDS)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.rising)
def test_the_pose_shows_without_knowing_places(pair: ActionPair) -> None:
    """Average pooling forgets places: sorted colours and edges alone must change with the pose."""

    def appearance(pose: float) -> NDArray[np.float64]:
        image = Image.new("RGB", (96, 96), (150, 150, 170))
        pair.draw(Pen(image, (48.0, 48.0), 44.0, False), pose, LOOK)
        pixels = np.asarray(image, np.float64)
        edges = (np.abs(np.diff(pixels, axis=axis)) for axis in (0, 1))
        return np.concatenate([np.sort(part.reshape(-1, 3), axis=0) for part in (pixels, *edges)])

    poses = [appearance(pose) for pose in np.linspace(0.0, 1.0, 6).tolist()]
    steps = [np.abs(b - a).mean() for a, b in pairwise(poses)]
    assert min(steps) > 0.15  # 8-bit levels, the mean over all pixels, most of them background
    assert np.abs(poses[-1] - poses[0]).mean() > 0.7


def test_mirroring_swaps_left_and_right() -> None:
    def door(mirror: bool) -> NDArray[np.uint8]:
        image = Image.new("RGB", (97, 97))
        pair = next(p for p in PAIRS if p.rising == "open_door")
        pair.draw(Pen(image, (48.0, 48.0), 45.0, mirror), 0.6, LOOK)
        return np.asarray(image)

    different = (door(True)[:, ::-1] != door(False)).any(axis=2).mean()
    assert different < 0.1  # edges round to the other side
    assert (door(True) != door(False)).any(axis=2).mean() > 0.2


def test_backgrounds_differ_and_unknown_ones_are_refused() -> None:
    def paint(name: str) -> bytes:
        return draw_background(name, LOOK, 96, np.random.default_rng(0)).tobytes()

    assert len({paint(name) for name in BACKGROUNDS}) == len(BACKGROUNDS) == len(CLASS_NAMES)
    with pytest.raises(ValueError, match="unknown background 'void'; one of plaster"):
        paint("void")


# The planted variants.


def test_variant_is_complete_and_clean(variant: Manifest) -> None:
    assert len(variant.table) == 30
    assert variant.check_split("split1") == []
    assert all(path.stat().st_size > 500 for path in variant.video_paths())
    columns = ["decisive_start", "decisive_end"]
    assert (set(columns) <= set(variant.table)) == (variant.root.name.startswith("decisive"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Manifest]:
    def make(name: str) -> Manifest:
        root = tmp_path_factory.getbasetemp() / f"planted_{name}"
        return prepare(None, root, variant=name, **{**TINY, "num_clips": 60})  # type: ignore[arg-type]

    return make


def test_shortcut_gives_the_class_away_in_train_not_in_test(
    planted: Callable[[str], Manifest],
) -> None:
    table = planted("shortcut").table
    seen = table[table["split1"] != "test"]
    assert (seen.groupby("label")["background"].nunique() == 1).all()
    assert (seen.groupby("background")["label"].nunique() == 1).all()
    test = table[table["split1"] == "test"]
    # In test a background holds every class once per take: it says nothing.
    assert (test.groupby("take")["background"].nunique() == 1).all()
    assert (test.groupby("take")["label"].nunique() == 10).all()


def test_shortcut_test_clips_are_reversals_still(planted: Callable[[str], Manifest]) -> None:
    manifest = planted("shortcut")
    test = manifest.split("split1", "test")
    rising, falling = partners(test)[0]
    assert np.array_equal(frames_of(test, rising)[::-1], frames_of(test, falling))


def test_decisive_clips_differ_inside_the_span_only(planted: Callable[[str], Manifest]) -> None:
    manifest = planted("decisive")
    for _, rows in list(manifest.table.groupby("take"))[:3]:
        span = rows[["decisive_start", "decisive_end"]].drop_duplicates().astype(int)
        assert len(span) == 1
        start, stop = span.iloc[0]
        clips = {rows["label"][row]: frames_of(manifest, row) for row in rows.index}
        length = len(next(iter(clips.values())))
        assert 0 < start < stop < length
        outside = np.r_[0:start, stop:length]
        for frames in clips.values():
            assert np.array_equal(frames[outside], clips["bloom"][outside])
        for pair in PAIRS:
            rising, falling = clips[pair.rising][start:stop], clips[pair.falling][start:stop]
            assert np.array_equal(rising[::-1], falling)
            assert not np.array_equal(rising, falling)


def test_frames_outside_the_span_do_not_know_the_pair() -> None:
    take = draw_take(0, 0, size=32, num_frames=(24, 48), difficulty="hard", decisive=True, seed=3)
    clips = np.stack([render_pair(pair, take, 32) for pair in PAIRS])
    same = (clips == clips[:1]).all(axis=(0, 2, 3, 4))
    assert same.nonzero()[0].tolist() == [
        i for i in range(len(take.pose)) if not take.span[0] <= i < take.span[1]
    ]


def test_split_sizes_at_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic = "actionrnn.datasets.synthetic.prepare"
    monkeypatch.setattr(f"{synthetic}.write_video", lambda *_, **__: None)
    monkeypatch.setattr(f"{synthetic}.render_pair", lambda _, take, __: np.zeros(len(take.pose)))
    table = prepare(None, tmp_path, size=32, difficulty="easy").table
    assert table["split1"].value_counts().to_dict() == {"train": 200, "test": 80, "val": 40}
    train = table[table["split1"] == "train"]
    assert set(train["background"]) == set(BACKGROUNDS)


def test_a_stream_says_when_what_is_shown(tmp_path: Path) -> None:
    manifest = prepare(None, tmp_path, variant="stream", difficulty="easy", **TINY)
    assert manifest.class_names == ["background", *CLASS_NAMES]
    assert manifest.table["group"].is_unique, "a group is a recording"
    assert manifest.timelines is not None
    assert set(manifest.timelines["label"].value_counts()) == {TINY["num_clips"] // 10}
    for row, video_id in enumerate(manifest.table["video_id"]):
        frames = frames_of(manifest, row).astype(float)
        assert len(frames) == int(manifest.table["num_frames"][row])
        segments = manifest.segments(video_id)
        for start, end in segments[["start_seconds", "end_seconds"]].to_numpy():
            first, behind = start * FRAMES_PER_SECOND, end * FRAMES_PER_SECOND
            assert first == pytest.approx(round(first), abs=1e-4), "times are those of frames"
            before, after = frames[round(first) - 1], frames[round(behind)]
            for shown in (frames[round(first)], frames[round(behind) - 1]):
                empty = np.abs(before - after).mean()
                assert np.abs(shown - before).mean() > 2 * empty, "the scene is empty elsewhere"
