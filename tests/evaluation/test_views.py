"""Several views of a clip, from fit to metrics.json."""

import json
from pathlib import Path

import pytest
import torch

from actionrnn.cli import main
from actionrnn.evaluation.predictions import Predictions
from actionrnn.evaluation.trained import TrainedModel


@pytest.mark.slow
def test_views_are_averaged_and_scored_under_their_own_name(
    tiny_fit: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    more = ["--features.sampling.num_temporal_views=3", f"--run.folder={run}"]
    assert main([*tiny_fit, *more]) == 0
    checkpoint = str(run / "checkpoints" / "best.ckpt")
    assert main(["test", "--ckpt_path", checkpoint]) == 0
    assert "view accuracy" in capsys.readouterr().out
    scored, metrics = Predictions.load(run), json.loads((run / "metrics.json").read_text())
    right_NV = scored.view_logits().argmax(dim=2) == scored.targets()[:, None]
    assert right_NV.shape[1] == metrics["num_views"] == 3
    assert metrics["view_accuracy"] == pytest.approx(right_NV.double().mean().item())
    assert metrics["accuracy"] == pytest.approx(scored.table["correct"].mean())
    again = TrainedModel.load(checkpoint).predictions("test")
    torch.testing.assert_close(again.view_logits(), scored.view_logits())
