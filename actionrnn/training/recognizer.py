"""ActionRecognizer, the LightningModule: loss, metrics, optimiser around a head.

The frozen backbone is deliberately not in here: `model.train()` must not reach its BatchNorm,
and checkpoints must not carry it.
"""

import inspect
import math
import os
from collections.abc import Iterator
from typing import Any, Literal, NoReturn

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.models.config import HeadConfig
from actionrnn.models.ensemble import Ensemble
from actionrnn.models.heads import Head, HeadOutput, build_head
from actionrnn.models.lengths import read_at_once
from actionrnn.training.action_data import Subset
from actionrnn.training.batches import Batch, Reduce
from actionrnn.training.data import ActionDataModule
from actionrnn.training.data_checks import check_classes, check_features
from actionrnn.training.finite import (
    NotFinite,
    Step,
    all_rows_not_finite,
    first_bad,
    named,
    rows_not_finite,
)
from actionrnn.training.losses import Loss, check_loss, compared, counted_frames
from actionrnn.training.metrics import classification_metrics
from actionrnn.training.mixup import mixup
from actionrnn.training.optim import decay_groups
from actionrnn.training.schedule import WarmupCosine
from actionrnn.training.scores import ClipScores, came_to

CHECKPOINT_KEY = "actionrnn"
CHECKPOINT_FORMAT = 3
OLDEST_FORMAT, FIRST_SEALED_FORMAT = 2, 3
MOST_UNREAD = 1000  # steps on a GPU before they are looked at, if nothing else asks for it


