"""What the loss compares: the score of a clip, of every frame, or of the last step of a window."""

from typing import Literal

from torch import Tensor

from actionrnn.models.config import HeadConfig
from actionrnn.models.heads import HeadOutput
from actionrnn.models.lengths import at_frame, frame_mask
from actionrnn.training.batches import Batch

Loss = Literal["clip", "every_frame", "last_step"]


def check_loss(loss: Loss, config: HeadConfig, mixup: float) -> None:
    """Refuse a loss of moments where a head has no score of its own for each.

    Raises:
        ValueError: saying what to train instead.
    """
    if loss == "clip":
        return
    why = f"--model.loss {loss} asks for a score at every moment, of what was seen until then; "
    if config.reads_both_ways:
        raise ValueError(f"{why}this head reads from the end too: --model.bidirectional false")
    if config.looks_ahead:
        raise ValueError(f"{why}--model.inputs {config.inputs} look ahead: take delta for ahead")
    if mixup:
        raise ValueError(f"--model.mixup {mixup:g} mixes whole clips: take --model.loss clip")


def compared(loss: Loss, output: HeadOutput, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (M, K) and targets (M,) of the loss, from one view of every clip or window.

    `every_frame` has all valid steps alike (Donahue et al., LRCN, CVPR 2015); where the batch is of
    clips each has its clip's class. `last_step` has the last alone, whatever the head's pooling
    says of the clip (An et al., MiniROAD, ICCV 2023).
    """
    if loss == "clip":
        return output.logits_BK, batch.target_B
    lengths_B = batch.lengths_BV.flatten()
    if loss == "last_step":
        return at_frame(output.logits_BTK, lengths_B - 1), batch.target_B
    valid_BT = frame_mask(lengths_B, output.logits_BTK.shape[1])
    target_BT = batch.target_BT
    if target_BT is None:
        target_BT = batch.target_B[:, None].expand(valid_BT.shape)
    return output.logits_BTK[valid_BT], target_BT[valid_BT]


def counted_frames(logits_NTK: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Keys (F,) of the steps of a batch of windows that count, and their scores (F, V, K).

    Args:
        logits_NTK: of all views of all windows, N = B * V.
        batch: of windows.
    """
    assert batch.frame_BT is not None
    num_windows, num_views = batch.lengths_BV.shape
    logits_BVTK = logits_NTK.unflatten(0, (num_windows, num_views))
    counts_BT = batch.frame_BT >= 0
    return batch.frame_BT[counts_BT], logits_BVTK.transpose(1, 2)[counts_BT]
