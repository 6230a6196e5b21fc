"""Scores of a split, batch by batch and process by process, become one table."""

from typing import Any

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError
from actionrnn.training.finite import NotFinite


class ClipScores:
    """Collects what a head says of the clips of a split, each clip once."""

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Tensor]] = []

    def add(self, index_B: Tensor, logits_BVK: Tensor) -> None:
        """Keep the scores of one batch.

        Args:
            index_B: row of each clip in its split.
            logits_BVK: scores of every view.
        """
        self._batches.append((index_B.cpu(), logits_BVK.float().cpu()))

    def collect(self, num_clips: int) -> Tensor:
        """Scores of a whole split from all processes, (N, V, K); NaN rows were not scored.

        Starts afresh: the next split is collected by itself.

        Raises:
            ActionRNNError: if no clip was scored, or one more often than once.
            NotFinite: if a score is NaN or infinite.
        """
        batches = self._gather()
        self._batches = []
        if not batches:
            raise ActionRNNError("no clip was scored: the split has no readable clip")
        index_M = torch.cat([index for index, _ in batches])
        logits_MVK = torch.cat([logits for _, logits in batches])
        if len(index_M.unique()) != len(index_M):
            raise ActionRNNError(
                "a clip was scored twice: the sampler was replaced; "
                "use ActionDataModule's own loaders"
            )
        if not bool(logits_MVK.isfinite().all()):
            rows = index_M[~logits_MVK.flatten(1).isfinite().all(dim=1)].sort().values.tolist()
            raise NotFinite(
                f"the model's scores are not finite for {len(rows)} clips (rows "
                f"{', '.join(map(str, rows[:10]))}{', ...' if len(rows) > 10 else ''} of the "
                f"split): its weights are of no use. Take an earlier checkpoint, or train again "
                f"with a lower --model.learning_rate"
            )
        logits_NVK = logits_MVK.new_full((num_clips, *logits_MVK.shape[1:]), float("nan"))
        logits_NVK[index_M] = logits_MVK
        return logits_NVK

    def _gather(self) -> list[tuple[Tensor, Tensor]]:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self._batches
        gathered: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, self._batches)
        return [batch for part in gathered for batch in part]


def came_to(logits_NVK: Tensor, unreadable_N: Tensor) -> Tensor:
    """Which clips of a split a pass over it came to, bool (N,).

    All of them, unless it was cut short (`limit_test_batches`, `fast_dev_run`): then those that
    have scores, and the unreadable ones before the last of these.

    Args:
        logits_NVK: from `ClipScores.collect`.
        unreadable_N: bool, clips that have no features.
    """
    scored_N = ~logits_NVK.isnan().any(dim=(1, 2))
    if bool((scored_N | unreadable_N).all()):
        return torch.ones_like(scored_N)
    last = int(scored_N.nonzero().max()) if bool(scored_N.any()) else -1
    return scored_N | (unreadable_N & (torch.arange(len(scored_N)) <= last))
