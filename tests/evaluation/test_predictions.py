"""The table keeps everything, and metrics.json follows from it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrnn.errors import ActionRNNError
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.summary import print_summary, summarise
from tests.evaluation.conftest import MakePredictions

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
    assert summary["accuracy"] == pytest.approx(117 / 120)
    assert summary["num_unreadable"] == 3


def test_views_and_clips_are_scored_under_different_names(
    make_predictions: MakePredictions, capsys: pytest.CaptureFixture[str]
) -> None:
    several = summarise(make_predictions(num_views=5, skill=1.0))
    assert several["view_accuracy"] < several["accuracy"]  # averaging views helps
    assert several["intervals"]["view_accuracy"] is not None
    print_summary(several)
    out = capsys.readouterr().out
    assert "view accuracy" in out
    assert "clip accuracy" in out
    single = summarise(make_predictions())
    assert "view_accuracy" not in single
    assert "view_accuracy" not in single["intervals"]


def test_a_clips_probability_is_the_mean_over_its_views(make_predictions: MakePredictions) -> None:
    scored = make_predictions(num_views=4)
    mean_NK = scored.view_logits().softmax(dim=2).mean(dim=1)
    probs_NK = torch.tensor(np.stack(list(scored.table["probs"]))).double()
    torch.testing.assert_close(probs_NK, mean_NK, rtol=1e-5, atol=1e-6)


def test_the_summary_holds_all_of_it_as_plain_json(
    make_predictions: MakePredictions, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = make_predictions(num_groups=12, leaked=True)
    summary = json.loads(json.dumps(summarise(scored)))
    assert summary["num_groups"] == 12
    assert set(summary["intervals"]) == {
        "accuracy", "top5_accuracy", "macro_accuracy", "macro_f1", "auc", "ece",
    }  # fmt: skip
    for key, (low, high) in summary["intervals"].items():
        assert low <= summary[key] <= high
    assert len(summary["per_class"]) == 6
    for row in summary["per_class"]:
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
    print_summary(summary)
    out = capsys.readouterr().out
    assert "120 clips, 12 groups" in out
    assert "12 groups (recordings)" in out
    assert "LEAKED" in out


def test_class_names_are_text_and_not_markup(
    make_predictions: MakePredictions, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = make_predictions()
    scored.class_names[0] = "Push [x] [/b] :cat:"
    scored.table.loc[scored.table["label"] == "class_0", "label"] = "Push [x] [/b] :cat:"
    print_summary(summarise(scored))
    assert "Push [x] [/b] :cat:" in capsys.readouterr().out


def test_one_group_has_no_interval(
    make_predictions: MakePredictions, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summarise(make_predictions(num_groups=1))
    assert set(summary["intervals"].values()) == {None}
    print_summary(summary)
    assert "one recording says nothing of others" in capsys.readouterr().out


def test_many_classes_are_shown_worst_first(
    make_predictions: MakePredictions, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summarise(make_predictions(num_clips=200, num_classes=60, skill=2.0))
    print_summary(summary)
    out = " ".join(capsys.readouterr().out.split())
    assert "the 30 worst of" in out


@pytest.mark.parametrize("content", [None, b"not parquet"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "predictions.parquet").write_bytes(content)
    with pytest.raises(ActionRNNError, match=r"actionrnn test|not a predictions table"):
        Predictions.load(tmp_path)
