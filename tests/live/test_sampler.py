"""Samples by time: the very frames of `Sampling` at a fixed rate; and the line they wait in."""

import threading
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrnn.live.sampler import RateSampler, Sample
from actionrnn.live.waiting import WaitingLine
from actionrnn.video.sampling import Sampling
from actionrnn.video.sources import Frame
from actionrnn.video.transform import Transform

TINY = Transform(size=2, resize="squash")


def sampled(times: Iterable[float], rate: float, stretches: Iterable[int] = ()) -> list[Sample]:
    """Samples of frames at these times, each showing its number."""
    sampler = RateSampler(rate, TINY)
    samples: list[Sample] = []
    of = list(stretches) or [0] * len(list(times))
    for number, (seconds, stretch) in enumerate(zip(times, of, strict=True)):
        samples += sampler.add(Frame(seconds, np.full((2, 2, 3), number, np.uint8), stretch))
    return samples + sampler.finish()


def numbers(samples: list[Sample]) -> list[int]:
    return [int(sample.pictures_SCHW[0, 0, 0, 0]) for sample in samples]


@given(
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    rate=st.sampled_from([0.7, 3.0, 8.0, 10.0, 25.0]),
)
def test_the_frames_are_those_of_sampling_a_file(steps: list[int], rate: float) -> None:
    times = np.cumsum([0, *steps]) / 1000
    [indices] = Sampling("fps", num_frames=10_000, fps=rate).indices(len(times), times)
    samples = sampled(times.tolist(), rate)
    assert numbers(samples) == indices
    moments = [sample.seconds for sample in samples]
    assert moments == pytest.approx([(k + 0.5) / rate for k in range(len(indices))])


def test_a_single_frame_is_shown_for_a_second() -> None:
    assert numbers(sampled([0.0], 4.0)) == [0, 0, 0, 0]


def test_samples_come_as_soon_as_they_are_known() -> None:
    sampler = RateSampler(1.0, TINY)
    picture = np.zeros((2, 2, 3), np.uint8)
    assert sampler.add(Frame(0.0, picture)) == []
    assert sampler.add(Frame(0.4, picture)) == []
    assert len(sampler.add(Frame(0.6, picture))) == 1
    assert len(sampler.add(Frame(3.0, picture))) == 2


def test_each_stretch_is_sampled_by_itself() -> None:
    samples = sampled([0.0, 0.5, 100.0, 100.5], 2.0, [0, 0, 1, 1])
    assert [sample.stretch for sample in samples] == [0, 0, 1, 1]
    assert [sample.seconds for sample in samples] == [0.25, 0.75, 100.25, 100.75]
    assert numbers(samples) == [0, 1, 2, 3]


def test_every_spatial_view_is_there() -> None:
    sampler = RateSampler(2.0, Transform(size=2, flip=True))
    sampler.add(Frame(0.0, np.arange(12, dtype=np.uint8).reshape(2, 2, 3)))
    first = sampler.finish()[0].pictures_SCHW
    assert first.shape == (2, 3, 2, 2)
    assert np.array_equal(first[1], first[0].flip(-1))


def test_a_full_line_drops_the_oldest_and_counts() -> None:
    line: WaitingLine[int] = WaitingLine(3, drops=True)
    assert all(line.put(number) for number in range(5))
    assert line.num_dropped == 2
    assert line.take(1, 10) == [2, 3, 4]


def test_a_line_that_drops_nothing_lets_the_bringer_wait() -> None:
    line: WaitingLine[int] = WaitingLine(2, drops=False)

    def bring() -> None:
        for number in range(50):
            line.put(number)
        line.close()

    thread = threading.Thread(target=bring)
    thread.start()
    taken = []
    while some := line.take(2, 2):
        assert len(some) <= 2
        taken += some
    thread.join()
    assert taken == list(range(50))
    assert line.num_dropped == 0


def test_what_waits_is_taken_before_the_error() -> None:
    line: WaitingLine[int] = WaitingLine(2, drops=False)
    line.put(1)
    line.close(OSError("gone"))
    assert not line.put(2), "nobody takes any more"
    assert line.take(2, 2) == [1]
    with pytest.raises(OSError, match="gone"):
        line.take(1, 1)
