"""Several tested runs together (folds, seeds): a mean figure, and how far to trust it."""

import math
from collections.abc import Sequence

import torch

from actionrnn.evaluation.figures import grouped, mean_figures
from actionrnn.evaluation.intervals import Figure
from actionrnn.evaluation.paired import same_clips
from actionrnn.evaluation.predictions import Predictions


def mean_over_folds(folds: Sequence[Predictions]) -> dict[str, Figure]:
    """The mean of every headline figure over folds, with a 95 % interval over groups.

    Groups are drawn once for all folds: a recording that is tested in several folds (UCF101), or
    in one fold with several seeds, is in or out of all of them together. In a draw a fold counts
    as often as its groups were drawn; one in which a fold that was drawn has no figure is left out.
    Figures that a fold does not have are left out.
    """
    # Seeds of the same clips are no more clips.
    num_clips = len({name for fold in folds for name in fold.table["video_id"]})
    return mean_figures(grouped(folds), num_clips)


def ensemble(runs: Sequence[Predictions]) -> Predictions:
    """Several runs on the same clips as one model, by the mean of their probabilities.

    Deep ensembles: Lakshminarayanan et al. 2017, arXiv 1612.01474.

    Raises:
        DataRejected: if they do not hold the same clips.
    """
    first, *others = runs
    aligned = [same_clips(first, other, ("the first run", "another")) for other in others]
    log_probs_RNK = torch.stack([each.logits().log_softmax(dim=-1) for each in [first, *aligned]])
    return first.rescored(log_probs_RNK.logsumexp(dim=0) - math.log(len(runs)))
