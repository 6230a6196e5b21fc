"""Checkpoints: plain data, sealed by a SHA-256, published whole, rebuilt without a Trainer."""

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from actionrnn.errors import ActionRNNError
from actionrnn.features.spec import FeatureSpec, is_imported
from actionrnn.files import publish_bytes
from actionrnn.models.config import HeadConfig
from actionrnn.training.recognizer import (
    CHECKPOINT_FORMAT,
    CHECKPOINT_KEY,
    FIRST_SEALED_FORMAT,
    OLDEST_FORMAT,
    ActionRecognizer,
)

HEAD_OPTIONS = tuple(HeadConfig().to_dict())
SEAL = b"actionrnn sha256 "
_DIGITS = 64


class SealedCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, renames: a killed process leaves the old file whole.

    Lightning stages in the system's temporary folder, which on another file system makes the
    last step a copy that can be cut short. What is written ends in the SHA-256 of all before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_plain = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Save to a local path.

        Raises:
            ActionRNNError: if something in it is no plain data, so that nobody could load it.
            OSError: if the folder cannot be written; nothing is swallowed.
        """
        content = sealed(checkpoint)
        if not self._is_plain:  # once a run: what is kept stays of one kind
            _require_plain(content)
            self._is_plain = True
        publish_bytes(Path(path), content)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: Any = None
    ) -> dict[str, Any]:
        """Plain data alone, on the CPU, after its seal was checked; see `opened`."""
        return opened(Path(path))


def sealed(checkpoint: dict[str, Any]) -> bytes:
    """A checkpoint as bytes that end in the SHA-256 of all bytes before it.

    PyTorch writes a ZIP archive; the seal is the archive's comment, so that other programs read
    the file as before.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    size = (len(SEAL) + _DIGITS).to_bytes(2, "little")
    content = buffer.getvalue()[:-2] + size + SEAL
    return content + hashlib.sha256(content).hexdigest().encode()


def _require_plain(content: bytes) -> None:
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise ActionRNNError(
            f"a checkpoint would hold more than plain data, so that nobody could load it safely: "
            f"{_first_line(error)}; leave out the callback that keeps it (--trainer.callbacks)"
        ) from error


def opened(path: Path) -> dict[str, Any]:
    """The plain data of a checkpoint of any program, on the CPU, if it is as it was written.

    Raises:
        ActionRNNError: if it is empty, cut, changed, or no checkpoint at all.
    """
    content = path.read_bytes()
    if not content:
        raise ActionRNNError(
            f"{path} is damaged: it is empty; {_another(path, 'the disk was full, perhaps')}"
        )
    found = content[-_DIGITS:]
    is_sealed = content[-_DIGITS - len(SEAL) : -_DIGITS] == SEAL
    if is_sealed and hashlib.sha256(content[:-_DIGITS]).hexdigest().encode() != found:
        raise ActionRNNError(
            f"{path} is damaged: its content is not what its SHA-256 says; "
            + _another(path, "a bit was flipped, or the file edited")
        )
    if not is_sealed and SEAL not in content and not content.startswith(b"PK"):
        raise ActionRNNError(f"{path} is not a checkpoint of actionrnn; one is written by fit")
    try:
        checkpoint: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
        saved = checkpoint[CHECKPOINT_KEY]["format"] if CHECKPOINT_KEY in checkpoint else 0
    except Exception as error:  # unpickling fails in many ways, all of them the file's fault
        raise ActionRNNError(
            f"{path} is damaged, or not a checkpoint of actionrnn ({_first_line(error)}); "
            + _another(path, "it was cut off, perhaps")
        ) from error
    if not is_sealed and saved >= FIRST_SEALED_FORMAT:
        raise ActionRNNError(
            f"{path} is damaged: the SHA-256 at its end is missing; "
            + _another(path, "it was cut, or written by another program")
        )
    return checkpoint


def _another(path: Path, cause: str) -> str:
    others = [str(file) for file in sorted(path.parent.glob("*.ckpt")) if file != path]
    return f"{cause}. Take another copy of it{', or ' + ' or '.join(others) if others else ''}"


