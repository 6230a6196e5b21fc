"""Training stops with names when a number is not finite; wrong splits are refused."""

from pathlib import Path

import pytest
import torch

from actionrnn.cli import main
from actionrnn.models.recognizer import ActionRecognizer


def test_a_bad_loss_names_step_clips_and_rate_and_keeps_the_last_checkpoint(
    tiny_run: Path,
    tiny_fit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = ActionRecognizer.training_step

    def poisoned(self: ActionRecognizer, batch: object, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 2:
            batch.features_BVTD[1] = float("nan")
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(ActionRecognizer, "training_step", poisoned)
    assert main([*tiny_fit, f"--run.folder={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert "the loss became nan at step" in error
    assert "learning rate" in error
    assert "features are not finite: " in error
    assert "_g" in error.split("not finite: ")[1], "the clip is named"
    torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)


def test_training_cannot_go_on_with_another_split(
    tiny_run: Path, tiny_data: Path, tiny_fit: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [*tiny_fit, f"--run.folder={tmp_path}", "--trainer.max_epochs=5"]
    manifest = (tiny_data / "manifest.csv").read_text()
    header, *rows = manifest.splitlines()
    (tmp_path / "other").mkdir()
    moved = [row.replace(",val", ",train") for row in rows]
    groups = {row.split(",")[3] for row in moved if ",train" in row}
    first = sorted(groups)[0]
    moved = [row.replace(",train", ",val") if f",{first}," in row else row for row in moved]
    text = "\n".join([header, *moved]).replace("videos/", f"{tiny_data}/videos/")
    (tmp_path / "other" / "manifest.csv").write_text(text + "\n")
    (tmp_path / "other" / "classes.txt").write_text((tiny_data / "classes.txt").read_text())
    last = str(tiny_run / "checkpoints" / "last.ckpt")
    assert main([*words, "--ckpt_path", last, f"--data.root={tmp_path / 'other'}"]) == 3
    assert "is not the split this checkpoint was trained on" in capsys.readouterr().err


def test_other_features_are_refused(
    tiny_run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    last = str(tiny_run / "checkpoints" / "last.ckpt")
    words = ["test", "--ckpt_path", last, "--features.sampling.num_frames=5"]
    assert main([*words, f"--data.features_dir={tmp_path}"]) == 1
    assert "sampling.num_frames: 6, here 5" in capsys.readouterr().err
