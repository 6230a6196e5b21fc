"""The gradient report: against finite differences, and on a task with a long lag."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan

import pytest
import torch
from torch import Tensor, nn

from actionrnn.models.cells import CellState, Gates
from actionrnn.models.config import HeadConfig
from actionrnn.models.gradients import gate_saturation, gradient_report, state_gradients
from actionrnn.models.heads import Head, build_head

CELLS = ("rnn", "lstm", "gru", "minlstm", "mingru")
LENGTHS = (6, 4, 1)
NUM_FEATURES, NUM_CELLS = 8, 4
STEP = 1e-6


def make_head(config: HeadConfig) -> Head:
    torch.manual_seed(0)
    return build_head(config, NUM_FEATURES, 3, NUM_CELLS).double().eval()


def make_batch() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(3, 6, NUM_FEATURES).double(), torch.tensor(LENGTHS), torch.tensor([0, 2, 1])


@contextmanager
def nudged(
    head: Head, place: tuple[int, str], reading_step: int, part: int, nudge_BH: Tensor
) -> Iterator[None]:
    """Add to one part of one cell's state after one step of the reading (c before h follows)."""
    stack = head.encoder if head.config.head == "recurrent" else head.encoder.stack
    cell = stack.cell(*place)
    plain_update, calls = cell.update, itertools.count()

    def update(gates: Gates, state: CellState) -> CellState:
        after = plain_update(gates, state)
        if next(calls) == reading_step:
            after = (*after[:part], after[part] + nudge_BH, *after[part + 1 :])
            if part == 1:
                after = (gates["output"] * torch.tanh(after[1]), after[1])
        return after

    cell.update = update
    try:
        yield
    finally:
        del cell.update


