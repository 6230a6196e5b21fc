"""Miniature copies of the official datasets, with every quirk of the originals."""

import binascii
import csv
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionrnn.video.writer import write_video

CODECS = {".avi": "mpeg4", ".mp4": "libx264", ".webm": "libvpx"}


def scene(seed: int, num_frames: int = 3, size: tuple[int, int] = (48, 96)) -> np.ndarray:
    """Frames of one place: large tiles whose colours the seed chooses, with a dot that moves."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    picture = tiles.repeat(size[0] // 4, 0).repeat(size[1] // 6, 1)
    frames = np.stack([picture] * num_frames)
    for number, frame in enumerate(frames):
        frame[2:5, 2 + number : 5 + number] = 255
    return frames


def video(path: Path, seed: int, num_frames: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = CODECS[path.suffix.lower()]
    options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx" else {}
    write_video(path, scene(seed, num_frames), 25, codec, options)
    return path


STORED, COMPRESSED = 0x30, 0x33


def rar(
    path: Path, members: dict[str, bytes], link: str | None = None, method: int = STORED
) -> Path:
    """A RAR 3 archive; stored (uncompressed) members need no program to read.

    `COMPRESSED` only says that they are: what the program makes of them is the test's business.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    def block(kind: int, flags: int, body: bytes) -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", binascii.crc32(head) & 0xFFFF) + head

    data = b"Rar!\x1a\x07\x00" + block(0x73, 0, b"\0" * 6)
    for name, content in members.items():
        mode = 0o120777 if name == link else 0o100644
        size, checksum = len(content), binascii.crc32(content)
        fields = struct.pack(
            "<IIBIIBBHI", size, size, 3, checksum, 0x50000000, 20, method, len(name.encode()), mode
        )
        data += block(0x74, 0x8000, fields + name.encode()) + content
    path.write_bytes(data + block(0x7B, 0x4000, b""))
    return path


@pytest.fixture(name="make_video")
def _make_video() -> Callable[..., Path]:
    return video


@pytest.fixture(name="make_scene")
def _make_scene() -> Callable[..., np.ndarray]:
    return scene


@pytest.fixture(name="make_rar")
def _make_rar() -> Callable[..., Path]:
    return rar


def still(seed: int) -> np.ndarray:
    """Four equal frames of one place, finer than a scene's."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return np.stack([tiles] * 4)


@pytest.fixture(name="make_still")
def _make_still() -> Callable[[int], np.ndarray]:
    return still


@pytest.fixture(scope="session")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six places each, filmed twice: the second take is another encoding."""
    top = tmp_path_factory.mktemp("takes") / "takes"
    for label, first in (("jump", 0), ("run", 50)):
        (top / label).mkdir(parents=True)
        for place in range(6):
            for take, crf in (("a", "18"), ("b", "30")):
                path = top / label / f"{place}{take}.mp4"
                write_video(path, still(first + place), 25, options={"crf": crf})
    return top


UCF_CLASSES = {"ApplyEyeMakeup": "ApplyEyeMakeup", "HandstandPushups": "HandStandPushups"}
UCF_GROUPS, UCF_CLIPS = 9, 2


