"""Tokens: the layout of a grid, places that stay places, recurrence per place, the ConvGRU."""

import pytest
import torch
from torch import Tensor, nn

from actionrnn.models.cells import GRUCell, LSTMCell, step
from actionrnn.models.config import HEADS, TOKEN_HEADS, HeadConfig
from actionrnn.models.heads import Head, build_head
from actionrnn.models.place_cells import ConvGRUCell, SharedCell
from actionrnn.models.tokens import PlaceAttention, TokenPooling, as_tokens

CLOSE = {"rtol": 1e-4, "atol": 1e-6}
NUM_CELLS, NUM_CHANNELS = 9, 3
NEEDS_PLACES = [name for name, choice in HEADS.items() if choice.needs_places]
LENGTHS_B = torch.tensor([5, 1, 3])


def make_head(name: str, num_cells: int = NUM_CELLS, **options: object) -> Head:
    torch.manual_seed(0)
    config = HeadConfig(**{"cell": "gru", "hidden_size": 8, **options}, head=name)
    return build_head(config, NUM_CHANNELS * num_cells, 4, num_cells).eval()


def some_clips(num_cells: int = NUM_CELLS) -> Tensor:
    return torch.randn(3, 5, NUM_CHANNELS * num_cells, generator=torch.Generator().manual_seed(1))


def test_tokens_are_the_cells_that_a_map_is_pooled_to() -> None:
    maps_Nchw = torch.randn(2, NUM_CHANNELS, 6, 6)
    features_BTD = nn.functional.adaptive_avg_pool2d(maps_Nchw, 3).flatten(1)[None]
    tokens_BTGC = as_tokens(features_BTD, 9)
    assert tokens_BTGC.shape == (1, 2, 9, NUM_CHANNELS)
    for row, column in ((0, 0), (0, 2), (2, 1)):
        cell_NC = maps_Nchw[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((2, 3))
        torch.testing.assert_close(tokens_BTGC[0, :, 3 * row + column], cell_NC)


# ---- places are never averaged before the head ------------------------------------------------


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_what_happens_where_matters(name: str) -> None:
    """The same values at other places are another clip, also with grid_pooling mean."""
    head, features_BTD = make_head(name, grid_pooling="mean"), some_clips()
    head.encoder.embedding.place_GH.detach().normal_()
    moved_BTGC = as_tokens(features_BTD, NUM_CELLS).roll(1, dims=2)
    moved_BTD = moved_BTGC.transpose(2, 3).flatten(2)
    plain, moved = head(features_BTD, LENGTHS_B), head(moved_BTD, LENGTHS_B)
    assert not torch.allclose(plain.logits_BK, moved.logits_BK, atol=1e-3)


@pytest.mark.parametrize("name", TOKEN_HEADS)
def test_places_tell_actions_apart_that_pooled_features_cannot(name: str) -> None:
    """Two clips whose frames have equal means over places get different scores."""
    head = make_head(name)
    one_BTGC = torch.zeros(1, 4, NUM_CELLS, NUM_CHANNELS)
    other_BTGC = one_BTGC.clone()
    one_BTGC[:, :, 4], other_BTGC[:, :, 0] = 9.0, 4.5
    other_BTGC[:, :, 8] = 4.5
    clips_BTD = torch.cat([one_BTGC, other_BTGC]).transpose(2, 3).flatten(2)
    logits_BK = head(clips_BTD, torch.tensor([4, 4])).logits_BK
    assert not torch.allclose(logits_BK[0], logits_BK[1], atol=1e-3)


@pytest.mark.parametrize("name", NEEDS_PLACES)
def test_features_without_places_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"head {name} tells places.*features.backbone.grid 3"):
        make_head(name, num_cells=1)


@pytest.mark.parametrize("name", ["token_probe", "token_probe_ordered"])
def test_token_probes_take_whole_frames(name: str) -> None:
    assert make_head(name, num_cells=1)(some_clips(1), LENGTHS_B).logits_BK.shape == (3, 4)


