"""Checkpoints: plain data, published atomically, rebuilt without a Trainer."""

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from actionrnn.errors import ActionRNNError
from actionrnn.features.spec import FeatureSpec
from actionrnn.files import published
from actionrnn.training.recognizer import CHECKPOINT_FORMAT, CHECKPOINT_KEY, ActionRecognizer


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, renames: a killed process leaves the old file whole.

    Lightning stages in the system's temporary folder, which on another file system makes the
    last step a copy that can be cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Save to a local path.

        Raises:
            OSError: if the folder cannot be written; nothing is swallowed.
        """
        with published(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A checkpoint's plain data, on the CPU.

    Raises:
        ActionRNNError: if it is an address, missing, damaged, or not one of actionrnn's.
    """
    name = os.fspath(path)
    if "://" in name:
        raise ActionRNNError(f"--ckpt_path {name}: download it first; addresses are not opened")
    if not Path(name).is_file():
        raise ActionRNNError(f"--ckpt_path {name}: no such file{_nearby(Path(name))}")
    try:
        checkpoint: dict[str, Any] = torch.load(name, map_location="cpu", weights_only=True)
        saved_format = checkpoint[CHECKPOINT_KEY]["format"]
    except Exception as error:
        raise ActionRNNError(
            f"{name} is not a checkpoint of actionrnn, or it is damaged "
            f"({type(error).__name__}: {str(error).splitlines()[0][:200]})"
        ) from error
    if saved_format != CHECKPOINT_FORMAT:
        raise ActionRNNError(
            f"{name} has checkpoint format {saved_format}, this version reads {CHECKPOINT_FORMAT}"
        )
    return checkpoint


def _nearby(path: Path) -> str:
    folder = next((parent for parent in path.parents if parent.is_dir()), Path())
    found = sorted(folder.rglob("*.ckpt"), key=lambda file: file.stat().st_mtime)[-3:]
    return f"; newest under {folder}: {', '.join(map(str, found))}" if found else ""


def load_recognizer(checkpoint: dict[str, Any]) -> ActionRecognizer:
    """The trained model of a checkpoint, in eval mode, without data or Trainer."""
    saved = checkpoint[CHECKPOINT_KEY]
    recognizer = ActionRecognizer(**saved["model"])
    spec = FeatureSpec.from_dict(saved["feature_spec"])
    recognizer.build(saved["feature_dim"], saved["class_names"], spec.num_cells)
    recognizer.load_state_dict(checkpoint["state_dict"])
    recognizer.identity = saved["identity"]
    recognizer.temperature = saved.get("temperature", 1.0)  # there once calibrated
    return recognizer.eval()
