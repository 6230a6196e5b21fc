"""Every file of a folder is a clip, or counted with the reason why it is none."""

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, features

from actionrnn.cli import main
from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.manifest import Manifest
from actionrnn.datasets.own import folder
from actionrnn.datasets.own.find_clips import find_clips
from actionrnn.datasets.source.archives import ArchiveError
from actionrnn.datasets.source.locate import SourceFiles
from actionrnn.video.reader import open_video

CONTAINERS = {
    "mpegts": (".MTS", ".m2ts", ".odd"),
    "matroska": (".mkv", ".MKV", ".film"),
    "mp4": (".mp4", ".f4v", ""),
    "h264": (".h264",),
    "avi": (".avi", ".divx"),
    "asf": (".wmv",),
    "ogg": (".ogv",),
}


def encode(path: Path, container_format: str, pixels: np.ndarray) -> Path:
    """A film in a container that its ending need not tell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {"ogg": "libvpx", "avi": "mpeg4"}.get(container_format, "libx264")
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=25)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", *pixels.shape[1:3]
        for picture in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def counted(lines: list[str]) -> int:
    return sum(int(line.split()[0]) for line in lines)


@pytest.mark.parametrize("container_format", CONTAINERS)
def test_whatever_can_be_read_is_a_clip(
    container_format: str, tmp_path: Path, make_scene: Callable[..., np.ndarray]
) -> None:
    made = [
        encode(tmp_path / f"film{ending}", container_format, make_scene(1))
        for ending in CONTAINERS[container_format]
    ]
    clips, left_out = find_clips(SourceFiles.walk((tmp_path,)))
    assert sorted(clips) == sorted(made)
    assert not left_out
    for clip in clips:
        assert open_video(clip, "pyav").num_frames == 3


@pytest.mark.parametrize("name", ["phone.heic", "phone.avif", "icon.ico", "scan.jp2", "odd"])
def test_a_single_picture_is_no_film(
    name: str, tmp_path: Path, make_scene: Callable[..., np.ndarray]
) -> None:
    film = encode(tmp_path / "film.mp4", "mp4", make_scene(1))
    if name.endswith((".ico", ".jp2")) or (name.endswith(".avif") and features.check("avif")):
        Image.fromarray(make_scene(1)[0]).save(tmp_path / name)
    else:
        encode(tmp_path / name, "mp4", make_scene(1)[:1])
    ending = Path(name).suffix or "without ending"
    assert find_clips(SourceFiles.walk((tmp_path,))) == (
        [film],
        [f"1 {ending}: it is a single picture ({name})"],
    )


@pytest.fixture
def mixed(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A folder as people have them."""
    top = tmp_path / "mine"
    for seed, label in enumerate(("jump", "run")):
        for take in range(4):
            make_video(top / label / f"{take}.mp4", seed=100 * seed + take)
    jump, run = top / "jump", top / "run"
    for name in ("notes.txt", "more.TXT", ".hidden.mp4", "._0.mp4", "Thumbs.db"):
        (jump / name).write_text("words")
    (jump / ".cache" / "deep").mkdir(parents=True)
    shutil.copy(jump / "0.mp4", jump / ".cache" / "deep" / "x.mp4")
    (jump / "array.npy").write_bytes(np.random.default_rng(0).bytes(4000))
    (jump / "noise").write_bytes(np.random.default_rng(1).bytes(4000))
    Image.new("RGB", (8, 8)).save(jump / "poster.png")
    with zipfile.ZipFile(run / "more.zip", "w") as archive:
        archive.write(jump / "0.mp4", "9.mp4")
    for number in range(3):
        (run / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), (number * 50, 0, 0)).save(run / "pictures" / f"{number:03}.tif")
    (run / "pictures" / "._000.tif").write_bytes(b"mac")
    (top / "again").symlink_to(jump)
    make_video(top / "stray.mp4", seed=7)
    return top


