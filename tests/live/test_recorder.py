"""What is left of a stream: clips with the frames of their events, films, the latest picture."""

import http.client
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionrnn.errors import UsageError
from actionrnn.evaluation.segments import Segment
from actionrnn.live.events import EventDetector, EventRules
from actionrnn.live.preview import Preview
from actionrnn.live.recorder import PAD_SECONDS, Recorder
from actionrnn.live.watch import Scored
from actionrnn.video.reader import open_video
from actionrnn.video.sources import Frame

FPS, NUM_FRAMES = 10.0, 200
NAMES = ["rest", "wave/1"]


def picture(number: int) -> np.ndarray:
    """Its brightness says which it is; an odd size, as cameras have it."""
    return np.full((33, 48, 3), number, np.uint8)


def recorded(recorder: Recorder, happens: range, rules: EventRules) -> list[Segment]:
    """Frames at 10 per second, each scored when the next ones are here already."""
    detector = EventDetector(NAMES, rules, 1 / FPS)
    ended = []
    for number in range(NUM_FRAMES + 5):
        if number < NUM_FRAMES:
            recorder.see(Frame(number / FPS, picture(number)))
        late = number - 5
        if late >= 0:
            probs = np.array([0.1, 0.9] if late in happens else [0.9, 0.1])
            seconds = (late + 0.5) / FPS
            events = detector.add(seconds, probs)
            recorder.judge(Scored(seconds, probs, 0), events)
            ended += [event.segment for event in events if event.kind == "end"]
    last = detector.finish()
    recorder.close(last)
    return ended + [event.segment for event in last]


RULES = EventRules(least_seconds=0.5, background=("rest",))


@pytest.mark.parametrize("happens", [range(60, 90), range(3, 30), range(180, 200)])
def test_a_clip_has_the_frames_of_its_event_and_a_second_around_them(
    happens: range, tmp_path: Path
) -> None:
    recorder = Recorder(NAMES, FPS, 1 / FPS, 0.5, drops=False, clips=tmp_path / "clips")
    [segment] = recorded(recorder, happens, RULES)
    assert segment[1:3] == pytest.approx((happens.start / FPS, happens.stop / FPS))
    [path] = (tmp_path / "clips").iterdir()
    assert path == recorder.clip_of(segment)
    assert path.name.endswith("wave_1.mp4"), "a class name is no path"
    pad = round(PAD_SECONDS * FPS)
    expected = range(max(0, happens.start - pad), min(NUM_FRAMES, happens.stop + pad))
    with open_video(path) as video:
        found = [round(frame.mean()) for frame in video.read(range(video.num_frames))]
        assert video.timestamps_seconds == pytest.approx(np.arange(len(expected)) / FPS, abs=1e-3)
    assert found == pytest.approx(list(expected), abs=3)
    assert recorder.num_dropped == 0


def test_a_film_has_every_frame_at_its_time_with_words_on_it(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    recorded(Recorder(NAMES, FPS, 1 / FPS, 0.5, drops=False, film=film), range(60, 90), RULES)
    with open_video(film) as video:
        assert video.num_frames == NUM_FRAMES
        assert video.timestamps_seconds == pytest.approx(np.arange(NUM_FRAMES) / FPS, abs=1e-3)
        quiet, loud = (frame.astype(int) for frame in video.read([40, 80]))
    assert quiet.shape[0] >= 240, "small pictures are enlarged: words need room"
    assert quiet[0, 0].mean() == pytest.approx(40, abs=3)
    assert quiet[-80:].max() > 200
    redness = [(frame[-80:, :, 0] - frame[-80:, :, 2]).max() for frame in (quiet, loud)]
    assert redness[0] < 30 < 60 < redness[1], "an event that lasts is red"


def test_what_goes_wrong_with_writing_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "clips").write_text("a file, no folder")
    recorder = Recorder(NAMES, FPS, 1 / FPS, 0.5, drops=False, clips=tmp_path / "clips")
    with pytest.raises(OSError, match="clips"):
        recorded(recorder, range(60, 90), RULES)


def test_memory_holds_what_an_event_may_need_and_no_more(tmp_path: Path) -> None:
    recorder = Recorder(NAMES, FPS, 1 / FPS, 0.5, drops=False, clips=tmp_path)
    recorded(recorder, range(0), RULES)
    assert len(recorder._past) + len(recorder._ahead) <= 1.7 * FPS + 1
    assert list(tmp_path.iterdir()) == []


def asked(preview: Preview, path: str, host: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", int(preview.address.split(":")[2][:-1]))
    connection.request("GET", path, headers={"Host": host} if host else {})
    return connection.getresponse()


def test_a_preview_shows_the_latest_picture_to_this_machine_alone() -> None:
    preview = Preview(0, "cam <1>", NAMES)
    try:
        assert "cam &lt;1&gt;" in asked(preview, "/").read().decode()
        assert asked(preview, "/else").status == 404
        assert asked(preview, "/stream", host="evil.example:80").status == 403
        with pytest.raises(UsageError, match="0 takes any port"):
            Preview(int(preview.address.split(":")[2][:-1]), "again", NAMES)
        for number in range(50):  # nobody looks, and nothing waits
            preview.see(Frame(number / FPS, picture(number)))
            preview.judge(Scored(number / FPS, np.array([0.2, 0.8]), 0), [])
        answer = asked(preview, "/stream")
        assert answer.headers.get_content_type() == "multipart/x-mixed-replace"
        for number in (49, 120, 180):
            if number > 49:
                preview.see(Frame(number / FPS, picture(number)))
            assert answer.readline() == b"--picture\r\n"
            assert answer.readline() == b"Content-Type: image/jpeg\r\n"
            size = int(answer.readline().split(b":")[1])
            answer.readline()
            shown = np.asarray(Image.open(io.BytesIO(answer.read(size))))
            answer.readline()
            assert shown[0, 0].mean() == pytest.approx(number, abs=3)
    finally:
        preview.close()
    assert answer.read() == b"", "it ends with the stream"
