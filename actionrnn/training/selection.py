"""Which epoch's weights count, and when validation clips are too few to say."""

from typing import Literal

from actionrnn.training.settings import DEFAULTS, Settings

Kept = Literal["best", "last"]
FEW_CLIPS = 100
"""Fewer validation clips do not choose an epoch: see "which epoch counts" in the results."""


def which_kept(keep: Literal["auto", "best", "last"], num_val_clips: int) -> Kept:
    """`best` or `last`: with few clips to validate with, many epochs tie and chance decides."""
    if keep != "auto":
        return keep
    return "last" if num_val_clips < FEW_CLIPS else "best"


def stops_early(settings: Settings, kept: Kept) -> bool:
    """Whether early stopping is in force.

    Where the last epoch counts it is not, unless its figure or patience was chosen: what cannot
    tell the best epoch cannot tell when to stop either.
    """
    usual = {key: value for key, value in DEFAULTS.items() if key.startswith("early_stopping.")}
    return kept == "best" or any(settings[key] != value for key, value in usual.items())