@pytest.fixture(scope="session")
def ucf101(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Split k tests groups 3k-2 to 3k; lists with CRLF, as in the published zip."""
    top = tmp_path_factory.mktemp("ucf101")
    lists: dict[str, list[str]] = {}
    for label, (folder, stem) in enumerate(UCF_CLASSES.items(), start=1):
        for group in range(1, UCF_GROUPS + 1):
            for clip in range(1, UCF_CLIPS + 1):
                name = f"{folder}/v_{stem}_g{group:02d}_c{clip:02d}.avi"
                video(top / "UCF-101" / name, seed=100 * label + 10 * group + clip)
                for split in (1, 2, 3):
                    if (group + 2) // 3 == split:
                        lists.setdefault(f"testlist{split:02d}.txt", []).append(name)
                    else:
                        line = f"{name} {label}"
                        lists.setdefault(f"trainlist{split:02d}.txt", []).append(line)
    with zipfile.ZipFile(top / "UCF101TrainTestSplits-RecognitionTask.zip", "w") as archive:
        classes = [f"{number} {name}" for number, name in enumerate(UCF_CLASSES, start=1)]
        for name, lines in {"classInd.txt": classes, **lists}.items():
            archive.writestr(f"ucfTrainTestlist/{name}", "\r\n".join(lines) + "\r\n")
    return top


HMDB_NAMES = (
    "April_09_{label}_u_nm_np1_ba_goo_0.avi",
    "April_09_{label}_u_cm_np1_fr_med_1.avi",
    "#20_Rhythm_{label}_f_nm_np1_fr_goo_0.avi",
    "Re-_Show_your_{label}!_(CZE)_&_$HOME_{label}_h_nm_np1_le_bad_2.avi",
    "turnles!!_{label}_f_cm_np1_ri_med_6.avi",
    "it's;a`b_{label}_f_cm_np2_ri_med_6.avi",
    "left_out_{label}_f_cm_np2_ri_med_6.avi",
)
HMDB_PARTS = (1, 1, 1, 2, 2, 1, 0)


@pytest.fixture(scope="session")
def hmdb51(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rar of rars, one a class, and a rar of lists; splits 2 and 3 turn the parts round."""
    top = tmp_path_factory.mktemp("hmdb51")
    inner, lists = {}, {}
    for number, label in enumerate(("brush_hair", "climb", "climb_stairs")):
        names = [name.format(label=label) for name in HMDB_NAMES]
        members = {
            f"{label}/{name}": video(
                top / "tmp" / "x.avi", seed=1000 + 10 * number + k
            ).read_bytes()
            for k, name in enumerate(names)
        }
        inner[f"{label}.rar"] = rar(top / "tmp" / "x.rar", members).read_bytes()
        for split in (1, 2, 3):
            turned = HMDB_PARTS if split == 1 else tuple((0, 2, 1)[p] for p in HMDB_PARTS)
            lines = [f"{name} {part} \n" for name, part in zip(names, turned, strict=True)]
            file = f"testTrainMulti_7030_splits/{label}_test_split{split}.txt"
            lists[file] = "".join(lines).encode()
    for file in (top / "tmp").iterdir():
        file.unlink()
    (top / "tmp").rmdir()
    rar(top / "hmdb51_org.rar", inner)
    rar(top / "test_train_splits.rar", lists)
    return top


KINETICS_ROWS = [
    ("petting animal (not cat)", "-abcdefghij", 3, 13, "train"),
    ("petting animal (not cat)", "abcdefghij-", 0, 10, "train"),
    ("petting animal (not cat)", "aaaaaaaaaa1", 0, 10, "train"),
    ('playing "hot potato"', "bbbbbbbbbb1", 112, 122, "train"),
    ('playing "hot potato"', "bbbbbbbbbb2", 112, 122, "train"),
    ('playing "hot potato"', "gone0000000", 1, 11, "train"),
    ("massaging person's head", "cccccccccc1", 5, 15, "train"),
    ("massaging person's head", "cccccccccc2", 5, 15, "train"),
    ("petting animal (not cat)", "dddddddddd1", 5, 15, "val"),
    ('playing "hot potato"', "dddddddddd2", 5, 15, "val"),
    ("massaging person's head", "dddddddddd3", 5, 15, "val"),
    ("massaging person's head", "corrupt0000", 5, 15, "val"),
]


@pytest.fixture(scope="session")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quotes and spaces in labels, ids with a dash in front, a missing and a corrupt video."""
    top = tmp_path_factory.mktemp("kinetics")
    (top / "annotations").mkdir()
    header = ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
    for part in ("train", "val"):
        with (top / "annotations" / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows([*row, 0] for row in KINETICS_ROWS if row[4] == part)
    (top / "annotations" / "test.csv").write_text(
        "youtube_id,time_start,time_end,split\neeeeeeeeee1,1,11,test\n"
    )
    for seed, (label, video_id, start, end, part) in enumerate(KINETICS_ROWS):
        folder = top / part / label if part == "train" else top / part
        file = folder / f"{video_id}_{start:06d}_{end:06d}.mp4"
        if video_id == "corrupt0000":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("<html>this video is private</html>")
        elif video_id != "gone0000000":
            video(file, seed=2000 + seed)
    video(top / "test" / "eeeeeeeeee1_000001_000011.mp4", seed=2100)
    video(top / "train" / "zzzzzzzzzz1_000001_000011.mp4", seed=2101)
    replaced = "bbbbbbbbbb1_000112_000122.mp4"
    video(top / "replacement_for_corrupted_k400" / replaced, seed=2102, num_frames=4)
    return top


@pytest.fixture(scope="session")
def ssv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """String indices that are not in order, brackets in templates, a test list of ids only."""
    top = tmp_path_factory.mktemp("ssv2")
    templates = {
        "1": ("Pushing [something] from left to right", "Pushing a cup from left to right"),
        "0": ("Holding [something] in front of [something]", "Holding x in front of y"),
    }
    labels = {text.replace("[", "").replace("]", ""): k for k, (text, _) in templates.items()}
    (top / "something-something-v2-labels.json").write_text(json.dumps(labels))

    def entries(ids: range) -> list[dict[str, object]]:
        chosen = [list(templates.values())[number % 2] for number in ids]
        return [
            {"id": str(n), "label": label, "template": template, "placeholders": ["x", "y"]}
            for n, (template, label) in zip(ids, chosen, strict=True)
        ]

    for name, ids in (("train", range(1, 13)), ("validation", range(20, 24))):
        (top / f"something-something-v2-{name}.json").write_text(json.dumps(entries(ids)))
        for number in ids:
            video(top / "20bn-something-something-v2" / f"{number}.webm", seed=3000 + number)
    test = [{"id": "30"}, {"id": "31"}]
    (top / "something-something-v2-test.json").write_text(json.dumps(test))
    video(top / "20bn-something-something-v2" / "30.webm", seed=3030)
    return top


@pytest.fixture(scope="session")
def jester(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of `%05d.jpg`, `id;label` without a header."""
    top = tmp_path_factory.mktemp("jester")
    classes = ["Swiping Left", "No gesture", "Thumb Up"]
    (top / "jester-v1-labels.csv").write_text("".join(f"{name}\n" for name in classes))

    def folder(number: int) -> None:
        path = top / "20bn-jester-v1" / str(number)
        path.mkdir(parents=True)
        for frame, pixels in enumerate(scene(4000 + number, num_frames=12), start=1):
            Image.fromarray(pixels).save(path / f"{frame:05d}.jpg")

    for name, ids in (("train", range(1, 13)), ("validation", range(100, 103))):
        lines = [f"{number};{classes[number % 3]}\n" for number in ids]
        (top / f"jester-v1-{name}.csv").write_text("".join(lines))
        for number in ids:
            folder(number)
    (top / "jester-v1-test.csv").write_text("200;\n201\n")
    folder(200)
    return top


KTH_HEADER = """\
KTH actions (Schüldt): frame numbers of the sequences

Training: person11, 12, 13, 14, 15, 16, 17, 18

"""


@pytest.fixture(scope="session", name="kth_dataset")
def _kth_dataset(kth: Path) -> Path:
    """The same, for modules in which `kth` is the module."""
    return kth


@pytest.fixture(scope="session")
def kth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two actions, one zip each; a video that does not exist; overlapping sequences; Latin-1."""
    top = tmp_path_factory.mktemp("kth")
    lines = [KTH_HEADER]
    for action in ("boxing", "handclapping"):
        with zipfile.ZipFile(top / f"{action}.zip", "w") as archive:
            for person in (11, 13, 19, 2, 22):
                for scenario in (1, 3):
                    name = f"person{person:02d}_{action}_d{scenario}"
                    if name == "person13_handclapping_d3":
                        lines.append(f"{name}\t\t*missing*\n")
                        continue
                    seed = 5000 + 100 * person + 10 * scenario + len(action)
                    file = video(top / "tmp.avi", seed=seed, num_frames=20)
                    archive.write(file, f"{name}_uncomp.avi")
                    lines.append(f"{name}\t\tframes\t1-8, 5-10, 11-20 \n")
        lines.append("\n")
    (top / "tmp.avi").unlink()
    (top / "00sequences.txt").write_text("".join(lines), encoding="latin-1")
    return top
