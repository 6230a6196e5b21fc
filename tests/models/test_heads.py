"""Heads as a whole: streaming, transparent form, the library as reference, sizes and settings."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

from actionrnn.models.config import CELLS, CONTROLS, HEADS, HeadConfig
from actionrnn.models.heads import Head, HeadState, build_head

POOLINGS = ("last", "mean", "max", "attention")
STACKED = {"num_layers": 3, "layer_norm": True, "residual": True}
NUM_FEATURES, NUM_CELLS = 8, 4
ONE_WAY = [
    HeadConfig(cell=cell, pooling=pooling, hidden_size=8, inputs="features,delta", **options)
    for cell, pooling, options in itertools.product(CELLS, POOLINGS, ({}, STACKED))
] + [
    HeadConfig(head=head, cell=cell, hidden_size=8, inputs="delta3,abs_delta,delta2", **options)
    for head, cell, options in itertools.product(
        ("attend_recur", "recur_attend", "conv_gru"), CELLS, ({"pooling": "mean"}, STACKED)
    )
    if head != "conv_gru" or cell == "gru"
]
BOTH_WAYS = [replace(config, bidirectional=True) for config in ONE_WAY]
WITHOUT_RECURRENCE = [
    HeadConfig(head=head, hidden_size=8, inputs="features,abs_delta") for head in CONTROLS
]
# single_frame judges each frame by itself: the middle of a part is not the middle of the clip.
WITH_MEMORY = [config for config in WITHOUT_RECURRENCE if config.head != "single_frame"]
CLOSE = {"rtol": 1e-4, "atol": 2e-6}


def name(config: HeadConfig) -> str:
    kind = config.cell if config.head == "recurrent" else config.head
    if config.head in ("attend_recur", "recur_attend"):
        kind += f"-{config.cell}"
    both = "-both" if config.bidirectional else ""
    return f"{kind}{both}-{config.pooling}-{config.num_layers}"


def make_head(config: HeadConfig) -> Head:
    torch.manual_seed(0)
    return build_head(config, NUM_FEATURES, 5, NUM_CELLS).eval()


@pytest.fixture
def clips() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(4, 9, NUM_FEATURES), torch.tensor([9, 1, 5, 3])


# ---- offline equals online --------------------------------------------------------------------


@pytest.mark.parametrize("config", ONE_WAY + WITHOUT_RECURRENCE, ids=name)
def test_stepping_frame_by_frame_gives_the_prefix_logits(
    config: HeadConfig, clips: tuple[Tensor, Tensor]
) -> None:
    head, (features_BTD, lengths_B) = make_head(config), clips
    whole = head(features_BTD, lengths_B)
    state: HeadState | None = None
    for t in range(features_BTD.shape[1]):
        logits_BK, state = head.step(features_BTD[:, t], state)
        alive_B = lengths_B > t
        torch.testing.assert_close(logits_BK[alive_B], whole.logits_BTK[alive_B, t], **CLOSE)
        ended_B = (lengths_B == t + 1) & (config.head != "single_frame")
        torch.testing.assert_close(logits_BK[ended_B], whole.logits_BK[ended_B], **CLOSE)


@pytest.mark.parametrize("config", ONE_WAY + WITH_MEMORY, ids=name)
def test_prefix_logits_are_the_logits_of_the_clip_cut_there(
    config: HeadConfig, clips: tuple[Tensor, Tensor]
) -> None:
    head, (features_BTD, _) = make_head(config), clips
    whole = head(features_BTD, torch.tensor([9] * 4))
    for length in (1, 4, 8):
        cut = head(features_BTD, torch.tensor([length] * 4))
        torch.testing.assert_close(cut.logits_BK, whole.logits_BTK[:, length - 1], **CLOSE)


@pytest.mark.parametrize("config", ONE_WAY + WITH_MEMORY, ids=name)
def test_parts_of_any_length_continue_each_clip_from_its_own_end(
    config: HeadConfig, clips: tuple[Tensor, Tensor]
) -> None:
    head, (features_BTD, _) = make_head(config), clips
    first_B, second_B = torch.tensor([9, 1, 5, 3]), torch.tensor([2, 4, 1, 3])
    later_BTD = torch.randn(4, 4, NUM_FEATURES)
    part = head(features_BTD, first_B, head.initial_state(4))
    torch.testing.assert_close(part.logits_BK, head(features_BTD, first_B).logits_BK, **CLOSE)
    parts = head(later_BTD, second_B, part.state)
    for row in range(4):
        joined_TD = torch.cat([features_BTD[row, : first_B[row]], later_BTD[row, : second_B[row]]])
        whole = head(joined_TD[None], torch.tensor([len(joined_TD)]))
        torch.testing.assert_close(parts.logits_BK[row], whole.logits_BK[0], **CLOSE)


def test_a_bidirectional_head_refuses_to_step() -> None:
    head = make_head(HeadConfig(bidirectional=True, hidden_size=8))
    with pytest.raises(ValueError, match="bidirectional head reads clips from their end"):
        head.step(torch.randn(2, NUM_FEATURES), None)


def test_state_comes_back_only_when_given(clips: tuple[Tensor, Tensor]) -> None:
    head = make_head(HeadConfig(hidden_size=8))
    assert head(*clips).state is None
    assert head(*clips, head.initial_state(4)).state is not None


# ---- transparent equals fast ------------------------------------------------------------------


@pytest.mark.parametrize("config", ONE_WAY + BOTH_WAYS + WITHOUT_RECURRENCE, ids=name)
def test_the_transparent_form_gives_the_same_output(
    config: HeadConfig, clips: tuple[Tensor, Tensor]
) -> None:
    head = make_head(config)
    fast, trace = head(*clips), head.trace(*clips)
    for field in ("logits_BK", "logits_BTK", "hidden_BTH"):
        torch.testing.assert_close(getattr(fast, field), getattr(trace.output, field), **CLOSE)
    ways = 2 if config.bidirectional else 1
    expected = config.num_layers * ways if config.recurs else 0
    assert len(trace.cells) == expected


def test_trace_shows_gates_in_the_order_of_frames(clips: tuple[Tensor, Tensor]) -> None:
    features_BTD, lengths_B = clips
    head = make_head(HeadConfig(hidden_size=8, bidirectional=True))
    forward, backward = head.trace(features_BTD, lengths_B).cells
    hidden_BTH = head(features_BTD, lengths_B).hidden_BTH
    torch.testing.assert_close(forward.state("hidden"), hidden_BTH[:, :, :8], **CLOSE)
    torch.testing.assert_close(backward.state("hidden"), hidden_BTH[:, :, 8:], **CLOSE)
    # The reverse reading starts at each clip's own end: no memory yet, so c = i * g there.
    for row, length in enumerate(lengths_B.tolist()):
        last = length - 1
        torch.testing.assert_close(
            backward.state("cell")[row, last],
            (backward.gate("input") * backward.gate("cell"))[row, last],
        )
        assert torch.all(backward.gate("forget")[row, length:] == 0)


def test_an_unknown_gate_is_named_with_its_near_miss(clips: tuple[Tensor, Tensor]) -> None:
    (cell,) = make_head(HeadConfig(hidden_size=8)).trace(*clips).cells
    with pytest.raises(ValueError, match=r"LSTMCell has no 'forgot'.*did you mean forget"):
        cell.gate("forgot")
    with pytest.raises(ValueError, match="LSTMCell has no 'memory'; it has hidden, cell"):
        cell.state("memory")


# ---- the library as an independent reference --------------------------------------------------


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_and_directions_equal_the_packed_library_module(
    cell: str, bidirectional: bool, clips: tuple[Tensor, Tensor]
) -> None:
    features_BTD, lengths_B = clips
    config = HeadConfig(
        cell=cell, num_layers=2, bidirectional=bidirectional, hidden_size=8, input_norm="none"
    )
    head = make_head(config)
    library_class = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
    library = library_class(
        NUM_FEATURES, 8, num_layers=2, batch_first=True, bidirectional=bidirectional
    )
    ways = ("forward", "backward") if bidirectional else ("forward",)
    for layer, way in itertools.product(range(2), ways):
        suffix = f"_l{layer}" + ("_reverse" if way == "backward" else "")
        for key, value in head.encoder.cell(layer, way).kernel.state_dict().items():
            library.state_dict()[key.replace("_l0", suffix)].copy_(value)
    packed = pack_padded_sequence(features_BTD, lengths_B, batch_first=True, enforce_sorted=False)
    expected_BTH, _ = pad_packed_sequence(library(packed)[0], batch_first=True)
    output = head(features_BTD, lengths_B)
    torch.testing.assert_close(output.hidden_BTH, expected_BTH, **CLOSE)
    # `last` of both directions: the forward reading's end and the backward reading's end.
    for row, length in enumerate(lengths_B.tolist()):
        ends = [expected_BTH[row, length - 1, :8], expected_BTH[row, 0, 8:]]
        torch.testing.assert_close(output.logits_BK[row], head.classifier(torch.cat(ends)), **CLOSE)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_is_over_valid_frames(pooling: str, clips: tuple[Tensor, Tensor]) -> None:
    head = make_head(HeadConfig(pooling=pooling, hidden_size=8))
    output = head(*clips)
    for row, length in enumerate(clips[1].tolist()):
        valid_TH = output.hidden_BTH[row, :length]
        pooled_H = valid_TH.mean(0) if pooling == "mean" else valid_TH.max(0).values
        torch.testing.assert_close(output.logits_BK[row], head.classifier(pooled_H), **CLOSE)


def test_attention_weighs_valid_frames_by_softmax(clips: tuple[Tensor, Tensor]) -> None:
    head = make_head(HeadConfig(pooling="attention", hidden_size=8))
    output = head(*clips)
    for row, length in enumerate(clips[1].tolist()):
        valid_TH = output.hidden_BTH[row, :length]
        score_T1 = 20 * torch.tanh(head.pooling.score(valid_TH) / 20)
        pooled_H = (score_T1.softmax(0) * valid_TH).sum(0)
        torch.testing.assert_close(output.logits_BK[row], head.classifier(pooled_H), **CLOSE)


def test_attention_survives_the_largest_scores() -> None:
    head = make_head(HeadConfig(head="attentive_probe", hidden_size=8, input_norm="none"))
    features_BTD = torch.tensor([-1e6, 1e6, -1e6, 1e6]).reshape(1, 4, 1).expand(1, 4, NUM_FEATURES)
    assert bool(head(features_BTD, torch.tensor([4])).logits_BTK.isfinite().all())


# ---- controls ---------------------------------------------------------------------------------


INPUTS = ("features", "delta", "abs_delta", "features,abs_delta", "features,delta,abs_delta")
MOVED = [6, 2, 0, 7, 4, 1, 8, 3, 5]  # frame 4, the middle one, stays


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("kind", [name for name, choice in HEADS.items() if choice.order_blind])
def test_order_blind_controls_do_not_see_the_order_of_frames_whatever_the_inputs(
    kind: str, inputs: str, clips: tuple[Tensor, Tensor]
) -> None:
    features_BTD, lengths_B = clips[0], torch.tensor([9] * 4)
    head = make_head(HeadConfig(**HEADS[kind].settings, hidden_size=8, inputs=inputs))
    plain = head(features_BTD, lengths_B).logits_BK
    torch.testing.assert_close(head(features_BTD[:, MOVED], lengths_B).logits_BK, plain, **CLOSE)


@pytest.mark.parametrize("kind", [name for name, choice in HEADS.items() if not choice.order_blind])
def test_all_other_heads_see_it(kind: str, clips: tuple[Tensor, Tensor]) -> None:
    features_BTD, lengths_B = clips[0], torch.tensor([9] * 4)
    head = make_head(HeadConfig(**HEADS[kind].settings, hidden_size=8))
    plain = head(features_BTD, lengths_B).logits_BK
    moved = head(features_BTD[:, MOVED], lengths_B).logits_BK
    assert not torch.allclose(moved, plain, atol=1e-3)


def test_motion_controls_take_the_inputs_given_where_they_name_a_difference() -> None:
    assert HeadConfig(head="motion_mean_pool").input_kinds == ("abs_delta",)
    assert HeadConfig(head="motion_mean_pool", inputs="delta").input_kinds == ("delta",)
    both = HeadConfig(head="motion_attentive_probe", inputs="features,abs_delta")
    assert both.input_kinds == ("features", "abs_delta")


def test_single_frame_sees_the_middle_frame_alone(clips: tuple[Tensor, Tensor]) -> None:
    features_BTD, lengths_B = clips
    head = make_head(HeadConfig(head="single_frame"))
    logits_BK = head(features_BTD, lengths_B).logits_BK
    for row, length in enumerate(lengths_B.tolist()):
        frame_D = features_BTD[row, length // 2]
        torch.testing.assert_close(logits_BK[row], head.classifier(frame_D), **CLOSE)


# ---- training mode ----------------------------------------------------------------------------


@pytest.mark.parametrize("variational", [False, True])
def test_variational_dropout_keeps_one_mask_over_time(variational: bool) -> None:
    config = HeadConfig(input_dropout=0.5, variational=variational, input_norm="none")
    head = make_head(config).train()
    dropped_BTD = head.input_dropout(torch.ones(3, 50, 200)) == 0
    assert dropped_BTD.float().mean().item() == pytest.approx(0.5, abs=0.1)
    same = torch.equal(dropped_BTD, dropped_BTD[:, :1].expand_as(dropped_BTD))
    assert same is variational


def test_dropout_is_between_layers_and_before_the_classifier_only() -> None:
    head = make_head(HeadConfig(dropout=0.5, hidden_size=64)).train()
    features_BTD, lengths_B = torch.randn(2, 5, NUM_FEATURES), torch.tensor([5, 5])
    one, two = head(features_BTD, lengths_B), head(features_BTD, lengths_B)
    assert torch.equal(one.hidden_BTH, two.hidden_BTH)
    assert not torch.equal(one.logits_BK, two.logits_BK)
    deep = make_head(HeadConfig(dropout=0.5, hidden_size=64, num_layers=2)).train()
    one, two = deep(features_BTD, lengths_B), deep(features_BTD, lengths_B)
    assert not torch.equal(one.hidden_BTH, two.hidden_BTH)


def test_residual_layers_add_their_input(clips: tuple[Tensor, Tensor]) -> None:
    config = HeadConfig(num_layers=2, hidden_size=8, residual=True)
    head = make_head(config)
    below, top = head.trace(*clips).cells
    torch.testing.assert_close(
        head(*clips).hidden_BTH, below.state("hidden") + top.state("hidden"), **CLOSE
    )


def test_layer_norm_stands_between_layers(clips: tuple[Tensor, Tensor]) -> None:
    head = make_head(HeadConfig(num_layers=2, hidden_size=8, layer_norm=True))
    seen: list[Tensor] = []
    head.encoder.forward_cells[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    head(*clips)
    torch.testing.assert_close(seen[0].mean(dim=2), torch.zeros(4, 9), atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", ONE_WAY + BOTH_WAYS + WITHOUT_RECURRENCE, ids=name)
def test_bfloat16_autocast_stays_close(config: HeadConfig, clips: tuple[Tensor, Tensor]) -> None:
    head = make_head(config)
    exact = head(*clips)
    with torch.autocast("cpu", torch.bfloat16):
        rough = head(*clips)
    torch.testing.assert_close(rough.logits_BK.float(), exact.logits_BK, rtol=0.1, atol=0.05)


# ---- sizes and settings -----------------------------------------------------------------------


@pytest.mark.parametrize("config", ONE_WAY + BOTH_WAYS + WITHOUT_RECURRENCE, ids=name)
def test_macs_are_what_torch_counts(config: HeadConfig) -> None:
    head = make_head(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head.trace(torch.randn(1, 9, NUM_FEATURES), torch.tensor([9]))
    assert head.macs(9) == counter.get_total_flops() // 2


def test_parameters_are_counted() -> None:
    head = build_head(HeadConfig(hidden_size=256), 1280, 101)
    lstm = 4 * 256 * (1280 + 256 + 2)
    assert head.num_parameters == lstm + 256 * 101 + 101


def test_same_seed_same_weights() -> None:
    one, two = (make_head(HeadConfig(bidirectional=True)).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_weights_survive_a_state_dict(clips: tuple[Tensor, Tensor]) -> None:
    head = make_head(HeadConfig(hidden_size=8))
    head.fit_input_norm([clips])
    torch.manual_seed(9)
    other = build_head(HeadConfig(hidden_size=8), NUM_FEATURES, 5, NUM_CELLS).eval()
    other.load_state_dict(head.state_dict())
    assert torch.equal(head(*clips).logits_BK, other(*clips).logits_BK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "lsmt"}, "cell 'lsmt' is not one of rnn, lstm.*did you mean lstm"),
        ({"head": "meanpool"}, "head 'meanpool' is not one of.*did you mean mean_pool"),
        ({"pooling": "avg"}, "pooling 'avg' is not one of last, mean, max, attention"),
        ({"inputs": "features,deltas"}, "inputs 'deltas' is not one of.*did you mean delta"),
        ({"inputs": "delta,delta"}, "names one kind twice"),
        ({"inputs": "delta1"}, "inputs 'delta1' is not one of.*did you mean delta"),
        ({"inputs": "abs_ahead100"}, "inputs 'abs_ahead100' is not one of"),
        ({"inputs": "features2"}, "inputs 'features2' is not one of"),
        ({"input_norm": "batch"}, "input_norm 'batch' is not one of standardize, layer, none"),
        ({"init": "orthogonl"}, "did you mean orthogonal"),
        ({"dropout": 1.0}, r"dropout 1.0 is out of range: 0 <= p < 1"),
        ({"input_dropout": -0.1}, "input_dropout -0.1 is out of range"),
        ({"hidden_size": 0}, "hidden_size 0 is out of range: a whole number >= 1"),
        ({"num_layers": 1.5}, "num_layers 1.5 is out of range"),
        ({"chrono_max_frames": 2}, "chrono_max_frames 2 is out of range"),
        ({"cell": "rnn", "init": "chrono"}, "cell rnn has no gates"),
        ({"head": "attentive_probe", "hidden_size": 6}, "use a multiple of 4"),
        ({"head": "conv_gru", "hidden_size": 6}, "queries of conv_gru: use a multiple of 4"),
        ({"head": "recur_attend", "cell": "rnn", "init": "chrono"}, "cell rnn has no gates"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeadConfig(**options)


def test_settings_are_plain_data() -> None:
    config = HeadConfig(cell="gru", inputs="features, abs_delta")
    assert HeadConfig(**config.to_dict()) == config
    assert config.input_kinds == ("features", "abs_delta")
    assert {type(value) for value in config.to_dict().values()} <= {str, int, float, bool}


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="feature_dim 0 and num_classes 3 must be positive"):
        build_head(HeadConfig(), 0, 3)