def test_every_file_is_a_clip_or_counted(mixed: Path) -> None:
    files = [Path(at, name) for at, _, names in os.walk(mixed) for name in names]
    clips, left_out = find_clips(SourceFiles.walk((mixed,)))
    pictures = [path for path in files if path.parent in clips and path.name[0] != "."]
    films = [clip for clip in clips if clip.is_file()]
    assert len(films) == 9
    assert [clip.name for clip in clips if clip.is_dir()] == ["pictures"]
    links = 1
    assert len(films) + len(pictures) + counted(left_out) == len(files) + links
    text = "\n".join(left_out)
    for line in (
        r"1 .db: this is text, not a video \(\w+/Thumbs.db\)",
        r"2 .txt: this is text, not a video \(\w+/more.TXT, ...\)",
        r"3 .mp4: hidden \(",
        r"1 .tif: hidden \(run/pictures/._000.tif\)",
        r"1 .png: a picture beside videos \(\w+/poster.png\)",
        r"1 .zip: an archive: unpack it \(run/more.zip\)",
        r"1 .npy: ",
        r"1 without ending: ",
        r"1 without ending: a link to a folder that counts already",
    ):
        assert re.search(f"^{line}", text, re.MULTILINE), line


def test_the_report_and_the_terminal_say_so(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assert main(["prepare", "folder", "--source", str(mixed), "--root", str(root)]) == 0
    assert "left out, by ending and reason" in capsys.readouterr().err
    report = (root / "report.txt").read_text()
    assert "  2 .txt: this is text, not a video" in report
    assert f"not in a class folder: 1\n  {mixed / 'stray.mp4'}" in report
    assert len(Manifest.load(root).table) == 9


def test_a_folder_without_videos_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "mine" / "jump").mkdir(parents=True)
    (tmp_path / "mine" / "jump" / "a.txt").write_text("words")
    with pytest.raises(ManifestError, match=r"no videos in .*\n  1 \.txt: this is text, not a v"):
        folder.prepare(tmp_path / "mine", tmp_path / "root")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="all folders may be read")
def test_a_folder_that_may_not_be_read_is_no_empty_one(mixed: Path, tmp_path: Path) -> None:
    (mixed / "jump").chmod(0)
    try:
        with pytest.raises(PermissionError):
            folder.prepare(mixed, tmp_path / "root")
    finally:
        (mixed / "jump").chmod(0o755)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"caf\xe9.mp4", r"'jump/\d?caf\\udce9.mp4' and 1 more: the name is not UTF-8 .*convmv"),
        (b"a\nb.mp4", r"'jump/\d?a\\nb.mp4' and 1 more: the name holds a line break; rename it"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_names_that_no_table_can_hold_are_told(
    mixed: Path, tmp_path: Path, name: bytes, why: str
) -> None:
    for number in (b"", b"2"):
        shutil.copy(mixed / "jump/0.mp4", os.fsencode(mixed / "jump") + b"/" + number + name)
    with pytest.raises(ManifestError, match=why):
        folder.prepare(mixed, tmp_path / "root")
    assert not (tmp_path / "root").exists()


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_folder_on_the_way_whose_name_no_table_can_hold(mixed: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    shutil.copytree(mixed, odd)
    with pytest.raises(ManifestError, match="the name is not UTF-8 text"):
        folder.prepare(odd, tmp_path / "root", near_duplicates="skip")


@pytest.mark.slow
def test_control_characters_in_names_reach_no_terminal(
    mixed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copy(mixed / "jump" / "0.mp4", mixed / "jump" / "\x1b[2Jcopy\x07.mp4")
    (mixed / "run" / "\x1b[31mempty.mp4").touch()
    (mixed / "run" / "\x1b[31mnote.txt").touch()
    assert main(["prepare", "folder", "--source", str(mixed), "--root", str(root)]) == 0
    assert main(["verify", str(root), "--num_workers", "1", "--quick"]) == 3
    main(["verify", str(root), "--duplicates"])
    said = capfd.readouterr()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", said.out + said.err)
    assert r"\x1b[31mempty" in said.out
    assert "\x1b" not in (root / "report.txt").read_text()


@pytest.mark.real
def test_the_failing_inputs(shared_data: Path, tmp_path: Path) -> None:
    failing = shared_data / "failing"
    manifest = folder.prepare(failing / "folder_endings", tmp_path / "a", near_duplicates="skip")
    assert sorted(manifest.table["video_id"]) == [
        "jump/jump0.mp4",
        "jump/jump6.MTS",
        "run/run0.mp4",
        "run/run6.MTS",
    ]
    with pytest.raises(ArchiveError, match=r"caf\\udce9_\d\.avi' is not UTF-8 text"):
        folder.prepare(failing / "non_utf8_names.tar.gz", tmp_path / "b")
    clips, left_out = find_clips(SourceFiles.walk((failing / "pictures_appledouble",)))
    assert clips == [failing / "pictures_appledouble"]
    assert left_out == ["6 .jpg: hidden (._img_00001.jpg, ...)"]