OPTIONS = [
    {"cell": cell, "bidirectional": both, "pooling": pooling}
    for cell, both, pooling in itertools.product(CELLS, (False, True), ("last", "mean"))
] + [
    {"head": "attend_recur", "cell": "mingru"},
    {"head": "recur_attend", "cell": "lstm", "bidirectional": True},
    {"head": "conv_gru"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: "-".join(map(str, each.values())))
def test_state_gradients_equal_finite_differences(options: dict[str, object]) -> None:
    config = HeadConfig(**{"num_layers": 2, "hidden_size": 4, **options})
    head, (features_BTD, lengths_B, target_B) = make_head(config), make_batch()

    def losses() -> Tensor:
        logits_BK = head.trace(features_BTD, lengths_B).output.logits_BK
        return nn.functional.cross_entropy(logits_BK, target_B, reduction="none")

    output, cells = head.trace(features_BTD, lengths_B)
    loss = nn.functional.cross_entropy(output.logits_BK, target_B, reduction="sum")
    for trace in cells:
        direction_BH = torch.randn(3, trace.cell.hidden_size).double()
        gradients = state_gradients(trace, loss)
        place = (trace.layer, trace.direction)
        for (part, name), reading_step in itertools.product(
            enumerate(trace.cell.state_names), range(6)
        ):
            slopes = []
            for sign in (1, -1):
                with nudged(head, place, reading_step, part, sign * STEP * direction_BH):
                    slopes.append(sign * losses().detach())
            measured_B = sum(slopes) / (2 * STEP)
            for row, length in enumerate(LENGTHS):
                if reading_step >= length:
                    assert measured_B[row] == 0
                    continue
                last = length - 1
                frame = last - reading_step if trace.direction == "backward" else reading_step
                computed = gradients[name][row, frame] @ direction_BH[row]
                torch.testing.assert_close(computed, measured_B[row], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("cell", CELLS)
def test_the_report_norms_are_those_of_the_gradients(cell: str) -> None:
    head, batch = make_head(HeadConfig(cell=cell, bidirectional=True, hidden_size=4)), make_batch()
    output, cells = head.trace(*batch[:2])
    loss = nn.functional.cross_entropy(output.logits_BK, batch[2], reduction="sum")
    for trace, report in zip(cells, gradient_report(head, *batch), strict=True):
        gradients = state_gradients(trace, loss)
        together_BTX = torch.cat(list(gradients.values()), dim=2)
        for row, length in enumerate(LENGTHS):
            torch.testing.assert_close(
                report.norm_BT[row, :length], together_BTX[row, :length].norm(dim=1)
            )
            assert bool(report.norm_BT[row, length:].isnan().all())
        assert set(report.norm_by_state) == set(gradients)
        first, last = (0, -1) if trace.direction == "forward" else (-1, 0)
        ratios = [
            float(norm_T[first] / norm_T[last])
            for norm_T in (report.norm_BT[0, :6], report.norm_BT[1, :4])
        ]
        assert report.ratio == pytest.approx(min(ratios))  # torch's median of two: the lower


def test_a_batch_mate_does_not_change_a_clips_gradients() -> None:
    head, (features_BTD, lengths_B, target_B) = make_head(HeadConfig(hidden_size=4)), make_batch()
    (together,) = gradient_report(head, features_BTD, lengths_B, target_B)
    (alone,) = gradient_report(head, features_BTD[1:2, :4], lengths_B[1:2], target_B[1:2])
    torch.testing.assert_close(together.norm_BT[1, :4], alone.norm_BT[0])


def test_the_report_leaves_the_head_alone_and_works_without_grad_mode() -> None:
    config = HeadConfig(hidden_size=4, dropout=0.5, num_layers=2)
    head, batch = make_head(config).train(), make_batch()
    with torch.inference_mode():
        tensors = [tensor.clone() for tensor in batch]
        first = gradient_report(head, *tensors)
    second = gradient_report(head, *batch)
    assert head.training
    assert all(parameter.grad is None for parameter in head.parameters())
    for one, two in zip(first, second, strict=True):
        torch.testing.assert_close(one.norm_BT, two.norm_BT, equal_nan=True)


def test_controls_have_nothing_to_report() -> None:
    assert gradient_report(make_head(HeadConfig(head="mean_pool")), *make_batch()) == []


def test_clips_of_one_frame_are_too_short_to_judge() -> None:
    head, (features_BTD, _, target_B) = make_head(HeadConfig(hidden_size=4)), make_batch()
    (report,) = gradient_report(head, features_BTD, torch.tensor([1, 1, 1]), target_B)
    assert isnan(report.ratio)
    assert report.verdict == "too short"
    assert "clips of one frame" in report.sentence()


def test_a_loss_of_zero_has_no_signal_and_does_not_spoil_the_others() -> None:
    head, (features_BTD, lengths_B, target_B) = make_head(HeadConfig(hidden_size=4)), make_batch()
    (honest,) = gradient_report(head, features_BTD[:1], lengths_B[:1], target_B[:1])
    head.classifier.bias.detach()[0] = 1e5  # class 0 is certain: the loss of clip 0 is exactly 0
    (report,) = gradient_report(head, features_BTD[:1], lengths_B[:1], target_B[:1])
    assert report.verdict == "no signal"
    assert "the loss of every clip is 0" in report.sentence()
    (mixed,) = gradient_report(head, features_BTD[:2], lengths_B[:2], target_B[:2])
    assert mixed.verdict == honest.verdict == "healthy"


def test_gradients_beyond_all_numbers_are_exploding() -> None:
    head = make_head(HeadConfig(cell="rnn", hidden_size=4, input_norm="none"))
    head.encoder.cell(0, "forward").kernel.weight_hh_l0.detach().copy_(1e200 * torch.eye(4))
    still_BTD = torch.zeros(1, 6, NUM_FEATURES).double()
    (report,) = gradient_report(head, still_BTD, torch.tensor([6]), torch.tensor([0]))
    assert report.verdict == "exploding"


def test_saturation_counts_the_outer_tenths() -> None:
    head, (features_BTD, lengths_B, _) = make_head(HeadConfig(hidden_size=4)), make_batch()
    kernel = head.encoder.cell(0, "forward").kernel
    for parameter in kernel.parameters():
        parameter.detach().zero_()
    kernel.bias_ih_l0.detach()[0:2] = 10.0  # half of the input gates open
    kernel.bias_ih_l0.detach()[4:8] = -10.0  # all forget gates closed
    (trace,) = head.trace(features_BTD, lengths_B).cells
    shares = {gate.gate: (gate.low, gate.high) for gate in gate_saturation(trace)}
    assert shares == {
        "input": (0.0, 0.5),
        "forget": (1.0, 0.0),
        "output": (0.0, 0.0),
        "cell": (0.0, 0.0),
    }


def test_an_exploding_reading_is_called_so() -> None:
    head = make_head(HeadConfig(cell="rnn", hidden_size=4, input_norm="none"))
    weight_HH = head.encoder.cell(0, "forward").kernel.weight_hh_l0.detach()
    weight_HH.copy_(30.0 * torch.eye(4))
    still_BTD = torch.zeros(1, 6, NUM_FEATURES).double()  # h stays 0, where tanh is steepest
    (report,) = gradient_report(head, still_BTD, torch.tensor([6]), torch.tensor([0]))
    assert report.per_frame == pytest.approx(30.0, rel=1e-6)
    assert report.verdict == "exploding"
    assert report.sentence().startswith("exploding; the frame read first gets 2.4e+07")


@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "names"),
    [
        (1, False, [""]),
        (1, True, ["forward", "backward"]),
        (2, False, ["layer 1", "layer 2"]),
        (
            2,
            True,
            ["layer 1 forward", "layer 1 backward", "layer 2 forward", "layer 2 backward"],
        ),
    ],
)
def test_layers_are_named_only_as_far_as_there_are_several(
    num_layers: int, bidirectional: bool, names: list[str]
) -> None:
    config = HeadConfig(num_layers=num_layers, bidirectional=bidirectional, hidden_size=4)
    found = gradient_report(make_head(config), *make_batch())
    assert [each.name for each in found] == names
    for each in found:
        assert each.sentence().startswith(
            f"{each.name}: {each.verdict}; " if each.name else each.verdict
        )


