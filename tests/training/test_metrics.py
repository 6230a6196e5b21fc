"""The figures agree with scikit-learn, and unreadable clips count as wrong."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score, top_k_accuracy_score

from actionrnn.training.metrics import classification_metrics, per_class_accuracy, predictions


@pytest.mark.parametrize("num_classes", [2, 3, 7, 40])
@pytest.mark.parametrize("num_clips", [1, 13, 200])
def test_figures_agree_with_scikit_learn(num_classes: int, num_clips: int) -> None:
    generator = torch.Generator().manual_seed(num_classes * 1000 + num_clips)
    logits = torch.randn(num_clips, num_classes, generator=generator, dtype=torch.float64)
    target = torch.randint(num_classes, (num_clips,), generator=generator)
    ours = classification_metrics(logits, target)
    preds, truth = logits.argmax(1).numpy(), target.numpy()
    present = np.unique(truth)
    assert ours["accuracy"] == pytest.approx(accuracy_score(truth, preds))
    recall = recall_score(truth, preds, labels=present, average="macro", zero_division=0)
    assert ours["macro_accuracy"] == pytest.approx(recall)
    f1 = f1_score(truth, preds, labels=present, average="macro", zero_division=0)
    assert ours["macro_f1"] == pytest.approx(f1)
    labels = np.arange(num_classes)
    probs = logits.softmax(1).numpy()
    assert ours["loss"] == pytest.approx(log_loss(truth, probs, labels=labels))
    if num_classes > 5:
        top5 = top_k_accuracy_score(truth, probs, k=5, labels=labels)
        assert ours["top5_accuracy"] == pytest.approx(top5)
    else:
        assert ours["top5_accuracy"] == 1.0


def test_unreadable_clips_are_wrong_and_stay_in_the_denominator() -> None:
    logits = torch.tensor([[5.0, 0.0], [5.0, 0.0], [float("nan")] * 2, [0.0, 5.0]])
    target = torch.tensor([0, 0, 0, 1])
    metrics = classification_metrics(logits, target)
    assert predictions(logits).tolist() == [0, 0, 2, 1]
    assert metrics["accuracy"] == 0.75
    assert metrics["macro_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert metrics["top5_accuracy"] == 0.75
    assert (metrics["num_clips"], metrics["num_unreadable"]) == (4, 1)
    assert np.isfinite(metrics["loss"])


def test_a_class_without_clips_has_no_accuracy() -> None:
    recall = per_class_accuracy(torch.tensor([0, 2]), torch.tensor([0, 0]), 3)
    assert recall[0] == 0.5
    assert recall[1:].isnan().all()


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="no clips to score"):
        classification_metrics(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
