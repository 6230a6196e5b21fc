"""The table keeps everything, and metrics.json follows from it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import METADATA_KEY, Predictions
from actionrnn.evaluation.summary import summarise
from tests.conftest import MakePredictions

COLUMNS = [
    "video_id",
    "path",
    "group",
    "split",
    "label",
    "pred",
    "correct",
    "error",
    "probs",
    "logits",
    "view_logits",
]


def test_a_saved_table_is_the_table(make_predictions: MakePredictions, tmp_path: Path) -> None:
    scored = make_predictions(num_views=3, unreadable=2, temperature=2.0)
    scored.save(tmp_path / "predictions.parquet")
    again = Predictions.load(tmp_path)
    assert list(again.table.columns) == COLUMNS
    assert again.class_names == scored.class_names
    assert again.about == scored.about == {"num_views": 3, "temperature": 2.0}
    torch.testing.assert_close(again.logits(), scored.logits(), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(again.view_logits(), scored.view_logits(), equal_nan=True)
    assert summarise(again) == summarise(scored)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


def test_unreadable_clips_are_in_it_and_wrong(make_predictions: MakePredictions) -> None:
    table = make_predictions(unreadable=3, skill=100.0).table
    bad, good = table.iloc[:3], table.iloc[3:]
    assert (bad["error"] == "no video stream").all()
    assert (bad["pred"] == "").all()
    assert not bad["correct"].any()
    assert (bad["probs"].map(len) == 0).all()
    assert good["correct"].all()
    assert (good["error"] == "").all()
    assert np.stack(list(good["probs"])).sum(axis=1) == pytest.approx(1.0)
    summary = summarise(make_predictions(unreadable=3, skill=100.0))
    assert summary.metrics["accuracy"] == pytest.approx(117 / 120)
    assert summary.num_unreadable == 3
    assert summary.part is None


def test_views_and_clips_are_scored_under_different_names(
    make_predictions: MakePredictions,
) -> None:
    several = summarise(make_predictions(num_views=5, skill=1.0))
    assert several.metrics["view_accuracy"] < several.metrics["accuracy"]  # averaging views helps
    assert several.figures["view_accuracy"].interval is not None
    single = summarise(make_predictions())
    assert "view_accuracy" not in single.metrics
    assert "view_accuracy" not in single.figures


def test_a_clips_probability_is_the_mean_over_its_views(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_views=4)
    mean_NK = scored.view_logits().softmax(dim=2).mean(dim=1)
    probs_NK = torch.tensor(np.stack(list(scored.table["probs"]))).double()
    torch.testing.assert_close(probs_NK, mean_NK, rtol=1e-5, atol=1e-6)


def test_the_summary_holds_all_of_it_as_plain_json(
    make_predictions: MakePredictions,
) -> None:
    scored = make_predictions(num_groups=12, leaked=True)
    summary = json.loads(json.dumps(summarise(scored).to_dict()))
    assert summary["num_groups"] == 12
    assert set(summary["intervals"]) == {
        "accuracy", "top5_accuracy", "macro_accuracy", "macro_f1", "auc", "ece",
    }  # fmt: skip
    for key, (low, high) in summary["intervals"].items():
        assert low <= summary[key] <= high
    assert summary["no_interval"] == {}
    assert summary["leaked"]
    assert len(summary["per_class"]) == 6
    for row in summary["per_class"]:
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]


def test_one_group_has_no_interval_and_says_why(make_predictions: MakePredictions) -> None:
    summary = summarise(make_predictions(num_groups=1)).to_dict()
    assert set(summary["intervals"].values()) == {None}
    assert set(summary["no_interval"].values()) == {"1 group only"}
    assert {row["missing"] for row in summary["per_class"]} == {"1 group only"}


def limited(scored: Predictions, ran: slice, errors: dict[str, str]) -> Predictions:
    """What a run makes of a part of the clips: the others have no scores."""
    table = scored.table[["video_id", "path", "label", "group"]].assign(split1="test")
    logits_NVK = torch.full_like(scored.view_logits(), float("nan"))
    logits_NVK[ran] = scored.view_logits()[ran]
    for video_id in errors:
        logits_NVK[table.index[table["video_id"] == video_id]] = float("nan")
    part = Manifest(Path("nowhere"), table, scored.class_names)
    return Predictions.from_logits(part, "test", logits_NVK, errors)


def test_what_was_not_scored_is_not_unreadable(make_predictions: MakePredictions) -> None:
    whole = make_predictions()
    errors = {"clip005": "no video stream", "clip070": "truncated"}
    found = limited(whole, slice(0, 16), errors)
    assert str(found.part) == "16 of 120 clips"
    assert found.table["video_id"].tolist() == [f"clip{n:03d}" for n in range(16)]
    summary = summarise(found)
    assert (summary.num_clips, summary.num_unreadable) == (16, 1)  # clip070 was never come to
    right = whole.table["correct"][:16].sum() - int(whole.table["correct"][5])
    assert summary.metrics["accuracy"] == pytest.approx(right / 16)
    assert summary.to_dict()["part"] == {"scored": 16, "clips": 120}
    assert limited(whole, slice(0, 120), errors).part is None


def test_unreadable_clips_at_the_end_of_a_whole_split_count(
    make_predictions: MakePredictions,
) -> None:
    found = limited(make_predictions(), slice(0, 118), {"clip118": "bad", "clip119": "bad"})
    assert found.part is None
    assert summarise(found).num_unreadable == 2


@pytest.mark.parametrize("content", [None, b"not parquet"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "predictions.parquet").write_bytes(content)
    with pytest.raises(ActionRNNError, match=r"actionrnn test|not a predictions table"):
        Predictions.load(tmp_path)


@pytest.mark.parametrize("about", [b"{", b"[]", b"{}", None])
def test_a_table_without_its_record_is_refused(about: bytes | None, tmp_path: Path) -> None:
    table = pa.table({"video_id": ["a"]})
    file = tmp_path / "predictions.parquet"
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: about} if about else {}), file)
    with pytest.raises(ActionRNNError, match=r"is not a predictions table .* `actionrnn test`"):
        Predictions.load(file)
