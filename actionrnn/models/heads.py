"""Heads: features of a clip become logits. The recurrent one, and the honest baselines."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from actionrnn.models.config import HeadConfig
from actionrnn.models.inputs import Inputs, check_lengths, valid_mask

CELLS: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class HeadOutput(NamedTuple):
    """What every head returns.

    Attributes:
        logits_BK: (B, K) of the whole clip.
        hidden_BTH: (B, T, H) what was pooled; 0 at padding.
    """

    logits_BK: Tensor
    hidden_BTH: Tensor


class Head(nn.Module):
    """Base of all heads: normalised inputs in, logits out; padding is inert."""

    def __init__(self, config: HeadConfig, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.feature_dim = feature_dim
        self.num_classes = num_classes
        self.inputs = Inputs(feature_dim, config.input_names, config.input_norm)
        self.dropout = nn.Dropout(config.dropout)

    def fit_input_norm(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure the input normalisation on batches of (features_BTD, lengths_B)."""
        self.inputs.fit(batches)

    def forward(self, features_BTD: Tensor, lengths_B: Tensor) -> HeadOutput:
        """Logits of padded clips; what lies behind a clip's length has no influence.

        Raises:
            ValueError: if a length is not between 1 and T.
        """
        check_lengths(lengths_B, features_BTD.shape[1])
        mask_BT = valid_mask(lengths_B, features_BTD.shape[1])
        return self.classify(self.inputs(features_BTD, mask_BT), lengths_B, mask_BT)

    def classify(self, inputs_BTD: Tensor, lengths_B: Tensor, mask_BT: Tensor) -> HeadOutput:
        """Logits from inputs that are 0 at padding."""
        raise NotImplementedError


class RecurrentHead(Head):
    """RNN, LSTM or GRU over the frames, pooled over valid steps, then linear."""

    def __init__(self, config: HeadConfig, feature_dim: int, num_classes: int) -> None:
        super().__init__(config, feature_dim, num_classes)
        self.rnn = CELLS[config.cell](
            self.inputs.dim,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=config.bidirectional,
        )
        width = config.hidden_size * (2 if config.bidirectional else 1)
        self.attention = nn.Linear(width, 1) if config.pooling == "attention" else None
        self.classifier = nn.Linear(width, num_classes)
        initialise(self.rnn)

    def classify(self, inputs_BTD: Tensor, lengths_B: Tensor, mask_BT: Tensor) -> HeadOutput:
        """See Head."""
        hidden_BTH = self._run(self.dropout(inputs_BTD), lengths_B)
        pooled_BH = self._pool(hidden_BTH, lengths_B, mask_BT)
        return HeadOutput(self.classifier(self.dropout(pooled_BH)), hidden_BTH)

    def _run(self, inputs_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        num_frames = inputs_BTD.shape[1]
        if bool((lengths_B == num_frames).all()):  # nothing to skip: the faster, unpacked kernel
            return self.rnn(inputs_BTD)[0]  # type: ignore[no-any-return]
        packed = pack_padded_sequence(
            inputs_BTD, lengths_B.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, _ = pad_packed_sequence(
            self.rnn(packed)[0], batch_first=True, total_length=num_frames
        )
        return hidden

    def _pool(self, hidden_BTH: Tensor, lengths_B: Tensor, mask_BT: Tensor) -> Tensor:
        pooling = self.config.pooling
        if pooling == "last":
            last_BH = hidden_BTH[torch.arange(len(lengths_B)), lengths_B - 1]
            if not self.config.bidirectional:
                return last_BH
            # The backward direction ends at the first frame.
            size = self.config.hidden_size
            return torch.cat([last_BH[:, :size], hidden_BTH[:, 0, size:]], dim=1)
        padding_BT1 = ~mask_BT[..., None]
        if pooling == "mean":
            return hidden_BTH.masked_fill(padding_BT1, 0.0).sum(1) / lengths_B[:, None]
        if pooling == "max":
            return hidden_BTH.masked_fill(padding_BT1, float("-inf")).amax(1)
        assert self.attention is not None
        scores_BT1 = self.attention(hidden_BTH).masked_fill(padding_BT1, float("-inf"))
        return (scores_BT1.softmax(dim=1) * hidden_BTH.masked_fill(padding_BT1, 0.0)).sum(1)


class MeanPoolHead(Head):
    """Baseline that is blind to order: linear, or an MLP, on the mean over valid frames."""

    def __init__(self, config: HeadConfig, feature_dim: int, num_classes: int) -> None:
        super().__init__(config, feature_dim, num_classes)
        if config.head == "mean_pool":
            self.classifier: nn.Module = nn.Linear(self.inputs.dim, num_classes)
        else:
            self.classifier = nn.Sequential(
                nn.Linear(self.inputs.dim, config.hidden_size),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_size, num_classes),
            )

    def classify(self, inputs_BTD: Tensor, lengths_B: Tensor, mask_BT: Tensor) -> HeadOutput:
        """See Head."""
        mean_BD = inputs_BTD.sum(1) / lengths_B[:, None]
        return HeadOutput(self.classifier(self.dropout(mean_BD)), inputs_BTD)


class SingleFrameHead(Head):
    """Baseline that sees one frame: linear on the middle valid one."""

    def __init__(self, config: HeadConfig, feature_dim: int, num_classes: int) -> None:
        super().__init__(config, feature_dim, num_classes)
        self.classifier = nn.Linear(self.inputs.dim, num_classes)

    def classify(self, inputs_BTD: Tensor, lengths_B: Tensor, mask_BT: Tensor) -> HeadOutput:
        """See Head."""
        middle_BD = inputs_BTD[torch.arange(len(lengths_B)), lengths_B // 2]
        return HeadOutput(self.classifier(self.dropout(middle_BD)), inputs_BTD)


def initialise(rnn: nn.RNN | nn.LSTM | nn.GRU) -> None:
    """Orthogonal recurrent weights per gate, Xavier inputs, biases 0, LSTM forget bias 1 (once).

    PyTorch adds two biases; the forget bias of 1 (Jozefowicz et al. 2015) goes into one of them.
    """
    size = rnn.hidden_size
    for name, parameter in rnn.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if isinstance(rnn, nn.LSTM) and name.startswith("bias_ih"):
                nn.init.ones_(
                    parameter.data[size : 2 * size]
                )  # gate order: input, forget, cell, output
        else:
            draw = nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_
            for gate in parameter.data.split(size):
                draw(gate)


def build_head(config: HeadConfig, feature_dim: int, num_classes: int) -> Head:
    """The head that a config describes."""
    if config.head == "recurrent":
        return RecurrentHead(config, feature_dim, num_classes)
    if config.head == "single_frame":
        return SingleFrameHead(config, feature_dim, num_classes)
    return MeanPoolHead(config, feature_dim, num_classes)
