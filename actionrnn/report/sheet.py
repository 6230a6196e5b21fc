"""An explained clip on one page."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionrnn.explain.evidence import ExplainedClip
from actionrnn.explain.gates import GateMap
from actionrnn.report.plots import GREY, new_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

NUM_PICTURES = 8
NUM_CLASSES = 3
# Okabe and Ito's: told apart by colour-blind readers too.
COLORS = ("#0072b2", "#e69f00", "#009e73")
HEAT_OPACITY = 0.6
HEAT_COLOR = (255.0, 90.0, 0.0)
# Of a gate with many layers and directions, so many maps fit on a page.
MAX_MAPS, MAPS_IN_ROW = 12, 4


def sheet(clip: ExplainedClip) -> "Figure":
    """Pictures with heat maps, evidence and saliency over time, faithfulness, gates.

    Raises:
        ActionRNNError: if matplotlib is not installed.
    """
    gates, shown = clip.gates[:MAX_MAPS], shown_frames(clip)
    num_rows = -(-len(gates) // MAPS_IN_ROW)
    rows: list[tuple[float, list[float]]] = [(2.1, [1.0] * len(shown))]
    rows += [(2.7, [5.0, 3.0]), (2.7, [5.0, 3.0])]
    rows += [(2.7, [1.0] * MAPS_IN_ROW)] * num_rows
    figure, (pictures, evidence, saliency, *maps) = new_rows(rows, width=13.0)
    figure.suptitle(_title(clip), fontsize=12)
    figure.supxlabel("\n".join(_footnotes(clip)), fontsize=9, color="#555555")
    for axis, frame in zip(pictures, shown, strict=True):
        axis.imshow(overlaid(clip, frame))
        axis.set_title(f"{clip.timestamps_T[frame]:.2f} s", fontsize=9)
        axis.set_axis_off()
    _evidence(evidence[0], clip)
    _saliency(saliency[0], clip)
    _curves(evidence[1], clip, "deletion")
    _curves(saliency[1], clip, "insertion")
    places = [axis for row in maps for axis in row]
    for axis, gate in zip(places, gates, strict=False):
        figure.colorbar(_gate(axis, gate, clip.timestamps_T), ax=axis, shrink=0.9)
    for axis in places[len(gates) :]:
        axis.set_visible(False)
    return figure


def shown_frames(clip: ExplainedClip) -> list[int]:
    """The frames that speak for the class most, in their order in time."""
    values_T = next(iter(clip.saliencies.values())).values_T
    count = min(NUM_PICTURES, len(values_T))
    return sorted(int(t) for t in np.argsort(-values_T, kind="stable")[:count])


def overlaid(
    clip: ExplainedClip, frame: int, picture_HWC: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """A picture with its heat map in orange on top, uint8 (H, W, 3).

    Args:
        clip: the clip.
        frame: place of a sampled frame, whose heat map it is.
        picture_HWC: the picture; None is that frame as the backbone saw it.
    """
    if picture_HWC is None:
        picture_HWC = clip.frames_TCHW[frame].transpose(1, 2, 0)
    if not has_heat(clip):
        return picture_HWC
    assert clip.heat_Thw is not None
    picture = picture_HWC.astype(np.float32)
    size = (picture.shape[1], picture.shape[0])
    heat_hw = clip.heat_Thw[frame] / clip.heat_Thw.max()
    heat = np.asarray(Image.fromarray(heat_hw).resize(size, Image.Resampling.BICUBIC))
    opacity = HEAT_OPACITY * heat.clip(0, 1)[..., None]
    warm = np.array(HEAT_COLOR, dtype=np.float32)
    return np.asarray(picture * (1 - opacity) + warm * opacity, dtype=np.uint8)


def has_heat(clip: ExplainedClip) -> bool:
    """Whether any place of any frame speaks for the class."""
    return clip.heat_Thw is not None and bool(clip.heat_Thw.max() > 0)


def best_classes(clip: ExplainedClip) -> list[int]:
    """The explained class, then the most probable others."""
    others = [int(k) for k in np.argsort(-clip.probs_K, kind="stable") if k != clip.label]
    return [clip.label, *others][:NUM_CLASSES]


def short(name: str, length: int = 60) -> str:
    """The end of a long path, the start being least telling."""
    return name if len(name) <= length else f"...{name[3 - length :]}"


def _title(clip: ExplainedClip) -> str:
    explained = clip.class_names[clip.label]
    title = f"{short(clip.path)}\n{explained}: {clip.probs_K[clip.label]:.1%}"
    best = int(clip.probs_K.argmax())
    if best != clip.label:
        title += f" (predicted: {clip.class_names[best]} {clip.probs_K[best]:.1%})"
    return title


def _footnotes(clip: ExplainedClip) -> list[str]:
    notes = [f"note: {note}" for note in clip.notes]
    if has_heat(clip):
        name = clip.class_names[clip.label]
        notes.insert(0, f"orange on a picture: places that raise the score of {name}")
    if len(clip.gates) > MAX_MAPS:
        notes.append(f"note: the first {MAX_MAPS} of {len(clip.gates)} gate maps")
    return notes


def _evidence(axis: "Axes", clip: ExplainedClip) -> None:
    for label, color in zip(best_classes(clip), COLORS, strict=False):
        name = short(clip.class_names[label], 30)
        axis.plot(
            clip.timestamps_T, clip.evidence_TK[:, label], "o-", color=color, ms=3, label=name
        )
    axis.set(title="probability so far", ylim=(-0.02, 1.02), xlabel="seconds")
    _legend(axis)


def _saliency(axis: "Axes", clip: ExplainedClip) -> None:
    times_T = np.asarray(clip.timestamps_T)
    gaps = np.diff(np.unique(times_T))
    width = 0.45 * float(gaps.min()) if len(gaps) else 0.1
    for number, (name, each) in enumerate(clip.saliencies.items()):
        offset = (number - (len(clip.saliencies) - 1) / 2) * width
        axis.bar(times_T + offset, each.values_T, width, color=COLORS[number], label=name)
    axis.axhline(0, color="black", linewidth=0.8)
    explained = short(clip.class_names[clip.label], 30)
    axis.set(title=f"what each frame adds to the logit of {explained}", xlabel="seconds")
    _legend(axis)


def _curves(axis: "Axes", clip: ExplainedClip, kind: str) -> None:
    judged = {name: each.faithfulness for name, each in clip.saliencies.items()}
    first = next(iter(judged.values()))
    lines = [
        (getattr(each, kind), f"{name}: {getattr(each, f'{kind}_area'):.2f}", color, "-")
        for color, (name, each) in zip(COLORS, judged.items(), strict=False)
    ]
    area, sd = (getattr(first, f"random_{kind}_{what}") for what in ("area", "sd"))
    lines.append((getattr(first, f"random_{kind}"), f"random: {area:.2f} ± {sd:.2f}", GREY, ":"))
    for curve, label, color, style in lines:
        axis.plot(np.linspace(0, 1, len(curve)), curve, style, color=color, label=label)
    better, what = ("lower", "hidden") if kind == "deletion" else ("higher", "shown")
    axis.set(title=f"{kind}: {better} is better", xlabel=f"share of frames {what}")
    axis.set_ylim(-0.02, 1.02)
    _legend(axis, "mean probability")


def _legend(axis: "Axes", title: str | None = None) -> None:
    """Beside the plot, where it hides no curve."""
    axis.legend(
        frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5),
        title=title, title_fontsize=8, alignment="left",
    )  # fmt: skip


def _gate(axis: "Axes", gate: GateMap, timestamps_T: list[float]) -> "AxesImage":
    units = np.argsort(gate.values_TH.argmax(axis=0), kind="stable")
    bounds = (gate.low, gate.high) if np.isfinite([gate.low, gate.high]).all() else (None, None)
    span = (timestamps_T[0], max(timestamps_T[-1], timestamps_T[0] + 1e-3))
    image = axis.imshow(
        gate.values_TH[:, units].T, aspect="auto", vmin=bounds[0], vmax=bounds[1], cmap="viridis",
        extent=(*span, len(units), 0),
    )  # fmt: skip
    axis.set_title(gate.title.replace(": ", "\n"), fontsize=9)
    axis.set(xlabel="seconds", ylabel="unit, by its peak")
    return image