# ---- the long lag: the first frame tells the class, then there is noise ------------------------


def lag_batch(lag: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    target_B = torch.randint(0, 2, (64,), generator=generator)
    features_BTD = torch.randn(64, lag, 8, generator=generator)
    features_BTD[:, 0] = 3.0 * nn.functional.one_hot(target_B, 8)
    return features_BTD, torch.full((64,), lag), target_B


def lag_head(lag: int, cell: str, init: str) -> Head:
    torch.manual_seed(0)
    config = HeadConfig(
        cell=cell, init=init, chrono_max_frames=lag, hidden_size=32, dropout=0.0, input_norm="none"
    )
    return build_head(config, 8, 2)


def test_the_plain_rnn_loses_the_first_frame_and_gated_cells_keep_it() -> None:
    ratio = {}
    for cell, init in (
        ("rnn", "orthogonal"),
        ("lstm", "orthogonal"),
        ("gru", "orthogonal"),
        ("lstm", "chrono"),
        ("gru", "chrono"),
    ):
        batch = lag_batch(30, torch.Generator().manual_seed(0))
        (report,) = gradient_report(lag_head(30, cell, init), *batch)
        expected = "vanishing" if cell == "rnn" else "healthy"
        assert report.verdict == expected, report.sentence()
        ratio[cell, init] = report.ratio
    assert 10 * ratio["rnn", "orthogonal"] < ratio["gru", "orthogonal"]
    assert 10 * ratio["rnn", "orthogonal"] < ratio["lstm", "orthogonal"]
    assert 10 * ratio["lstm", "orthogonal"] < ratio["lstm", "chrono"]
    assert 10 * ratio["gru", "orthogonal"] < ratio["gru", "chrono"]


def train_on_lag(head: Head, lag: int, num_steps: int) -> float:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(num_steps):
        features_BTD, lengths_B, target_B = lag_batch(lag, generator)
        loss = nn.functional.cross_entropy(head(features_BTD, lengths_B).logits_BK, target_B)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
    features_BTD, lengths_B, target_B = lag_batch(lag, generator)
    preds_B = head(features_BTD, lengths_B).logits_BK.argmax(1)
    return float((preds_B == target_B).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_chrono_learns_over_a_lag_where_a_forget_bias_of_one_does_not(cell: str) -> None:
    # The plain RNN is left out: from its orthogonal start, some seeds learn this and some do not.
    assert train_on_lag(lag_head(60, cell, "orthogonal"), 60, num_steps=120) < 0.7
    assert train_on_lag(lag_head(60, cell, "chrono"), 60, num_steps=120) > 0.9