def _first_line(error: Exception) -> str:
    """What failed; of unpickling PyTorch says how to do it unsafely, which nobody should."""
    text = (str(error) or type(error).__name__).splitlines()[0][:200]
    return "it holds more than plain data" if "eights only load" in text else text


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The plain data of a checkpoint of this project, on the CPU.

    Raises:
        ActionRNNError: if it is an address, missing, damaged, or not one of actionrnn's.
    """
    name = os.fspath(path)
    if "://" in name:
        raise ActionRNNError(f"--ckpt_path {name}: download it first; addresses are not opened")
    if not Path(name).is_file():
        raise ActionRNNError(f"--ckpt_path {name}: no such file{_nearby(Path(name))}")
    checkpoint = opened(Path(name))
    if CHECKPOINT_KEY not in checkpoint:
        raise ActionRNNError(f"{name} is not a checkpoint of actionrnn, but of another program")
    saved_format = checkpoint[CHECKPOINT_KEY]["format"]
    if not OLDEST_FORMAT <= saved_format <= CHECKPOINT_FORMAT:
        raise ActionRNNError(
            f"{name} has checkpoint format {saved_format}, this version reads {OLDEST_FORMAT} to "
            f"{CHECKPOINT_FORMAT}"
        )
    return checkpoint


def background_of(path: str | os.PathLike[str] | None) -> str | None:
    """The background class of a checkpoint that was trained on timelines; None of one on clips.

    Raises:
        ActionRNNError: see `read_checkpoint`.
    """
    assert path is not None
    name: str | None = read_checkpoint(path)[CHECKPOINT_KEY].get("background")
    return name


def _nearby(path: Path) -> str:
    folder = next((parent for parent in path.parents if parent.is_dir()), Path())
    found = sorted(folder.rglob("*.ckpt"), key=lambda file: file.stat().st_mtime)[-3:]
    return f"; newest under {folder}: {', '.join(map(str, found))}" if found else ""


def trusted_spec(saved: dict[str, Any], backbone: str | None) -> FeatureSpec:
    """What a checkpoint's features are, if they can be had without code that only it names.

    Args:
        saved: what the checkpoint keeps under `CHECKPOINT_KEY`.
        backbone: the name that the user gave; None is none.

    Raises:
        ActionRNNError: if the backbone is code (`module:factory`) that the user did not name.
    """
    spec = FeatureSpec.from_dict(saved["feature_spec"])
    refuse_code(spec.settings.backbone.name, backbone)
    return spec


def refuse_code(named: str, given: str | None) -> None:
    """Refuse a backbone that is code, unless the user has named the same.

    Raises:
        ActionRNNError: saying how to name it.
    """
    if names_code(named) and given != named:
        raise ActionRNNError(
            f"this checkpoint's features come from code of its own, {named!r}, and a checkpoint "
            f"runs no code: if you know and trust it, name it: --features.backbone.name {named} "
            f"(in Python: backbone={named!r})"
        )


def names_code(backbone: str) -> bool:
    """Whether a backbone's name is code to import: `module:factory`."""
    return ":" in backbone and not backbone.startswith("timm:") and not is_imported(backbone)


def joined(checkpoints: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Runs that differ in their seeds alone as one checkpoint, to be scored, not trained further.

    Args:
        checkpoints: read from the runs, in the order of the members.

    Raises:
        ActionRNNError: if they are not of one recipe, on the same clips and features.
    """
    first = checkpoints[0]
    about = first[CHECKPOINT_KEY]
    for other in checkpoints[1:]:
        for key in ("class_names", "feature_spec"):
            if other[CHECKPOINT_KEY][key] != about[key]:
                raise ActionRNNError(f"runs of different {key} cannot be one model")
        # How they were trained may differ: a learning rate that each searched for itself.
        if any(other[CHECKPOINT_KEY]["model"][k] != about["model"][k] for k in HEAD_OPTIONS):
            raise ActionRNNError("runs of different heads cannot be one model")
        ours, theirs = about["identity"], other[CHECKPOINT_KEY]["identity"]
        if ours["split_hash"] != theirs["split_hash"]:
            raise ActionRNNError("runs on different splits cannot be one model")
    weights = {
        name.replace("head.", f"head.heads.{place}.", 1): value
        for place, checkpoint in enumerate(checkpoints)
        for name, value in checkpoint["state_dict"].items()
    }
    whole = {"optimizer_states", "lr_schedulers", "loops", "callbacks"}
    return {
        **{key: value for key, value in first.items() if key not in whole},
        "state_dict": weights,
        CHECKPOINT_KEY: {**about, "model": {**about["model"], "members": len(checkpoints)}},
    }


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
