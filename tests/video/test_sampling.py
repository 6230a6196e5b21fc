"""Which frames are chosen: counts, order, range, and time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionrnn.video.sampling import Sampling, sample_uniform

counts = st.integers(1, 500)


@given(counts, st.integers(1, 64))
def test_uniform_gives_the_centre_of_every_segment(num_frames: int, num_samples: int) -> None:
    chosen = sample_uniform(num_frames, num_samples)
    assert len(chosen) == num_samples
    assert chosen == sorted(chosen)
    for k, index in enumerate(chosen):
        start, stop = k * num_frames / num_samples, (k + 1) * num_frames / num_samples
        assert index <= (start + stop) / 2 < index + 1


@given(
    counts,
    st.sampled_from(["uniform", "dense", "fps"]),
    st.integers(1, 20),
    st.integers(1, 4),
    st.floats(0.5, 40),
)
def test_every_view_lies_inside_the_clip_in_order(
    num_frames: int, mode: str, wanted: int, num_views: int, fps: float
) -> None:
    sampling = Sampling(mode, wanted, fps, 3, num_views)
    times = np.arange(num_frames) / 25
    views = sampling.indices(num_frames, times)
    assert len(views) == num_views
    assert len({len(view) for view in views}) == 1, "views of a clip are equally long"
    for view in views:
        assert 1 <= len(view) <= wanted
        assert view == sorted(view)
        assert 0 <= view[0] <= view[-1] < num_frames
    assert sampling.indices(num_frames, times) == views


def test_fixed_rate_goes_by_time_not_by_frame_number() -> None:
    times = np.cumsum([0.0] + [1 / 30] * 60 + [1 / 8] * 15)
    chosen = Sampling("fps", num_frames=100, fps=8).indices(len(times), times)[0]
    assert np.diff(times[chosen]) == pytest.approx(1 / 8, abs=0.06)


def test_views_of_uniform_sampling_are_all_different_frames() -> None:
    first, second = Sampling(num_frames=8, num_temporal_views=2).indices(64, np.arange(64.0))
    assert not set(first) & set(second)


@pytest.mark.parametrize("name", ["num_frames", "fps", "frame_interval", "num_temporal_views"])
def test_settings_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=rf"sampling\.{name} 0: must be positive"):
        Sampling(**{name: 0})
    with pytest.raises(ValueError, match="must both be at least 1"):
        sample_uniform(0, 4)


@given(counts, st.integers(1, 20), st.floats(0.5, 40))
def test_what_a_fixed_rate_leaves_out_is_told(num_frames: int, wanted: int, fps: float) -> None:
    times = np.arange(num_frames) / 25 + 7.0
    unseen = Sampling("fps", num_frames=wanted, fps=fps).unseen_seconds(times)
    long_enough = Sampling("fps", num_frames=100_000, fps=fps)
    more = len(long_enough.indices(num_frames, times)[0]) > wanted
    assert (unseen > 0) == more
    assert long_enough.unseen_seconds(times) == 0
    assert Sampling("uniform", wanted).unseen_seconds(times) == 0


def test_seconds_that_a_fixed_rate_leaves_out() -> None:
    times = np.arange(250) / 25
    assert Sampling("fps", num_frames=16, fps=8).unseen_seconds(times) == pytest.approx(8.0)