class ActionRecognizer(pl.LightningModule):
    """A head trained with cross-entropy on frozen features.

    The head is built when the data is known (`configure_model`), with weights that depend on the
    seed alone. Whole splits are scored at the end of an epoch by `classification_metrics`.
    Checkpoints keep `recipe`: every setting of the run, as plain data, where `training.fit`
    trains; empty where another program does.

    Args:
        learning_rate: peak learning rate of AdamW, after warm-up.
        weight_decay: AdamW's, on weight matrices only (not on biases and norms).
        warmup_share: share of all steps in which the rate climbs linearly; cosine to 0 after.
        min_epoch_steps: an epoch has at least so many steps: few clips are gone through several
            times, so that 40 clips and 40,000 are both trained to the end.
        label_smoothing: probability mass spread over all classes, 0 <= s < 1.
        mixup: clips are mixed in pairs by shares from Beta(mixup, mixup); 0 is off, 0.1 to 0.4
            are usual. See `training.mixup`.
        class_weights: `balanced` weighs the loss of a class by the inverse of its frequency.
        members: seeds as one model, by their mean probability; written by `--seeds`, not trained.
        loss: on the score of the whole `clip`; on `every_frame`, each of which is scored by what
            was seen until then; or on the `last_step` of each window (MiniROAD, ICCV 2023). Data
            of timelines need one of the latter two, and a head that reads forward.
        schedule_phases: written into the recipe of a run that was resumed with another number of
            epochs, so that the recipe repeats it: `[[20, 20]]` says that the rates before step 20
            were those of a run of 20 steps.
        head_options: every field of `HeadConfig`.

    Raises:
        ValueError: for a setting outside its range.
    """

    def __init__(
        self,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        warmup_share: float = 0.1,
        min_epoch_steps: int = 1,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        class_weights: Literal["none", "balanced"] = "none",
        members: int = 1,
        loss: Loss = "clip",
        schedule_phases: list[list[int]] | None = None,
        **head_options: Any,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("learning_rate", learning_rate, learning_rate > 0),
            ("weight_decay", weight_decay, weight_decay >= 0),
            ("warmup_share", warmup_share, 0 <= warmup_share < 1),
            ("min_epoch_steps", min_epoch_steps, min_epoch_steps >= 1),
            ("label_smoothing", label_smoothing, 0 <= label_smoothing < 1),
            ("mixup", mixup, 0 <= mixup < math.inf),
            ("members", members, members >= 1),
        ):
            if not allowed:
                raise ValueError(f"--model.{name} {value} is out of range")
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_share = warmup_share
        self.min_epoch_steps = min_epoch_steps
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.class_weights: Literal["none", "balanced"] = class_weights
        self.members = members
        self.schedule_phases = [list(phase) for phase in schedule_phases or []]
        if any(len(phase) != 2 or min(phase) < 1 for phase in self.schedule_phases):
            raise ValueError(f"--model.schedule_phases {schedule_phases}: pairs of step and total")
        self.head_config = HeadConfig(**head_options)
        check_loss(loss, self.head_config, mixup)
        self.loss: Loss = loss
        self.class_names: list[str] = []
        self.identity: dict[str, Any] | None = None
        self.recipe: dict[str, Any] = {}
        self.temperature = 1.0
        self.total_steps = 0
        self._resumed_at = (0, 0)
        self._is_prepared = False
        self.head: Head
        self._scores = ClipScores()
        self._step: Step
        self._unread: list[Step] = []
        self.scored_logits_NVK: Tensor | None = None
        self._class_weights_K: Tensor | None = None

    # ---- building -----------------------------------------------------------------------------

    def build(self, feature_dim: int, class_names: list[str], num_cells: int = 1) -> None:
        """Make the head; its initial weights depend on the seed and the settings alone."""
        with torch.random.fork_rng():
            torch.manual_seed(int(os.environ.get("PL_GLOBAL_SEED", 0)))
            sizes = feature_dim, len(class_names), num_cells
            heads = [build_head(self.head_config, *sizes) for _ in range(self.members)]
        self.head = Ensemble(heads) if len(heads) > 1 else heads[0]
        self.feature_dim = feature_dim
        self.class_names = list(class_names)

    def options(self) -> dict[str, Any]:
        """Settings as plain data: `ActionRecognizer(**options)` is the same model."""
        *names, _ = inspect.signature(ActionRecognizer).parameters  # the last: `head_options`
        return {name: getattr(self, name) for name in names} | self.head_config.to_dict()

    @property
    def data(self) -> ActionDataModule:
        """The Trainer's ActionDataModule."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ActionDataModule):
            raise ActionRNNError(
                "ActionRecognizer needs an ActionDataModule: trainer.fit(model, datamodule=...)"
            )
        return data

    def configure_model(self) -> None:
        """Lightning's hook, called when the data is ready and before weights are restored."""
        if not self.class_names:
            data = self.data
            self.build(data.feature_dim, data.class_names, data.store.spec.num_cells)
        elif self.class_names != self.data.class_names:
            raise ActionRNNError(
                f"the model knows {len(self.class_names)} classes "
                f"({', '.join(self.class_names[:5])}, ...), the data has "
                f"{len(self.data.class_names)} ({', '.join(self.data.class_names[:5])}, ...): "
                f"classes must be the same, in the same order"
            )

    def check_data(self, data: ActionDataModule) -> None:
        """Refuse timelines where the loss is that of clips; asked before features are computed.

        Raises:
            UsageError: naming the losses that can be.
        """
        if data.has_timelines and self.loss == "clip":
            raise UsageError(
                f"{data.root} holds timelines, and a recording has no one class: train with "
                f"--model.loss every_frame, or last_step"
            )

    @property
    def reduction(self) -> Reduce | None:
        """What training may do once for every clip: `HeadInputs.reduce`, where it shrinks.

        None with mixup, which mixes the features themselves.
        """
        return self.head.inputs.reduce if self.head.inputs.shrinks and not self.mixup else None

    # ---- training -----------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Measure the input normalisation on the training clips of a run that starts afresh.

        Once, though a search for a learning rate needs it before Lightning comes to it.
        """
        if self._is_prepared:
            return
        self._is_prepared = True
        if self.trainer.ckpt_path is None:
            self.head.fit_input_norm(self._training_views())
        counts_K = self.data.targets("train").bincount(minlength=len(self.class_names))
        present_K = counts_K > 0  # a class without a training clip has no loss to weigh
        weights_K = present_K * counts_K.sum() / (present_K.sum() * counts_K.clamp(min=1))
        self._class_weights_K = (
            weights_K.float().to(self.device) if self.class_weights == "balanced" else None
        )

    def _training_views(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.data.loader("train", whole=True):
            self._watched(batch, "train", at_once=True)
            yield batch.features_BVTD.flatten(0, 1), batch.lengths_BV.flatten()

    def on_train_epoch_start(self) -> None:
        """Fresh random numbers for dropout, a function of seed and epoch: resume = unbroken."""
        torch.manual_seed(int(os.environ.get("PL_GLOBAL_SEED", 0)) * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of one batch."""
        step = self._watched(batch, "train")
        if self.mixup:
            lengths_B = batch.lengths_BV.flatten()
            mixed = mixup(batch.features_BVTD.flatten(0, 1), lengths_B, self.mixup)
            logits = self.head(mixed.features_BTD, lengths_B).logits_BK
            target = mixed.targets(batch.target_B, len(self.class_names))
        else:
            logits, target = compared(self.loss, self._judge(batch), batch)
        loss = nn.functional.cross_entropy(
            logits,
            target,
            weight=self._class_weights_K,
            label_smoothing=self.label_smoothing,
        )
        step.loss = loss.detach()
        if step.at_once and not bool(torch.isfinite(loss)):
            self._stop(step)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.target_B))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Stop where the gradient is no number, before it reaches the weights.

        Not in half precision with a scaler, which leaves such steps out by itself.

        Raises:
            NotFinite: naming the step; on a GPU later, see `check_steps`.
        """
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            return
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        self._step.gradient = torch.nn.utils.get_total_norm(gradients)
        if self._step.at_once and not bool(self._step.gradient.isfinite()):
            self._stop(self._step)

    def check_steps(self) -> None:
        """Look at the steps that were not looked at yet, which are those of a GPU.

        Asked before and after validation, at the end of an epoch, before a checkpoint is written,
        and every `MOST_UNREAD` batches.

        Raises:
            NotFinite: naming the first step with a feature, a loss or a gradient that is no number.
        """
        unread, self._unread = self._unread, []
        bad = first_bad(unread)
        if bad is not None:
            self._stop(bad)

    def on_validation_start(self) -> None:
        """Look at the steps before it."""
        self.check_steps()

    on_train_epoch_end = on_validation_start

    def _watched(self, batch: Batch, subset: Subset, at_once: bool = False) -> Step:
        """What is known of a batch before the head sees it.

        Stops by name where a feature is no number, whatever the loss makes of it; batches on a GPU
        wait for `check_steps`, unless `at_once`.

        Raises:
            NotFinite: naming the clips, and in training the step and the learning rate.
        """
        at_once = at_once or read_at_once(batch.features_BVTD)
        find = rows_not_finite if at_once else all_rows_not_finite
        optimizers = self.trainer.optimizers if self._trainer else []
        rate = optimizers[0].param_groups[0]["lr"] if optimizers else self.learning_rate
        place = self.global_step, self.current_epoch, rate
        self._step = Step(*place, subset, at_once, batch.index_B, find(batch.features_BVTD))
        if not at_once:
            if len(self._unread) >= MOST_UNREAD:
                self.check_steps()
            self._unread.append(self._step)
        elif bool(self._step.bad_B.any()):
            self._stop(self._step)
        return self._step

    def _stop(self, step: Step) -> NoReturn:
        """Say what of a step is no number, of which clips, and when."""
        index_B, clips = step.index_B, "clips of the batch"
        advice = "try a lower --model.learning_rate"
        if bool(step.bad_B.any()):
            what, index_B = "there are features that are not finite", index_B[step.bad_B]
            clips = "in these clips"
            advice = "look for them with `actionrnn features verify`, and at their videos"
        elif step.loss is not None and not bool(step.loss.isfinite()):
            what = f"the loss became {step.loss.item()}"
        else:
            assert step.gradient is not None
            what = f"the norm of the gradient became {step.gradient.item()}"
        table = self.data.part(step.subset).table
        clips = f"{clips}: {named(table['video_id'].iloc[index_B.tolist()].tolist())}"
        if self.trainer.state.fn != "fit":
            raise NotFinite(f"{what}; {clips}; {advice}")
        raise NotFinite(
            f"{what} at step {step.step} (epoch {step.epoch}, learning rate "
            f"{step.learning_rate:.3g}, {step.subset}); {clips}. The last good checkpoint is kept; "
            f"{advice}."
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; linear warm-up, then cosine to zero, a step at a time."""
        optimizer = torch.optim.AdamW(
            decay_groups(self.head, self.weight_decay), lr=self.learning_rate
        )
        self.total_steps = max(1, int(self.trainer.estimated_stepping_batches))
        done, total_then = self._resumed_at
        if total_then not in (0, self.total_steps):
            self.schedule_phases.append([done, total_then])
        schedule = WarmupCosine(
            optimizer,
            lambda: self.learning_rate,
            self.total_steps,
            self.warmup_share,
            self.schedule_phases,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    # ---- scoring: the same for fit's validation, validate, test and predict -------------------

    def _judge(self, batch: Batch) -> HeadOutput:
        """What the head says of every view, as of a batch of B * V clips."""
        judge = self.head.forward_reduced if batch.is_reduced else self.head
        output: HeadOutput = judge(batch.features_BVTD.flatten(0, 1), batch.lengths_BV.flatten())
        return output

    def on_validation_batch_start(
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Features that are no numbers stop the run."""
        self._watched(batch, "val", at_once=self.trainer.state.fn != "fit")

    def on_test_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Features that are no numbers stop the run."""
        self._watched(batch, self.data.subset, at_once=True)

    on_predict_batch_start = on_test_batch_start

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the scores of one batch: of every clip, or of every step of windows that counts."""
        output = self._judge(batch)
        if batch.frame_BT is None:
            logits_BVK = output.logits_BK.unflatten(0, tuple(batch.lengths_BV.shape))
            self._scores.add(batch.index_B, logits_BVK)
        else:
            self._scores.add(*counted_frames(output.logits_BTK, batch))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the scores of one batch."""
        self.validation_step(batch, batch_idx)

    predict_step = test_step

    def collect_scores(self, num_clips: int) -> Tensor:
        """Scores of a whole split from all processes, (N, V, K); see `ClipScores.collect`.

        Args:
            num_clips: clips of the split, or steps of its recordings (`len(data.targets(...))`).
        """
        return self._scores.collect(num_clips)

    def on_validation_epoch_end(self) -> None:
        """Score the validation split, or what was run of it, and log it as val/*."""
        self._finish_epoch("val", "val")

    def on_test_epoch_end(self) -> None:
        """Score the test split, or what was run of it, and log it as test/*."""
        self._finish_epoch(self.data.subset, "test")

    def on_predict_epoch_end(self) -> None:
        """Keep the scores of the whole split."""
        self.scored_logits_NVK = self.collect_scores(len(self.data.targets(self.data.subset)))

    def _finish_epoch(self, subset: Subset, prefix: str) -> None:
        self.check_steps()
        target_N = self.data.targets(subset)
        self.scored_logits_NVK = self.collect_scores(len(target_N))
        logits_NK = clip_logits(self.scored_logits_NVK, self.temperature)
        ran_N = came_to(self.scored_logits_NVK, ~self.data.readable(subset))
        metrics = classification_metrics(logits_NK[ran_N], target_N[ran_N])
        if self.trainer.state.fn == "fit" and not metrics["loss"] < float("inf"):
            raise NotFinite(
                f"the validation loss became {metrics['loss']} in epoch {self.current_epoch}; the "
                f"last good checkpoint is kept. Try a lower --model.learning_rate."
            )
        # Every process has the whole split, so the figures agree without another reduction.
        self.log_dict(
            {f"{prefix}/{name}": value for name, value in metrics.items()},
            prog_bar=False,
            sync_dist=False,
            batch_size=len(target_N),
        )

    # ---- checkpoints --------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Everything `predict clip.mp4` needs besides the weights, as plain data.

        Raises:
            NotFinite: if one of the steps before it was spoilt.
        """
        self.check_steps()
        data = self.data
        checkpoint[CHECKPOINT_KEY] = {
            "format": CHECKPOINT_FORMAT,
            "model": self.options(),
            "data": data.options(),
            "class_names": self.class_names,
            "feature_dim": self.feature_dim,
            "feature_spec": data.store.spec.to_dict(),
            "identity": self.identity or data.identity(),
            "background": data.class_names[0] if data.has_timelines else None,
            "seed": int(os.environ.get("PL_GLOBAL_SEED", 0)),
            "recipe": self.recipe,
            "total_steps": self.total_steps,
            "within_epoch": self._is_within_epoch(),
        }

    def _is_within_epoch(self) -> bool:
        """Whether training stands between two batches of one epoch."""
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        return progress.current.ready > 0 and not progress.is_last_batch

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights that belong to other features, classes or clips.

        Raises:
            ActionRNNError: if classes or features differ from the data's.
            DataRejected: if clips to be scored were trained on (unless `allow_leak`), or if
                training is to go on with another split.
        """
        saved = checkpoint.get(CHECKPOINT_KEY)
        if saved is None:
            raise ActionRNNError("this checkpoint was not written by actionrnn")
        data = self.data
        check_classes(saved["class_names"], data.class_names, data.root)
        check_features(saved["feature_spec"], data.store.spec)
        if self.trainer.state.fn == "fit":
            self.data.check_same_split(saved["identity"])
            self._resumed_at = (checkpoint["global_step"], saved.get("total_steps", 0))
            self.learning_rate = saved["model"]["learning_rate"]  # one that was searched, perhaps
        else:
            subset = "val" if self.trainer.state.fn == "validate" else self.data.subset
            self.data.check_unseen(saved["identity"], subset)
            self.temperature = saved.get("temperature", 1.0)  # there once calibrated
        self.identity = saved["identity"]


def clip_logits(logits_NVK: Tensor, temperature: float = 1.0) -> Tensor:
    """One score a clip from the scores of its views: log of the mean probability, (N, K).

    A `temperature` other than 1 divides the result: the order of the classes stays, confidence
    changes (Guo et al., arXiv 1706.04599).

    With one view these are the logits up to a constant, so that softmax gives the same
    probabilities; NaN rows stay NaN.
    """
    log_probs_NVK = logits_NVK.log_softmax(dim=-1)
    num_views = logits_NVK.shape[1]
    mean_NK = log_probs_NVK.logsumexp(dim=1) - math.log(num_views)
    return mean_NK / temperature
