"""Training stops with names when a number is not finite; wrong splits are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from actionrnn.cli import main
from actionrnn.models import lengths
from actionrnn.training import recognizer
from actionrnn.training.batches import Batch, FeatureLoader
from actionrnn.training.recognizer import ActionRecognizer


def poison(monkeypatch: pytest.MonkeyPatch, step: str, value: float, epoch: int) -> None:
    """Put `value` into the features of the second clip of every batch of one epoch."""
    plain = getattr(ActionRecognizer, step)

    def poisoned(self: ActionRecognizer, batch: Batch, batch_idx: int) -> torch.Tensor | None:
        if self.current_epoch == epoch:
            batch.features_BVTD[1, :, 0, 0] = value
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(ActionRecognizer, step, poisoned)


@pytest.fixture(params=["cpu", "gpu"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """On a GPU a step is not looked at as it is taken; here a CPU does as a GPU would."""
    if request.param == "gpu":
        for module in (recognizer, lengths):
            monkeypatch.setattr(module, "read_at_once", lambda values: False)
    return str(request.param)


@pytest.mark.parametrize(
    ("value", "step", "subset"),
    [
        (float("nan"), "training_step", "train"),
        # A recurrent layer bends an infinite feature into a finite loss.
        (float("inf"), "training_step", "train"),
        (float("inf"), "on_validation_batch_start", "val"),
    ],
)
def test_a_feature_that_is_no_number_stops_the_run_and_names_the_clip(
    device: str,
    value: float,
    step: str,
    subset: str,
    tiny_run: Path,
    tiny_control_fit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    poison(monkeypatch, step, value, epoch=1)
    assert main([*tiny_control_fit, f"--run.folder={tmp_path}", "--model.head=single_frame"]) == 1
    error = capsys.readouterr().err
    epochs_before = 2 if subset == "val" else 1  # the second was poisoned
    first_step = epochs_before * steps_an_epoch(tiny_run)
    assert f"features that are not finite at step {first_step} (epoch 1, learning rate" in error
    assert f", {subset}); in these clips: " in error
    assert "_g" in error.split("in these clips: ")[1], "the clip is named"
    assert_kept(tmp_path, epoch=0)


def test_a_loss_that_is_no_number_names_step_clips_and_rate(
    device: str,
    tiny_run: Path,
    tiny_control_fit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    poison(monkeypatch, "training_step", 3e38, epoch=1)  # a number, but too large to add up
    words = [*tiny_control_fit, f"--run.folder={tmp_path}", "--model.head=single_frame"]
    assert main([*words, "--model.input_norm=none", "--features.sampling.num_frames=1"]) == 1
    error = capsys.readouterr().err
    assert "the loss became " in error
    assert f"at step {steps_an_epoch(tiny_run)} (epoch 1" in error
    assert "clips of the batch: " in error
    assert_kept(tmp_path, epoch=0)


def steps_an_epoch(run: Path) -> int:
    """Of a run of three epochs."""
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return int(last["global_step"]) // 3


def assert_kept(run: Path, epoch: int) -> None:
    for name in ("best", "last"):
        kept = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert kept["epoch"] <= epoch
        assert all(weight.isfinite().all() for weight in kept["state_dict"].values())
    assert kept["epoch"] == epoch


def test_a_gradient_that_is_no_number_names_its_step_and_reaches_no_checkpoint(
    device: str,
    tiny_run: Path,
    tiny_fit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the last step of a run that validates nothing: no later loss would show it."""
    last_step = 3 * steps_an_epoch(tiny_run) - 1

    def poisoned(self: ActionRecognizer, loss: torch.Tensor) -> None:
        loss.backward()
        if self.global_step == last_step:
            next(self.head.parameters()).grad[0] = float("inf")  # type: ignore[index]

    monkeypatch.setattr(ActionRecognizer, "backward", poisoned)
    words = [*tiny_fit, f"--run.folder={tmp_path}", "--trainer.limit_val_batches=0"]
    assert main([*words, "--keep=last"]) == 1
    error = capsys.readouterr().err
    assert f"the norm of the gradient became inf at step {last_step} (epoch 2" in error
    assert "clips of the batch: " in error
    assert_kept(tmp_path, epoch=1)


class HostReads(TorchDispatchMode):
    """Counts how often a value of a tensor is looked at, which on a GPU waits for the device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_on_a_gpu_no_step_waits_for_the_device(
    tiny_run: Path, tiny_fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = HostReads()
    for name in (
        "training_step",
        "backward",
        "on_before_optimizer_step",
        "on_validation_batch_start",
        "validation_step",
        "check_steps",
    ):
        plain = getattr(ActionRecognizer, name)

        def counted(*words: Any, plain: Callable[..., Any] = plain) -> Any:
            with reads:
                return plain(*words)

        monkeypatch.setattr(ActionRecognizer, name, counted)

    def looks(batch_size: int) -> int:
        reads.count = 0
        assert main([*tiny_fit, f"--data.batch_size={batch_size}", "--run.overwrite=true"]) == 0
        return reads.count

    tiny_fit = [*tiny_fit, f"--run.folder={tmp_path}"]
    assert looks(1) > looks(8) + 3 * 20, "on a CPU every step is looked at"
    for module in (recognizer, lengths):
        monkeypatch.setattr(module, "read_at_once", lambda values: False)
    assert looks(1) == looks(8) <= 3 * 4, "more steps, not more looks: a few an epoch"


def test_a_training_clip_is_named_before_the_first_step(
    tiny_run: Path,
    tiny_fit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = FeatureLoader._gather

    def poisoned(self: FeatureLoader, *words: Any) -> Batch:
        batch = plain(self, *words)
        batch.features_BVTD[0, 0, 0, 0] = float("nan")
        return batch

    monkeypatch.setattr(FeatureLoader, "_gather", poisoned)
    assert main([*tiny_fit, f"--run.folder={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert "not finite at step 0" in error
    assert "_g" in error.split("in these clips: ")[1]


def test_training_cannot_go_on_with_another_split(
    tiny_run: Path, tiny_data: Path, tiny_fit: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [*tiny_fit, "--trainer.max_epochs=5"]
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
