"""Folders of numbered pictures read like videos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionrnn.video.errors import VideoNotFound, VideoUnreadable
from actionrnn.video.images import ImageFolderReader
from actionrnn.video.reader import open_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures 1.png to 12.png (no leading zeros), grey level 10 times their number."""
    for number in range(1, 13):
        pixels = np.full((6, 8, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_pictures_come_in_the_order_of_their_numbers(folder: Path) -> None:
    reader = ImageFolderReader(str(folder))
    assert (reader.num_frames, reader.warnings) == (12, ())
    frames = reader.read([0, 9, 1, 9])
    assert frames.shape == (4, 6, 8, 3)
    assert frames[:, 0, 0, 0].tolist() == [10, 100, 20, 100]
    assert reader.timestamps_seconds.tolist() == pytest.approx([k / 12 for k in range(12)])
    reader.close()


def test_a_part_of_the_folder(folder: Path) -> None:
    reader = ImageFolderReader(str(folder), start_seconds=0.5, end_seconds=0.75)
    assert reader.num_frames == 3
    assert reader.read([0])[0, 0, 0, 0] == 70
    with pytest.raises(IndexError, match=r"outside 0\.\.2"):
        reader.read([3])


def test_gaps_are_warned_of(folder: Path) -> None:
    (folder / "frame5.png").unlink()
    reader = ImageFolderReader(str(folder))
    assert reader.num_frames == 11
    assert reader.warnings == ("1 pictures are missing in between",)


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path) -> None:
    (folder / "frame2.png").write_bytes(b"no picture")
    with pytest.raises(VideoUnreadable, match=r"frame2\.png is no readable picture"):
        ImageFolderReader(str(folder)).read([1])
    Image.new("RGB", (4, 4)).save(folder / "frame2.png")
    with pytest.raises(VideoUnreadable, match="its pictures differ in size"):
        ImageFolderReader(str(folder)).read([0, 1])
    Image.new("RGB", (4, 4)).save(folder / "other2.png")
    with pytest.raises(VideoUnreadable, match=r"frame2.png and other2.png have the same number"):
        ImageFolderReader(str(folder))
    (tmp_path / "empty").mkdir()
    (tmp_path / "unnumbered").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "unnumbered" / "cover.png")
    with pytest.raises(VideoUnreadable, match=r"cover.png has no number at its end"):
        ImageFolderReader(str(tmp_path / "unnumbered"))
    with pytest.raises(VideoUnreadable, match="holds no pictures"):
        ImageFolderReader(str(tmp_path / "empty"))
    with pytest.raises(VideoNotFound, match="no such folder"):
        ImageFolderReader(str(tmp_path / "gone"))


def test_strays_are_no_frames(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "cover.png")
    for name in ("thumb_3.png", "Thumbnail7.jpg"):
        Image.new("RGB", (4, 4)).save(folder / name)
    for name in ("._frame1.png", "._frame99.png", ".frame50.png", "Thumbs.db"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    (folder / "13.jpg").mkdir()
    with ImageFolderReader(str(folder)) as reader:
        assert reader.num_frames == 12
        assert reader.read(range(12))[:, 0, 0, 0].tolist() == [10 * n for n in range(1, 13)]
        assert reader.warnings == ("cover.png is no frame: it has no number",)


# How a picture lies in the file, for each way the camera was held (Exif, tag 274).
CODED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 3),
}


@pytest.mark.parametrize("orientation", CODED)
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_pictures_are_upright(orientation: int, ending: str, tmp_path: Path) -> None:
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:24, :32], upright[:24, 32:], upright[24:, :32] = 60, 120, 180
    exif = Image.Exif()
    exif[274] = orientation
    coded = np.ascontiguousarray(CODED[orientation](upright))
    Image.fromarray(coded).save(tmp_path / f"1.{ending}", exif=exif)
    frame = ImageFolderReader(str(tmp_path)).read([0])[0]
    assert frame.shape == upright.shape
    assert np.abs(frame.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_scaled(ending: str, tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(deep).save(tmp_path / f"1.{ending}")
    frame = ImageFolderReader(str(tmp_path)).read([0])[0]
    assert np.array_equal(frame, np.repeat(np.arange(256).reshape(16, 16, 1), 3, axis=2))


@pytest.mark.parametrize(("dtype", "reason"), [(np.int32, "32 bits"), (np.float32, "floating")])
def test_pixels_without_a_range_are_refused(
    dtype: type[np.generic], reason: str, tmp_path: Path
) -> None:
    Image.fromarray(np.full((4, 4), 1 << 20, dtype)).save(tmp_path / "1.tif")
    with pytest.raises(VideoUnreadable, match=reason):
        ImageFolderReader(str(tmp_path)).read([0])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_on_black(mode: str, tmp_path: Path) -> None:
    if mode == "P":
        image = Image.fromarray(np.repeat(np.array([[0, 1, 2]], np.uint8), 4, axis=0))
        image.putpalette([200] * 9)
        image.save(tmp_path / "1.png", transparency=bytes([0, 128, 255]))
    else:
        pixels = np.full((4, 3, 4), 200, np.uint8)
        pixels[..., 3] = [0, 128, 255]
        Image.fromarray(pixels).convert(mode).save(tmp_path / "1.png")
    frame = ImageFolderReader(str(tmp_path)).read([0])[0]
    assert frame[..., 0] == pytest.approx(np.array([[0, 100, 200]] * 4), abs=1)


@pytest.mark.real
def test_real_pictures(shared_data: Path) -> None:
    turned = open_video(shared_data / "failing" / "pictures_exif6")
    assert turned.read([0]).shape == (1, 64, 48, 3)
    with open_video(shared_data / "failing" / "pictures_appledouble") as video:
        assert video.read(range(video.num_frames)).shape[0] == 6
