"""The settings a checkpoint brings to a command line; flags go on top of them."""

from typing import Any

from actionrnn.commands.config import load_config
from actionrnn.features.resolve import settings_of
from actionrnn.features.spec import FeatureSpec
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.data import expand_path
from actionrnn.training.recognizer import CHECKPOINT_KEY
from actionrnn.training.run_folder import run_folder_of


def base_settings(verb: str, ckpt_path: str, root: str | None = None) -> dict[str, Any]:
    """What flags go on top of: to resume, the run's own config; else the checkpoint's settings.

    Args:
        verb: what is done.
        ckpt_path: the checkpoint.
        root: the data's folder where another is asked for; its features are its own.
    """
    own = run_folder_of(ckpt_path) / "config.yaml"
    if verb != "fit" or not own.is_file():
        return checkpoint_settings(ckpt_path, root)
    return {key: value for key, value in load_config(str(own)).items() if key != "ckpt_path"}


def checkpoint_settings(path: str, root: str | None = None) -> dict[str, Any]:
    """The settings a checkpoint was trained with, as a config that flags go on top of."""
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    data = saved["data"]
    if root is not None and str(expand_path(root).resolve()) != data["root"]:
        data = {**data, "features_dir": None}
    return {
        "seed_everything": saved["seed"],
        "model": saved["model"],
        "data": data,
        "features": settings_of(FeatureSpec.from_dict(saved["feature_spec"])).to_dict(),
    }
