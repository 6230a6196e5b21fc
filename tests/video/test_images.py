"""Folders of numbered pictures read like videos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionrnn.video.errors import VideoNotFound, VideoUnreadable
from actionrnn.video.images import ImageFolderReader


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
    (folder / "other2.png").rename(folder / "cover.png")
    with pytest.raises(VideoUnreadable, match=r"cover.png has no number at its end"):
        ImageFolderReader(str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoUnreadable, match="holds no pictures"):
        ImageFolderReader(str(tmp_path / "empty"))
    with pytest.raises(VideoNotFound, match="no such folder"):
        ImageFolderReader(str(tmp_path / "gone"))