# ---- attention over places --------------------------------------------------------------------


def test_attention_over_places_is_a_weighted_mean_of_each_frame() -> None:
    attention, tokens_BTGH = PlaceAttention(8, 6), torch.randn(2, 3, 6, 8)
    weights_BTGQ = attention.weights(tokens_BTGH)
    torch.testing.assert_close(weights_BTGQ.sum(dim=2), torch.ones(2, 3, 4))
    expected_BTH = (weights_BTGQ.repeat_interleave(2, dim=3) * tokens_BTGH).sum(dim=2)
    torch.testing.assert_close(attention(tokens_BTGH), expected_BTH, **CLOSE)
    same_BTGH = tokens_BTGH[:, :, :1].expand(-1, -1, 6, -1)
    torch.testing.assert_close(attention(same_BTGH), same_BTGH[:, :, 0], **CLOSE)


def test_token_pooling_is_one_softmax_over_all_tokens_seen() -> None:
    pooling = TokenPooling(8, 6, has_global_token=True)
    pooling.token_score_Q.detach().copy_(torch.tensor([0.5, -1.0, 0.0, 2.0]))
    pooling.token_H.detach().normal_()
    hidden_BTGH = torch.randn(2, 3, 6, 8)
    lengths_B = torch.tensor([3, 2])
    start = pooling.initial_state(2, hidden_BTGH)
    pooled_BTH, _ = pooling(hidden_BTGH.flatten(2), lengths_B, start)
    for row, length in enumerate(lengths_B.tolist()):
        for seen in range(1, length + 1):
            tokens_NH = hidden_BTGH[row, :seen].flatten(0, 1)
            scores_NQ = pooling.attention.score(tokens_NH)
            scores_NQ = torch.cat([pooling.token_score_Q[None], scores_NQ])
            weights_NQ = (20 * torch.tanh(scores_NQ / 20)).softmax(dim=0)
            all_NQU = torch.cat([pooling.token_H[None], tokens_NH]).unflatten(1, (4, 2))
            expected_H = (weights_NQ[:, :, None] * all_NQU).sum(dim=0).flatten()
            torch.testing.assert_close(pooled_BTH[row, seen - 1], expected_H, **CLOSE)


def test_positions_are_counted_from_a_clips_start_and_tell_frames_apart() -> None:
    head = make_head("token_probe_ordered")
    still_BTD = some_clips()[:1, :1].expand(1, 300, -1)
    tokens_TD = head(still_BTD, torch.tensor([300])).hidden_BTH[0]
    distance_TT = torch.cdist(tokens_TD, tokens_TD) + torch.eye(300) * 9
    assert distance_TT.min() > 1e-3
    late = head(still_BTD[:, 7:], torch.tensor([293])).hidden_BTH[0]
    assert torch.equal(late, tokens_TD[:293])


# ---- recurrence at every place ----------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_place_is_read_by_the_same_library_gru(bidirectional: bool) -> None:
    head = make_head("recur_attend", bidirectional=bidirectional, num_layers=2)
    library = nn.GRU(8, 8, num_layers=2, batch_first=True, bidirectional=bidirectional)
    for layer in range(2):
        for way in head.encoder.stack.directions:
            suffix = f"_l{layer}" + ("_reverse" if way == "backward" else "")
            for key, value in head.encoder.stack.cell(layer, way).cell.kernel.state_dict().items():
                library.state_dict()[key.replace("_l0", suffix)].copy_(value)
    features_BTD = some_clips()
    found_BTH = head(features_BTD, LENGTHS_B).hidden_BTH
    tokens_BTGH = head.encoder.embedding(features_BTD)
    for row, length in enumerate(LENGTHS_B.tolist()):
        hidden_GTH, _ = library(tokens_BTGH[row, :length].transpose(0, 1))
        expected_TH = head.encoder.attention(hidden_GTH.transpose(0, 1)[None])[0]
        torch.testing.assert_close(found_BTH[row, :length], expected_TH, **CLOSE)


