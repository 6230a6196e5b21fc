"""What Lightning and PyTorch refuse of a user's settings, in one line that names the flag."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from actionrnn.errors import ActionRNNError, UsageError, condensed
from actionrnn.training.settings import Settings, run_parser

_PACKAGE = str(Path(__file__).parents[1])
_LIGHTNING = re.compile(r"[/\\](pytorch_lightning|lightning_fabric|lightning_utilities)[/\\]")
_OTHERS = re.compile(r"[/\\](torch|torchmetrics|pandas)[/\\]")


@contextmanager
def refusals(settings: Settings) -> Iterator[None]:
    """Turn what libraries raise about settings into a `UsageError` that names them.

    Ctrl-C, which Lightning swallows, comes out of it as KeyboardInterrupt.

    What Lightning raises is about its settings. What another library raises is taken for that
    too, unless code of this project called it: then it is about data, or a fault of ours.
    """
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning makes exit code 1 of it
            raise KeyboardInterrupt from stop
        raise
    except (ActionRNNError, OSError, MemoryError):
        raise
    except torch.OutOfMemoryError as error:
        raise ActionRNNError(
            f"the device has too little memory ({condensed(str(error))[:160]}): try a smaller "
            f"--data.batch_size, or --trainer.accelerator cpu"
        ) from error
    except Exception as error:
        if not _is_refusal(error.__traceback__):
            raise
        raise UsageError(refusal(str(error) or type(error).__name__, settings)) from error


def _is_refusal(trace: TracebackType | None) -> bool:
    library, through_us, file = False, False, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        ours = file.startswith(_PACKAGE)
        library, through_us = library or not ours, through_us or (ours and library)
        trace = trace.tb_next
    return bool(_LIGHTNING.search(file) or (_OTHERS.search(file) and not through_us))


def refusal(message: str, settings: Settings) -> str:
    """A library's message, and the flags it is about: those it names, else all that were set."""
    flags = set_flags(settings)
    named = {key: value for key, value in flags.items() if _names(message, key, value)}
    chosen = named or flags
    listed = ", ".join(f"--{key} {value}" for key, value in chosen.items())
    return f"{listed or 'these settings'}: refused by Lightning: {condensed(message)}"


def _names(message: str, key: str, value: Any) -> bool:
    name = key.rpartition(".")[2]
    words = [name] if isinstance(value, bool) or len(str(value)) < 2 else [name, str(value)]
    pattern = "|".join(re.escape(word) for word in words)
    return re.search(rf"(?<![\w.])({pattern})(?![\w.])", message, re.IGNORECASE) is not None


def set_flags(settings: Settings) -> dict[str, Any]:
    """The settings of Trainer and early stopping that are not the usual ones."""
    usual = run_parser().get_defaults()
    return {
        f"{group}.{key}": _short(value)
        for group in ("trainer", "early_stopping")
        for key, value in vars(settings[group]).items()
        if value != usual[group].get(key)
    }


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(str(getattr(each, "class_path", each)) for each in value)
    return getattr(value, "class_path", value)


def check_limits(settings: Settings) -> None:
    """Refuse a training that could not take a step, or would never end.

    Raises:
        UsageError: naming the flag.
    """
    trainer = settings.trainer
    for key in ("max_epochs", "max_steps", "limit_train_batches"):
        if trainer[key] is not None and trainer[key] == 0:
            raise UsageError(f"--trainer.{key} 0: nothing would be trained; give at least 1")
    if not 0 <= settings.seed_everything < 2**32:
        raise UsageError(f"--seed_everything {settings.seed_everything}: 0 to {2**32 - 1}")
    for key, value, least in (
        ("trainer.check_val_every_n_epoch", trainer.check_val_every_n_epoch, 1),
        ("trainer.accumulate_grad_batches", trainer.accumulate_grad_batches, 1),
        ("early_stopping.patience", settings.early_stopping.patience, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"--{key} {value}: must be at least {least}")
    if trainer.max_epochs == -1 and trainer.max_steps == -1 and not trainer.fast_dev_run:
        raise UsageError(
            "--trainer.max_epochs -1: the learning rate falls to zero at the end, so there must be "
            "one: give a number of epochs, or --trainer.max_steps; --early_stopping.patience ends "
            "it sooner"
        )
    if trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"--trainer.accelerator {trainer.accelerator}: there is no GPU here that PyTorch "
            f"{torch.__version__} can use; leave it out to take what there is"
        )
    if trainer.precision in ("16-true", "bf16-true"):
        raise UsageError(
            f"--trainer.precision {trainer.precision}: heads keep their weights in 32 bits; take "
            f"bf16-mixed, or 16-mixed on a GPU"
        )
    if trainer.precision in ("16-mixed", "16", 16) and not torch.cuda.is_available():
        raise UsageError(
            f"--trainer.precision {trainer.precision}: needs a GPU, and there is none here; "
            f"bf16-mixed works on CPUs"
        )
