"""Is a saliency true to the model? Deletion and insertion curves against random orders.

Petsiuk et al. 2018 (arXiv 1806.07421), over frames: if the frames that a saliency names matter,
hiding them first makes the class's probability fall faster than hiding frames at random, and
showing them first makes it rise faster.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from actionrnn.explain.missing import unseen
from actionrnn.models.heads import Head

NUM_RANDOM_ORDERS = 20


@dataclass(frozen=True)
class Faithfulness:
    """Curves of a class's probability as frames are hidden or shown in some order.

    Attributes:
        deletion, insertion: probability after 0, 1, ... T frames, in the order of the saliency.
        random_deletion, random_insertion: the mean over random orders.
        deletion_area, insertion_area: mean of the curve, 0..1; low deletion and high insertion
            are good.
        random_deletion_area, random_insertion_area: mean over the random orders.
        random_deletion_sd, random_insertion_sd: their standard deviation.
    """

    deletion: list[float]
    insertion: list[float]
    random_deletion: list[float]
    random_insertion: list[float]
    deletion_area: float
    insertion_area: float
    random_deletion_area: float
    random_insertion_area: float
    random_deletion_sd: float
    random_insertion_sd: float

    @property
    def is_faithful(self) -> bool:
        """Better than random orders in both curves."""
        return (
            self.deletion_area < self.random_deletion_area
            and self.insertion_area > self.random_insertion_area
        )


def faithfulness(head: Head, features_TD: Tensor, label: int, saliency_T: Tensor) -> Faithfulness:
    """Hide and show a clip's frames in the order of a saliency, and in random orders.

    The probabilities are those of this one view at temperature 1.

    Args:
        head, features_TD: see `saliency.integrated_gradients`.
        label: index of the class whose probability is followed.
        saliency_T: the frame of the highest value comes first.
    """
    generator = torch.Generator().manual_seed(0)
    num_frames = len(features_TD)
    orders = [saliency_T.cpu().argsort(descending=True, stable=True)]
    orders += [torch.randperm(num_frames, generator=generator) for _ in range(NUM_RANDOM_ORDERS)]
    rank_OT = torch.stack([order.argsort() for order in orders])
    count_S = torch.arange(num_frames + 1)
    hidden_OST = rank_OT[:, None] < count_S[:, None]
    deletion_OS = _probabilities(head, features_TD, label, ~hidden_OST)
    insertion_OS = _probabilities(head, features_TD, label, hidden_OST)
    deletion_O, insertion_O = deletion_OS.mean(dim=1), insertion_OS.mean(dim=1)
    return Faithfulness(
        deletion_OS[0].tolist(),
        insertion_OS[0].tolist(),
        deletion_OS[1:].mean(dim=0).tolist(),
        insertion_OS[1:].mean(dim=0).tolist(),
        float(deletion_O[0]),
        float(insertion_O[0]),
        float(deletion_O[1:].mean()),
        float(insertion_O[1:].mean()),
        float(deletion_O[1:].std()),
        float(insertion_O[1:].std()),
    )


def _probabilities(head: Head, features_TD: Tensor, label: int, seen_OST: Tensor) -> Tensor:
    """Probability of a class for every order and step, float64 (O, S)."""
    rows = []
    with torch.inference_mode():
        for seen_ST in seen_OST:  # one order at a time bounds the memory
            versions_STD = unseen(features_TD, seen_ST)
            lengths_S = torch.full((len(versions_STD),), len(features_TD))
            logits_SK = head(versions_STD, lengths_S).logits_BK.double()
            rows.append(logits_SK.softmax(dim=1)[:, label])
    return torch.stack(rows)
