"""What a recipe out of a checkpoint would have this machine import, or write to."""

from typing import Any

from actionrnn.errors import UsageError
from actionrnn.training.checkpoint import names_code

TRUSTED = ("pytorch_lightning.", "lightning.pytorch.", "actionrnn.")
PLACES = ("dirpath", "save_dir", "root_dir", "log_dir", "default_root_dir", "tracking_uri")


def named_in(recipe: dict[str, Any]) -> set[str]:
    """Code in a recipe that is neither ours nor Lightning's, and places outside the run folder."""
    backbone = str(recipe.get("features", {}).get("backbone", {}).get("name", ""))
    code = {backbone} if names_code(backbone) else set()
    return code | _in(recipe.get("trainer", {}))


def _in(value: Any) -> set[str]:
    if isinstance(value, list):
        return {name for each in value for name in _in(each)}
    if not isinstance(value, dict):
        return set()
    found = set()
    for key, each in value.items():
        if key == "class_path" and not str(each).startswith(TRUSTED):
            found.add(str(each))
        elif isinstance(each, str) and (
            key in PLACES or key.endswith(("_fn", "func")) or key.startswith(("on_", "setup"))
        ):
            found.add(f"{key} {each}")
        else:
            found |= _in(each)
    return found


def refuse_unnamed(recipe: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse what only a checkpoint names.

    Args:
        recipe: out of the checkpoint.
        given: what the user named, in files and words.

    Raises:
        UsageError: saying how to name it.
    """
    unnamed = sorted(named_in(recipe) - named_in(given))
    if unnamed:
        raise UsageError(
            f"this checkpoint names code to run or places to write to, and a checkpoint runs no "
            f"code and chooses no place: {', '.join(unnamed)}. If you know and trust it, name it "
            f"yourself: --config RUN/config.yaml, or "
            f"--features.backbone.name where that is meant"
        )
