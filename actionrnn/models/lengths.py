"""Clips of different lengths in one padded tensor: the only place that knows which frames exist."""

import torch
from torch import Tensor


def read_at_once(values: Tensor) -> bool:
    """Whether values can be looked at at once; on a GPU that waits for all it has yet to do."""
    return not values.is_cuda


def check_lengths(lengths_B: Tensor, batch_size: int, num_frames: int) -> None:
    """Refuse lengths that a padded batch of shape (B, T, ...) cannot have.

    Of lengths on a GPU the values are compared there: wrong ones end the program a little later.

    Raises:
        ValueError: if there is not one whole number for every clip, or one is 0 or above T.
    """
    if lengths_B.shape != (batch_size,) or lengths_B.is_floating_point():
        raise ValueError(
            f"lengths must be {batch_size} whole numbers, one a clip; "
            f"got {lengths_B.dtype} of shape {tuple(lengths_B.shape)}"
        )
    # A graph that is being compiled or exported cannot branch on values.
    if torch.compiler.is_compiling():
        return
    bad_B = (lengths_B < 1) | (lengths_B > num_frames)
    if not read_at_once(lengths_B):
        torch._assert_async(~bad_B.any(), f"a length is outside 1..{num_frames}")
        return
    if bool(bad_B.any()):
        rows = bad_B.nonzero().flatten().tolist()
        raise ValueError(
            f"length {int(lengths_B[rows[0]])} of row {rows[0]} is outside 1..{num_frames}"
            f" ({len(rows)} of {batch_size} rows are)"
        )


def frame_mask(lengths_B: Tensor, num_frames: int) -> Tensor:
    """True where a frame is valid, bool (B, T)."""
    return torch.arange(num_frames, device=lengths_B.device) < lengths_B[:, None]


def zero_padding(values_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """The same values with zeros after each clip's end, whatever stood there (also NaN)."""
    mask_BT = frame_mask(lengths_B, values_BTD.shape[1])
    return torch.where(mask_BT[:, :, None], values_BTD, 0.0)


def at_frame(values_BTD: Tensor, index_B: Tensor) -> Tensor:
    """The values of one frame of each clip, (B, D)."""
    return values_BTD[torch.arange(index_B.shape[0], device=index_B.device), index_B]


def hold_last(values_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Every frame after a clip's end repeats its last valid one."""
    steps_T = torch.arange(values_BTD.shape[1], device=lengths_B.device)
    return take_frames(values_BTD, torch.minimum(steps_T, lengths_B[:, None] - 1))


def flip_by_length(values_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Reverse the valid frames of each clip; padding stays at the end. Its own inverse."""
    steps_T = torch.arange(values_BTD.shape[1], device=lengths_B.device)
    flipped_BT = lengths_B[:, None] - 1 - steps_T
    return take_frames(values_BTD, torch.where(flipped_BT >= 0, flipped_BT, steps_T))


def take_frames(values_BTD: Tensor, index_BT: Tensor) -> Tensor:
    """Of each clip the frames of its own row of indices, in that order."""
    rows_B1 = torch.arange(index_BT.shape[0], device=index_BT.device)[:, None]
    return values_BTD[rows_B1, index_BT]
