"""The settings a checkpoint brings to a command line; flags go on top of them."""

from typing import Any

from actionrnn.features.spec import FeatureSpec
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.recognizer import CHECKPOINT_KEY


def checkpoint_settings(verb: str, path: str) -> dict[str, Any]:
    """What a run goes on with: its whole recipe to `fit`, what decides a score to other verbs.

    A checkpoint written by another program than `fit` has no recipe.
    """
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    recipe: dict[str, Any] = saved["recipe"]
    if verb == "fit" and recipe:
        return recipe
    return {
        "seed_everything": saved["seed"],
        "model": saved["model"],
        "data": saved["data"],
        "features": FeatureSpec.from_dict(saved["feature_spec"]).settings.to_dict(),
        "trainer": {"precision": recipe["trainer"]["precision"]} if recipe else {},
    }
