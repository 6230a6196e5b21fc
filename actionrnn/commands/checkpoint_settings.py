"""The settings a checkpoint brings to a command line; flags go on top of them."""

from typing import Any

from actionrnn.features.resolve import settings_of
from actionrnn.features.spec import FeatureSpec
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.data import expand_path
from actionrnn.training.recognizer import CHECKPOINT_KEY


def checkpoint_settings(verb: str, path: str, root: str | None = None) -> dict[str, Any]:
    """What a run goes on with: its whole recipe to `fit`, what decides a score to other verbs.

    Args:
        verb: what is done.
        path: the checkpoint. One written by another program than `fit` has no recipe.
        root: the data's folder where another is asked for; its features are its own.
    """
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    recipe: dict[str, Any] = saved["recipe"]
    if verb == "fit" and recipe:
        return recipe
    data = saved["data"]
    if root is not None and str(expand_path(root).resolve()) != data["root"]:
        data = {**data, "features_dir": None}
    return {
        "seed_everything": saved["seed"],
        "model": saved["model"],
        "data": data,
        "features": settings_of(FeatureSpec.from_dict(saved["feature_spec"])).to_dict(),
        "trainer": {"precision": recipe["trainer"]["precision"]} if recipe else {},
    }
