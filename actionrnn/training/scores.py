"""Scores of a split, batch by batch and process by process, become one table."""

from typing import Any

import torch
from torch import Tensor

from actionrnn.errors import ActionRNNError


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
        """Scores of a whole split from all processes, (N, V, K); NaN rows could not be read.

        Starts afresh: the next split is collected by itself.

        Raises:
            ActionRNNError: if no clip was scored, or one more often than once.
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
        logits_NVK = logits_MVK.new_full((num_clips, *logits_MVK.shape[1:]), float("nan"))
        logits_NVK[index_M] = logits_MVK
        return logits_NVK

    def _gather(self) -> list[tuple[Tensor, Tensor]]:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self._batches
        gathered: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, self._batches)
        return [batch for part in gathered for batch in part]
