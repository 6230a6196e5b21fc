"""Every clip that was scored, to be sorted and filtered on the page."""

from pathlib import Path

import numpy as np

from actionrnn.evaluation.predictions import Predictions
from actionrnn.report.pictures import Places
from actionrnn.report.screen import Cell, Screen, TableView, number, row

MAX_CLIPS = 1000
# One small picture of each; of more the page would take long to make and to load.
MAX_PICTURES = 120
WIDTH = 96


def clips_section(scored: Predictions, root: Path | None) -> Screen:
    """Mistakes first, the surest of them on top; then unreadable clips, then those that are right.

    Args:
        scored: the predictions.
        root: the prepared dataset, for pictures; None shows none.
    """
    table = scored.table
    confidence_N = np.array([probs.max() if len(probs) else 0.0 for probs in table["probs"]])
    result_N = np.where(table["error"] != "", "unreadable", "wrong")
    result_N = np.where(table["correct"].astype(bool), "right", result_N)
    rank_N = np.select([result_N == "wrong", result_N == "unreadable"], [0, 1], 2)
    order = np.lexsort((-confidence_N, rank_N))[:MAX_CLIPS]
    places = Places.of(root)
    rows = []
    for place, n in enumerate(order.tolist()):
        clip = table.iloc[n]
        pictures: list[str] = []
        if place < MAX_PICTURES:
            pictures, _ = places.film_strip(str(clip["video_id"]), num_frames=1, width=WIDTH)
        confidence = float(confidence_N[n]) if clip["error"] == "" else None
        rows.append(
            row(
                Cell("", picture="".join(pictures)),
                *(str(clip[name]) for name in ("video_id", "group", "label")),
                str(clip["pred"]) or str(clip["error"]),
                number(confidence, 2, "no score"),
                str(result_N[n]),
            )
        )
    notes = [places.problem] if places.problem else []
    if len(table) > len(rows):
        notes.append(f"The first {len(rows)} of {len(table)}; all are in predictions.parquet.")
    found = TableView(
        "every clip, mistakes first",
        ("", "clip", "group", "true class", "taken for", "confidence", "result"),
        rows,
        note=" ".join(notes),
        filtered="clips",
        picks=("true class", "taken for", "group", "result"),
    )
    return Screen("clips", "Clips", blocks=[found])
