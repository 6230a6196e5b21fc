"""A predictions table for people who label: Label Studio, CVAT, or any table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.files import publish_json, publish_text

Tool = Literal["labelstudio", "cvat"]
TOOLS: tuple[str, ...] = get_args(Tool)
# The names that Label Studio's template "Video classification" gives its parts.
FROM_NAME, TO_NAME = "choice", "video"
# A file of any kind, in Datumaro's list of media; without it images are expected, and refused.
DATUMARO_MEDIA = 1


def write_annotations(predictions: Predictions, tool: Tool, target: Path, prefix: str) -> int:
    """Write the predictions as tasks; returns how many. Unreadable clips are left out.

    Label Studio: JSON of tasks with pre-annotations, or CSV of tasks (import it as a list). CVAT:
    Datumaro's JSON (`Datumaro 1.0`) with one label a clip, or CSV.

    Args:
        predictions: the table.
        tool: whose.
        target: ends in .json or .csv.
        prefix: goes before every path, as `https://host/` or `/data/local-files/?d=`.

    Raises:
        ActionRNNError: if the file's name ends in neither.
    """
    rows = list(_rows(predictions, prefix))
    if target.suffix == ".csv":
        names = ["video", "video_id", "label", "pred", "score", "correct"]
        table = pd.DataFrame(rows, columns=names).astype(str)
        publish_text(target, table.to_csv(index=False, lineterminator="\n"))
    elif target.suffix == ".json":
        made = _tasks(rows) if tool == "labelstudio" else _datumaro(rows, predictions.class_names)
        publish_json(target, made)
    else:
        raise ActionRNNError(f"{target}: the name must end in .json or .csv")
    return len(rows)


def _rows(predictions: Predictions, prefix: str) -> Iterator[dict[str, Any]]:
    for row in predictions.table.to_dict("records"):
        if not row["error"]:
            score = float(max(row["probs"]))
            known = {str(name): value for name, value in row.items()}
            yield {**known, "video": f"{prefix}{row['path']}", "score": round(score, 6)}


def _tasks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "data": {TO_NAME: row["video"], "video_id": row["video_id"], "label": row["label"]},
            "predictions": [
                {
                    "model_version": "actionrnn",
                    "score": row["score"],
                    "result": [
                        {
                            "from_name": FROM_NAME,
                            "to_name": TO_NAME,
                            "type": "choices",
                            "value": {"choices": [row["pred"]]},
                        }
                    ],
                }
            ],
        }
        for row in rows
    ]


def _datumaro(rows: list[dict[str, Any]], class_names: list[str]) -> dict[str, Any]:
    labels = [{"name": name, "parent": "", "attributes": []} for name in class_names]
    return {
        "info": {},
        "media_type": DATUMARO_MEDIA,
        "categories": {"label": {"labels": labels, "attributes": []}},
        "items": [
            {
                "id": row["video_id"],
                "annotations": [
                    {
                        "id": 0,
                        "type": "label",
                        "group": 0,
                        "label_id": class_names.index(row["pred"]),
                        "attributes": {"score": row["score"], "given": row["label"]},
                    }
                ],
                "attr": {},
                "media": {"path": row["video"]},
            }
            for row in rows
        ],
    }
