"""Going on with a run: what may differ from its recipe, and what is refused by name."""

import re
from typing import Any

from actionrnn.errors import ActionRNNError, UsageError
from actionrnn.training.recognizer import CHECKPOINT_KEY
from actionrnn.training.run_folder import run_folder_of
from actionrnn.training.settings import Settings, parsed, recipe_of

MAY_CHANGE = (
    "trainer.max_epochs",
    "trainer.min_epochs",
    "trainer.max_steps",
    "trainer.min_steps",
    "trainer.max_time",
    "trainer.logger",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.profiler",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.log_every_n_steps",
    "trainer.detect_anomaly",
    "early_stopping.patience",
    "extraction",
    "data.root",
    "data.features_dir",
    "data.allow_leak",
    "features.backbone.weights",
)
"""Settings, or groups of them, that a resumed run takes over; files that moved are compared by
their content."""
WATCHERS = re.compile(
    r"ProgressBar|ModelSummary|LearningRateMonitor|DeviceStatsMonitor|Timer|GradientHealth"
)
"""Callbacks that may come or go: they change no weight."""


def check_resume(settings: Settings, checkpoint: dict[str, Any]) -> None:
    """Refuse to go on with a run under settings that it cannot take over.

    Args:
        settings: of the new command, its `ckpt_path` among them.
        checkpoint: read from there.

    Raises:
        UsageError: naming each setting that differs, or what the checkpoint cannot do.
    """
    saved, path = checkpoint[CHECKPOINT_KEY], settings.ckpt_path
    if not saved["recipe"]:
        raise UsageError(
            f"{path} does not know how it was trained (another program than fit wrote it), so it "
            f"cannot be gone on with"
        )
    folder = run_folder_of(path)
    given = settings.run.folder  # symbolic links in it are resolved, as of a checkpoint
    if given and run_folder_of(f"{given}/checkpoints/last.ckpt") != folder:
        raise UsageError(
            f"--run.folder {given}: a run goes on in its own folder, {folder}. To "
            f"keep it as it is, copy the folder and go on with the copy"
        )
    if settings.run.overwrite:
        raise UsageError("--run.overwrite is for new runs; leave out it or --ckpt_path")
    changes = differences(recipe_of(parsed(saved["recipe"])), recipe_of(settings))
    if changes:
        raise UsageError(
            f"a resumed run keeps its settings, and these differ: {'; '.join(changes)}. Leave them "
            f"to the checkpoint, or start a new run: leave out --ckpt_path"
        )
    if saved.get("within_epoch"):
        raise UsageError(
            f"{path} was saved within an epoch, whose other half would see its clips anew: go on "
            f"with a checkpoint of a whole epoch, or start a new run, with more epochs or steps"
        )
    _check_end(settings, checkpoint)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Each setting that differs and may not: `--model.cell gru (the run: lstm)`."""
    ours, theirs = _flat(old), _flat(new)
    may_change = tuple(f"{name}." for name in MAY_CHANGE)
    return [
        f"--{key} {_shown(theirs.get(key))} (the run: {_shown(ours.get(key))})"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key) and not f"{key}.".startswith(may_change)
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name == "trainer.callbacks":
            listed = value if isinstance(value, list) else [value] if value else []
            found[name] = [each for each in listed if not WATCHERS.search(each["class_path"])]
        elif isinstance(value, dict) and value and "class_path" not in value:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def _check_end(settings: Settings, checkpoint: dict[str, Any]) -> None:
    """Refuse an end that is behind the checkpoint, or a run that has stopped by itself.

    Raises:
        UsageError: naming the setting.
    """
    done, steps = checkpoint["epoch"] + 1, checkpoint["global_step"]
    for key, limit, reached in (
        ("max_epochs", settings.trainer.max_epochs, done),
        ("max_steps", settings.trainer.max_steps, steps),
    ):
        if limit is not None and -1 < limit < reached:
            raise UsageError(
                f"--trainer.{key} {limit}: the checkpoint has {reached} already; give more, or "
                f"start a new run"
            )
    old_epochs = parsed(checkpoint[CHECKPOINT_KEY]["recipe"]).trainer.max_epochs
    callbacks = _flat(recipe_of(settings))["trainer.callbacks"]
    if settings.trainer.max_epochs != old_epochs and any(
        each["class_path"].endswith("StochasticWeightAveraging") for each in callbacks
    ):
        raise UsageError(
            f"--trainer.max_epochs {settings.trainer.max_epochs} (the run: {old_epochs}): "
            f"StochasticWeightAveraging averages the last share of the epochs, so their number is "
            f"part of its run; start a new run, with more epochs"
        )
    patience = settings.early_stopping.patience
    for name, state in checkpoint["callbacks"].items():
        ours = f"EarlyStopping{{'monitor': '{settings.early_stopping.monitor}'"
        is_ours = name.startswith(ours)
        if is_ours and state["wait_count"] >= patience:
            raise UsageError(
                f"the run has stopped by itself after {done} epochs: {state['wait_count']} without "
                f"a better {settings.early_stopping.monitor}. To go on nevertheless, give it more "
                f"patience: --early_stopping.patience {2 * patience}"
            )


def require_whole(checkpoint: dict[str, Any], path: str) -> None:
    """Refuse a checkpoint without what training needs (optimiser, loops).

    Raises:
        ActionRNNError: if only its weights were saved.
    """
    if "optimizer_states" not in checkpoint or "loops" not in checkpoint:
        raise ActionRNNError(f"{path} holds weights alone: it can be tested, not gone on with")
