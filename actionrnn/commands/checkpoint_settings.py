"""The settings a checkpoint brings to a command line; flags go on top of them."""

from typing import Any

from actionrnn.commands.config import load_config
from actionrnn.features.spec import FeatureSpec
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY
from actionrnn.training.run_folder import run_folder_of


def base_settings(verb: str, ckpt_path: str) -> dict[str, Any]:
    """What flags go on top of: to resume, the run's own config; else the checkpoint's settings."""
    own = run_folder_of(ckpt_path) / "config.yaml"
    if verb != "fit" or not own.is_file():
        return checkpoint_settings(ckpt_path)
    return {key: value for key, value in load_config(str(own)).items() if key != "ckpt_path"}


def checkpoint_settings(path: str) -> dict[str, Any]:
    """The settings a checkpoint was trained with, as a config that flags go on top of."""
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    return {
        "seed_everything": saved["seed"],
        "model": saved["model"],
        "data": saved["data"],
        "features": FeatureSpec.from_dict(saved["feature_spec"]).settings.to_dict(),
    }
