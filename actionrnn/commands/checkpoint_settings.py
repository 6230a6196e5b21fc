"""The settings a checkpoint brings to a command line; flags go on top of them."""

from typing import Any

from actionrnn.errors import ActionRNNError
from actionrnn.features.resolve import settings_of
from actionrnn.features.spec import FeatureSpec
from actionrnn.places import place
from actionrnn.training.checkpoint import read_checkpoint
from actionrnn.training.data_source import expand_path
from actionrnn.training.named_code import refuse_unnamed
from actionrnn.training.recognizer import CHECKPOINT_KEY


def checkpoint_settings(verb: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a run goes on with: its whole recipe to `fit`, what decides a score to other verbs.

    A checkpoint written by another program than `fit` has no recipe. What it says of paths is a
    hint where to read: data that was named anew brings its own features folder.

    Args:
        verb: `fit`, `validate`, `test` or `predict`.
        path: the checkpoint.
        given: what files and words of the command line say.

    Raises:
        ActionRNNError: for a checkpoint that cannot be read, that names code which the command
            line does not, or whose data is not where it was.
    """
    saved = read_checkpoint(path)[CHECKPOINT_KEY]
    recipe: dict[str, Any] = saved["recipe"]
    if verb == "fit" and recipe:
        refuse_unnamed(recipe, given)
        return {**recipe, "data": _data(recipe["data"], saved["data"], given)}
    features = settings_of(FeatureSpec.from_dict(saved["feature_spec"])).to_dict()
    refuse_unnamed({"features": features}, given)
    return {
        "seed_everything": saved["seed"],
        "model": saved["model"],
        "data": _data(saved["data"], saved["data"], given),
        "features": features,
        "trainer": {"precision": recipe["trainer"]["precision"]} if recipe else {},
    }


def _data(options: dict[str, Any], known: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint's data settings; places that were named anew are not looked for in it.

    Args:
        options: the settings.
        known: where root and features were, resolved.
        given: see `checkpoint_settings`.

    Raises:
        ActionRNNError: if the places are not there any more, saying how to name the new ones.
    """
    named = given.get("data", {})
    if named.get("features_dir"):
        return options
    if named.get("root") and expand_path(str(named["root"])).resolve() != place(known["root"]):
        return {**options, "features_dir": None}
    root = place(known["root"])
    features_dir = place(known["features_dir"]) if known["features_dir"] else root / "features"
    for folder in (root, features_dir):
        if not folder.is_dir():
            raise ActionRNNError(
                f"the checkpoint's data was at {known['root']}, its features at {features_dir}; "
                f"{folder} is not there any more; say where it is now: --data.root FOLDER (the "
                f"folder with manifest.csv; and --data.features_dir, if not FOLDER/features)"
            )
    return {**options, "root": known["root"], "features_dir": known["features_dir"]}
