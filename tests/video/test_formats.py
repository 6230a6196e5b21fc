"""Whatever the readers can read is a video, whatever its ending; nothing else is."""

import shutil
import sys
from pathlib import Path
from typing import get_args

import av
import pytest
from PIL import Image

from actionrnn.video.errors import VideoUnreadable
from actionrnn.video.formats import PICTURE_ENDINGS, VIDEO_ENDINGS, is_picture
from actionrnn.video.probe import why_no_video
from actionrnn.video.reader import READER_PACKAGES, ReaderName, open_video

sys.path.insert(0, str(Path(__file__).parent))
from conftest import READERS, X264, encode, sequential_indices, shown_index

WRITTEN = {
    "x.MTS": ("libx264", X264),
    "x.m2ts": ("libx264", X264),
    "x.h264": ("libx264", X264),
    "x.m2v": ("mpeg2video", {"q": "3"}),
    "x.vob": ("mpeg2video", {"q": "3"}),
    "x.wmv": ("wmv2", {"q": "3"}),
    "x.flv": ("flv", {"q": "3"}),
    "x.3gp": ("mpeg4", {"q": "3"}),
    "x.ivf": ("libvpx", {"b": "1M"}),
    "x.y4m": ("rawvideo", {}),
    "x.gif": ("gif", {}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_video_of_any_ending(name: str, tmp_path: Path) -> None:
    codec, options = WRITTEN[name]
    pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
    path = encode(tmp_path / name, codec, options, 12, pix_fmt=pix_fmt)
    assert path.suffix.lower() in VIDEO_ENDINGS
    hidden = shutil.copy(path, tmp_path / "clip.unheard")
    truth = sequential_indices(path)
    assert len(truth) == 12
    for file in (path, hidden):
        assert why_no_video(str(file)) == ""
        with open_video(file) as video:
            assert video.num_frames == len(truth)
            assert [shown_index(frame) for frame in video.read(range(len(truth)))] == truth


def test_what_is_no_video_says_why(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.jpg")
    with av.open(str(tmp_path / "song.mp3"), "w") as container:
        sound = container.add_stream("mp3", rate=16000)
        for start in range(0, 16000, 1024):
            silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            silence.sample_rate, silence.pts = 16000, start
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    contents = {
        "notes.txt": b"walk: 3 clips\n",
        "labels.csv": b"clip,label\na.mp4,walk\n",
        "empty.bin": b"",
        "array.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (3,)}" + bytes(99),
        "script.py": b"import os\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    reasons = {path.name: why_no_video(str(path)) for path in tmp_path.iterdir()}
    assert reasons["a.jpg"] == "it is a single picture"
    assert reasons["song.mp3"] == "it has no video stream, only audio"
    assert reasons["notes.txt"] == reasons["labels.csv"] == "this is text, not a video"
    assert all(reasons.values()), reasons
    assert why_no_video(str(tmp_path / "gone")) == "there is no such file"


@pytest.mark.parametrize("ending", ["mp4", "ts", "avi", "m3u8"])
@pytest.mark.parametrize("reader", READERS)
def test_files_named_inside_a_file_are_not_opened(reader: str, ending: str, tmp_path: Path) -> None:
    film = encode(tmp_path / "secret.ts", "libx264", X264, 12)
    playlists = (
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {film}\n",
        "\ufeff#EXTM3U\n#EXTINF:1,\nsecret.ts\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    )
    for text in playlists:
        path = tmp_path / f"list.{ending}"
        path.write_text(text)
        with pytest.raises(VideoUnreadable, match="this is a playlist, which is not followed"):
            open_video(path, reader)


def test_a_pattern_in_a_name_is_not_followed(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{number}.jpg")
    Image.new("RGB", (16, 16)).save(tmp_path / "%d.jpg")
    with pytest.raises(VideoUnreadable):
        open_video(tmp_path / "%d.jpg")


def test_pictures_are_known_by_their_names() -> None:
    assert not PICTURE_ENDINGS & VIDEO_ENDINGS
    assert all(is_picture(f"img_1{ending.upper()}") for ending in PICTURE_ENDINGS)
    others = ("._img_1.jpg", ".jpg", "Thumbs.db", "a.mp4", "jpg")
    assert not any(is_picture(name) for name in others)


def test_the_readers_that_settings_may_choose_are_those_that_there_are() -> None:
    assert set(get_args(ReaderName)) == {"auto", *READER_PACKAGES}
