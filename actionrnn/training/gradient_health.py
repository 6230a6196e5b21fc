"""GradientHealth: how gradients travel through time while a head is being trained."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from actionrnn.models.gradients import CellGradients, gradient_report
from actionrnn.progress import tell

MAX_FRAMES_LOGGED = 16


class GradientHealth(Callback):
    """Logs the learning signal of every recurrent layer, epoch by epoch.

    `--trainer.callbacks+=actionrnn.training.callbacks.GradientHealth` adds it to a run. It looks
    at clips of the epoch's last training batch with dropout off, draws no random number and
    changes no weight, so the run stays the same bit for bit. Logged, under `gradients/`:

    - `global_norm`, `global_norm_max`: of all parameters, before clipping, over the epoch's steps;
    - `<place>/t000`, ...: mean norm of dLoss/dh_t (for an LSTM of dLoss/d(h, c)) at up to 16
      frames; `<place>/ratio`: frame read first over frame read last; `/per_frame`: that a frame;
    - `<place>/<gate>_low`, `<place>/<gate>_high`: shares of saturated gate values.

    `<place>` is `layer0_forward` and so on. A line on stderr says when a verdict changes.

    Args:
        every_n_epochs: how often to look, >= 1.
        max_clips: clips looked at, >= 1.

    Raises:
        ValueError: for a number below 1.
    """

    def __init__(self, every_n_epochs: int = 1, max_clips: int = 64) -> None:
        for name, value in (("every_n_epochs", every_n_epochs), ("max_clips", max_clips)):
            if value < 1:
                raise ValueError(f"GradientHealth {name} {value}: must be at least 1")
        self.every_n_epochs = every_n_epochs
        self.max_clips = max_clips
        self._norms: list[Tensor] = []
        self._batch: Any = None
        self._verdicts: dict[str, str] = {}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """Measure the whole gradient of a step, before it is clipped."""
        gradients = [p.grad.detach() for p in pl_module.parameters() if p.grad is not None]
        self._norms.append(torch.nn.utils.get_total_norm(gradients))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Remember the batch."""
        self._batch = batch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report on the epoch."""
        norms, self._norms = self._norms, []
        batch, self._batch = self._batch, None
        if batch is None or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        figures: dict[str, float | Tensor] = {}
        if norms:
            steps_S = torch.stack(norms)
            figures = {"global_norm": steps_S.mean(), "global_norm_max": steps_S.max()}
        layers = gradient_report(
            pl_module.head,  # type: ignore[arg-type]
            batch.features_BVTD[: self.max_clips, 0],
            batch.lengths_BV[: self.max_clips, 0],
            batch.target_B[: self.max_clips],
        )
        for layer in layers:
            figures |= {f"{_place(layer)}/{key}": v for key, v in layer_figures(layer).items()}
        pl_module.log_dict({f"gradients/{key}": float(value) for key, value in figures.items()})
        if trainer.is_global_zero:
            self._say_changes(layers, trainer.current_epoch)

    def _say_changes(self, layers: list[CellGradients], epoch: int) -> None:
        for layer in layers:
            if self._verdicts.get(_place(layer), "healthy") != layer.verdict:
                tell(f"gradients, epoch {epoch + 1}: {layer.sentence()}")
            self._verdicts[_place(layer)] = layer.verdict


def layer_figures(layer: CellGradients) -> dict[str, float]:
    """What is logged of one layer and direction, by name."""
    norms = layer.mean_norm_T.tolist()
    step = -(-len(norms) // MAX_FRAMES_LOGGED)
    frames = sorted({*range(0, len(norms), step), len(norms) - 1})
    figures = {f"t{frame:03d}": norms[frame] for frame in frames}
    figures |= {"ratio": layer.ratio, "per_frame": layer.per_frame}
    for gate in layer.saturation:
        figures |= {f"{gate.gate}_low": gate.low, f"{gate.gate}_high": gate.high}
    return figures


def _place(layer: CellGradients) -> str:
    return f"layer{layer.layer}_{layer.direction}"