def test_a_shared_cell_names_its_gates_place_by_place() -> None:
    cell = SharedCell(LSTMCell(2, 4, None), 3)
    inputs_BD, state = torch.randn(2, 6), (torch.randn(2, 12), torch.randn(2, 12))
    gates, after = step(cell, inputs_BD, state)
    one_state = (state[0][:, 4:8], state[1][:, 4:8])
    one_gates, one_after = step(cell.cell, inputs_BD[:, 2:4], one_state)
    assert set(gates) == set(cell.gate_ranges) == {"input", "forget", "output", "cell"}
    for name, values_BD in gates.items():
        torch.testing.assert_close(values_BD[:, 4:8], one_gates[name], **CLOSE)
    torch.testing.assert_close(after[1][:, 4:8], one_after[1], **CLOSE)


# ---- the ConvGRU ------------------------------------------------------------------------------


def conv_gru(input_size: int = 2, hidden_size: int = 4) -> ConvGRUCell:
    torch.manual_seed(0)
    return ConvGRUCell(input_size, hidden_size, NUM_CELLS, None)


def test_with_kernels_of_one_place_it_is_a_gru_at_every_place() -> None:
    cell, plain = conv_gru(), GRUCell(2, 4, None)
    for conv, weight, bias in (
        (cell.from_input, plain.kernel.weight_ih_l0, plain.kernel.bias_ih_l0),
        (cell.from_state, plain.kernel.weight_hh_l0, plain.kernel.bias_hh_l0),
    ):
        conv.weight.detach().zero_()[:, :, 1, 1] = weight.detach()
        conv.bias.detach().copy_(bias)
    inputs_BTD = torch.randn(3, 5, 2 * NUM_CELLS)
    expected_BTD, _ = SharedCell(plain, NUM_CELLS)(inputs_BTD, LENGTHS_B, None)
    torch.testing.assert_close(cell(inputs_BTD, LENGTHS_B, None)[0], expected_BTD, **CLOSE)


def test_news_travels_one_place_a_frame() -> None:
    cell = conv_gru()
    cell.from_input.weight.detach()[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    cell.from_state.weight.detach().normal_()
    quiet_BTD = torch.zeros(1, 3, 2 * NUM_CELLS)
    loud_BTD = quiet_BTD.clone()
    loud_BTD[0, 0, :2] = 5.0  # the upper left corner, in the first frame
    lengths_B = torch.tensor([3])
    change = (cell(loud_BTD, lengths_B, None)[0] - cell(quiet_BTD, lengths_B, None)[0]).abs()
    heard_TG = change[0].unflatten(1, (NUM_CELLS, 4)).sum(dim=2) > 1e-6
    row_G, column_G = torch.arange(NUM_CELLS) // 3, torch.arange(NUM_CELLS) % 3
    for frame in range(3):
        assert torch.equal(heard_TG[frame], torch.maximum(row_G, column_G) <= frame)


def test_a_state_starts_with_an_orthogonal_centre_and_a_gate_that_keeps() -> None:
    cell = conv_gru()
    weight = cell.from_state.weight.detach()
    for centre_HH in weight[:, :, 1, 1].chunk(3):
        torch.testing.assert_close(centre_HH @ centre_HH.T, torch.eye(4), rtol=0, atol=1e-5)
    assert weight.abs().sum() == weight[:, :, 1, 1].abs().sum()
    gates = cell.gates_of(torch.zeros(1, 2 * NUM_CELLS), (torch.zeros(1, 4 * NUM_CELLS),))
    expected = torch.sigmoid(torch.ones(1, 4 * NUM_CELLS))
    torch.testing.assert_close(gates["update"], expected)


def test_places_that_are_no_square_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a square of places; 6 is none"):
        ConvGRUCell(2, 4, 6, None)
