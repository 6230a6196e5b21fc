"""An explained clip as a film: the picture, and the probabilities running beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionrnn.explain.evidence import ExplainedClip
from actionrnn.live.overlay import Line, with_lines
from actionrnn.report.plots import new_figure
from actionrnn.report.sheet import COLORS, HEAT_COLOR, best_classes, has_heat, overlaid, short
from actionrnn.video.reader import open_video, read_chosen
from actionrnn.video.writer import write_video

HEIGHT = 360
PANEL_WIDTH = 480
# Longer clips are thinned out: a film is to be looked at, and its frames are held in memory.
MAX_FRAMES = 400
DOTS_PER_INCH = 100


def write_film(clip: ExplainedClip, path: Path, reader: str) -> None:
    """Write an MP4 of the clip with the probability curves drawn up to the present moment.

    Args:
        clip: from `explain_clip`, of a whole file.
        path: where to.
        reader: the decoder.

    Raises:
        VideoError: if the clip cannot be read any more.
        ActionRNNError: if matplotlib is not installed.
    """
    with open_video(clip.path, reader) as video:
        step = -(-video.num_frames // MAX_FRAMES)
        frames, _ = read_chosen(video, lambda: range(0, video.num_frames, step))
        seconds = video.timestamps_seconds[::step]
        fps = video.fps / step
    write_video(path, _composed(clip, frames, seconds), fps)


def _composed(
    clip: ExplainedClip, frames_NHWC: NDArray[np.uint8], seconds_N: NDArray[np.float64]
) -> Iterator[NDArray[np.uint8]]:
    empty, full, (left, right, top, bottom) = _panels(clip, seconds_N)
    height, width = frames_NHWC.shape[1:3]
    size = (max(2, round(width * HEIGHT / height / 2) * 2), HEIGHT)
    span = max(float(seconds_N[-1] - seconds_N[0]), 1e-9)
    times_T = np.asarray(clip.timestamps_T)
    for frame, now in zip(frames_NHWC, seconds_N, strict=True):
        picture = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
        nearest = int(np.abs(times_T - now).argmin())
        seen = max(0, int(np.searchsorted(times_T, now + 1e-6)) - 1)
        picture = _with_probabilities(clip, overlaid(clip, nearest, picture), seen)
        x = round(left + (right - left) * float(now - seconds_N[0]) / span)
        panel = np.concatenate([full[:, : x + 1], empty[:, x + 1 :]], axis=1)
        panel[top:bottom, x] //= 2
        yield np.concatenate([picture, panel], axis=1)


def _with_probabilities(
    clip: ExplainedClip, picture_HWC: NDArray[np.uint8], frame: int
) -> NDArray[np.uint8]:
    """The picture with the probabilities of the moment, in the colours of their curves."""
    lines = [
        Line(f"{clip.evidence_TK[frame, k]:4.0%}  {short(clip.class_names[k], 30)}", color)
        for k, color in zip(best_classes(clip), COLORS, strict=False)
    ]
    return with_lines(picture_HWC, lines)


def _panels(
    clip: ExplainedClip, seconds_N: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[int, int, int, int]]:
    """The plot without and with its curves, and its left, right, top and bottom in pixels."""
    pictures = []
    height, width = HEIGHT / DOTS_PER_INCH, PANEL_WIDTH / DOTS_PER_INCH
    for with_curves in (False, True):
        figure, (axis,) = new_figure(1, height, width)
        figure.set_dpi(DOTS_PER_INCH)
        for label, color in zip(best_classes(clip), COLORS, strict=False):
            name = short(clip.class_names[label], 30)
            values = clip.evidence_TK[:, label]
            visible = 1.0 if with_curves else 0.0
            axis.plot(clip.timestamps_T, values, color=color, linewidth=2, alpha=visible)
            axis.plot([], [], color=color, linewidth=2, label=name)
        if has_heat(clip):
            said = f"on the picture: raises {short(clip.class_names[clip.label], 30)}"
            axis.plot([], [], color=np.divide(HEAT_COLOR, 255), linewidth=8, label=said)
        end = max(float(seconds_N[-1]), float(seconds_N[0]) + 1e-3)
        axis.set(ylim=(-0.02, 1.02), xlim=(float(seconds_N[0]), end))
        axis.set(xlabel="seconds", title="probability so far")
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)
        pictures.append(_pixels(figure))
        box = axis.get_window_extent()
        sides = (int(box.x0), int(box.x1) - 1, HEIGHT - int(box.y1), HEIGHT - int(box.y0))
    return pictures[0], pictures[1], sides


def _pixels(figure: Any) -> NDArray[np.uint8]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()
