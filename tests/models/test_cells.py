"""Every cell against its equations, written a second time in NumPy from the papers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actionrnn.models.cells import GRUCell, LSTMCell, RNNCell, step
from actionrnn.models.config import HeadConfig
from actionrnn.models.minimal import MinGRUCell, MinLSTMCell, log_positive, positive
from actionrnn.models.scan import CHUNK_FRAMES, recurrence, scan_in_log_space
from actionrnn.models.stack import build_cell
from actionrnn.models.trace import unroll

Array = NDArray[np.float64]
CELLS = ("rnn", "lstm", "gru", "minlstm", "mingru")
GATES = {
    "rnn": ["new"],
    "lstm": ["input", "forget", "output", "cell"],
    "gru": ["reset", "update", "new"],
    "minlstm": ["input", "forget", "cell"],
    "mingru": ["update", "new"],
}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def g(x: Array) -> Array:
    return np.where(x >= 0, x + 0.5, sigmoid(x))


def weights(cell: nn.Module) -> list[Array]:
    return [parameter.detach().double().numpy() for parameter in cell.parameters()]


def numpy_rnn(cell: nn.Module, x: Array, h: Array, c: Array) -> list[Array]:
    w, u, b, v = weights(cell)
    hidden = []
    for frame in x:
        h = np.tanh(w @ frame + b + u @ h + v)
        hidden.append(h)
    return hidden


def numpy_lstm(cell: nn.Module, x: Array, h: Array, c: Array) -> list[Array]:
    w, u, b, v = (np.split(p, 4) for p in weights(cell))
    hidden = []
    for frame in x:
        i, f, z, o = (w[k] @ frame + b[k] + u[k] @ h + v[k] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * np.tanh(c)
        hidden.append(h)
    return hidden


def numpy_gru(cell: nn.Module, x: Array, h: Array, c: Array) -> list[Array]:
    w, u, b, v = (np.split(p, 3) for p in weights(cell))
    hidden = []
    for frame in x:
        r = sigmoid(w[0] @ frame + b[0] + u[0] @ h + v[0])
        z = sigmoid(w[1] @ frame + b[1] + u[1] @ h + v[1])
        n = np.tanh(w[2] @ frame + b[2] + r * (u[2] @ h + v[2]))
        h = (1 - z) * n + z * h
        hidden.append(h)
    return hidden


def numpy_minlstm(cell: nn.Module, x: Array, h: Array, c: Array) -> list[Array]:
    w, b = (np.split(p, 3) for p in weights(cell))
    hidden = []
    for frame in x:
        i, f = (sigmoid(w[k] @ frame + b[k]) for k in (0, 1))
        h = f / (f + i) * h + i / (f + i) * g(w[2] @ frame + b[2])
        hidden.append(h)
    return hidden


def numpy_mingru(cell: nn.Module, x: Array, h: Array, c: Array) -> list[Array]:
    w, b = (np.split(p, 2) for p in weights(cell))
    hidden = []
    for frame in x:
        z = sigmoid(w[0] @ frame + b[0])
        h = (1 - z) * h + z * g(w[1] @ frame + b[1])
        hidden.append(h)
    return hidden


NUMPY: dict[str, Callable[[nn.Module, Array, Array, Array], list[Array]]] = {
    "rnn": numpy_rnn,
    "lstm": numpy_lstm,
    "gru": numpy_gru,
    "minlstm": numpy_minlstm,
    "mingru": numpy_mingru,
}


def make_cell(kind: str, input_size: int = 7, hidden_size: int = 5, **options: object) -> nn.Module:
    torch.manual_seed(0)
    cell = build_cell(HeadConfig(cell=kind, hidden_size=hidden_size, **options), input_size)
    with torch.no_grad():
        for parameter in cell.parameters():  # zero biases would hide a swapped one
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cell.double()


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("given_state", [False, True])
def test_fast_and_transparent_forms_equal_the_equations(kind: str, given_state: bool) -> None:
    cell = make_cell(kind)
    x_BTD = torch.randn(3, 70, 7, dtype=torch.float64)  # more frames than a chunk of the scan
    lengths_B = torch.tensor([70, 20, 1])
    start_BH = torch.rand(3, 5, dtype=torch.float64) if given_state else torch.zeros(3, 5).double()
    start = tuple(start_BH for _ in cell.state_names)
    hidden_BTH, end = cell(x_BTD, lengths_B, start if given_state else None)
    for row, length in enumerate(lengths_B.tolist()):
        start_H = start_BH[row].numpy()
        expected = np.stack(NUMPY[kind](cell, x_BTD[row, :length].numpy(), start_H, start_H))
        np.testing.assert_allclose(hidden_BTH[row, :length].detach(), expected, atol=1e-12)
        state = tuple(part[row : row + 1] for part in start)
        for t in range(length):
            _, state = step(cell, x_BTD[row : row + 1, t], state)
            np.testing.assert_allclose(state[0][0].detach(), expected[t], atol=1e-12)
        if given_state:  # the state handed on is the one at the clip's own end
            for handed, stepped in zip(end, state, strict=True):
                torch.testing.assert_close(handed[row], stepped[0])


@pytest.mark.parametrize("kind", CELLS)
def test_gates_carry_the_names_of_the_literature(kind: str) -> None:
    cell = make_cell(kind)
    gates, states = unroll(cell, torch.randn(2, 4, 7, dtype=torch.float64))
    assert [list(step) for step in gates] == [GATES[kind]] * 4
    assert list(cell.gate_ranges) == GATES[kind]
    for name, (low, high) in cell.gate_ranges.items():
        values = torch.stack([step[name] for step in gates])
        assert bool(((values > low) & (values < high)).all()), name
    assert len(states[0]) == len(cell.state_names)


@pytest.mark.parametrize(
    ("kind", "input_gate", "forget_gate"),
    [("lstm", 0, 1), ("minlstm", 0, 1)],
)
def test_the_named_input_and_forget_gates_do_what_they_are_called(
    kind: str, input_gate: int, forget_gate: int
) -> None:
    cell = make_cell(kind)
    bias_GH = (cell.kernel.bias_ih_l0 if kind == "lstm" else cell.gates.bias).detach()
    bias_GH[input_gate * 5 : (input_gate + 1) * 5] = -60.0
    bias_GH[forget_gate * 5 : (forget_gate + 1) * 5] = 60.0
    state = tuple(torch.rand(2, 5).double() for _ in cell.state_names)
    gates, after = step(cell, torch.randn(2, 7).double(), state)
    assert bool((gates["input"] < 1e-9).all() and (gates["forget"] > 1 - 1e-9).all())
    torch.testing.assert_close(after[-1], state[-1])  # nothing in, nothing lost


@pytest.mark.parametrize(("kind", "sign"), [("gru", 1), ("mingru", -1)])
def test_update_gates_have_opposite_signs(kind: str, sign: int) -> None:
    cell = make_cell(kind)
    if kind == "gru":
        cell.kernel.bias_ih_l0.detach()[5:10] = 60.0 * sign
    else:
        cell.gates.bias.detach()[:5] = 60.0 * sign
    state = (torch.rand(2, 5).double(),)
    _, after = step(cell, torch.randn(2, 7).double(), state)
    torch.testing.assert_close(after, state)  # GRU keeps with z = 1, minGRU with z = 0


@pytest.mark.parametrize(
    ("kind", "init"),
    [(kind, "orthogonal") for kind in CELLS] + [(kind, "chrono") for kind in CELLS[1:]],
)
def test_weights_start_as_the_table_says(kind: str, init: str) -> None:
    hidden_size, max_frames = 400, 50
    torch.manual_seed(0)
    config = HeadConfig(cell=kind, init=init, hidden_size=hidden_size, chrono_max_frames=max_frames)
    cell = build_cell(config, 30)
    num_gates = len(GATES[kind])
    matrices = [p for p in cell.parameters() if p.ndim == 2]
    for weight_HD in matrices[0].chunk(num_gates):
        bound = (6 / (30 + hidden_size)) ** 0.5
        assert weight_HD.abs().max() <= bound
        assert weight_HD.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    for weight_HH in matrices[1].chunk(num_gates) if len(matrices) > 1 else []:
        torch.testing.assert_close(
            weight_HH @ weight_HH.T, torch.eye(hidden_size), atol=1e-4, rtol=0
        )
    # What the cell keeps of its state when the input and the state say nothing.
    bias_GH = sum(p.detach() for p in cell.parameters() if p.ndim == 1)
    biases = dict(zip(("i", "f", "g", "o"), bias_GH.chunk(num_gates), strict=False))
    kept_logit_H = {
        "rnn": lambda: torch.ones(hidden_size),
        "lstm": lambda: biases["f"],
        "gru": lambda: biases["f"],
        "minlstm": lambda: torch.logit(
            biases["f"].sigmoid() / (biases["f"].sigmoid() + biases["i"].sigmoid())
        ),
        "mingru": lambda: -biases["i"],
    }[kind]()
    if init == "orthogonal":
        torch.testing.assert_close(kept_logit_H, torch.ones(hidden_size), atol=1e-5, rtol=0)
        if kind == "lstm":
            assert all(bool((biases[gate] == 0).all()) for gate in "igo")
        return
    # c = log(T - 1) for T uniform: the time constant 1 / (1 - sigmoid(c)) = 1 + e^c.
    frames_H = 1 + kept_logit_H.exp()
    assert frames_H.min() >= 2
    assert frames_H.max() <= max_frames
    assert frames_H.mean().item() == pytest.approx((2 + max_frames) / 2, rel=0.1)
    if kind == "lstm":
        torch.testing.assert_close(biases["i"], -biases["f"])


def sequential(log_a: Tensor, log_b: Tensor, start_BH: Tensor) -> Tensor:
    hidden, h = [], start_BH.double()
    for a, b in zip(log_a.double().unbind(1), log_b.double().unbind(1), strict=True):
        h = a.exp() * h + b.exp()
        hidden.append(h)
    return torch.stack(hidden, dim=1)


@pytest.mark.parametrize("num_frames", [1, CHUNK_FRAMES, CHUNK_FRAMES + 1, 1000])
@pytest.mark.parametrize("log_kept", [0.0, -1e-6, -0.7, -20.0, -90.0])
@pytest.mark.parametrize("start", [0.0, 3.0])
def test_scan_equals_the_recurrence_in_float32(
    num_frames: int, log_kept: float, start: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (2, num_frames, 3)
    log_a = log_kept * 2 * torch.rand(shape, generator=generator)
    log_b = 5 * torch.randn(shape, generator=generator)
    start_BH = torch.full((2, 3), start)
    expected_BTH = sequential(log_a, log_b, start_BH).float()
    scanned_BTH = scan_in_log_space(log_a, log_b, start_BH)
    torch.testing.assert_close(scanned_BTH, expected_BTH, rtol=2e-3, atol=0)
    looped_BTH = recurrence(log_a.exp(), log_b.exp(), start_BH)
    torch.testing.assert_close(looped_BTH, expected_BTH, rtol=1e-4, atol=0)


def test_scan_has_finite_gradients_with_closed_and_open_gates() -> None:
    log_a = torch.tensor([[[0.0], [-100.0], [-1e-8], [-500.0]]], requires_grad=True)
    log_b = torch.tensor([[[-100.0], [0.0], [3.0], [-200.0]]], requires_grad=True)
    scan_in_log_space(log_a, log_b, torch.zeros(1, 1)).sum().backward()
    assert log_a.grad is not None
    assert log_b.grad is not None
    assert bool(log_a.grad.isfinite().all() and log_b.grad.isfinite().all())


def test_both_ways_have_the_gradients_of_the_recurrence() -> None:
    log_a = -torch.rand(2, CHUNK_FRAMES + 5, 2).double()
    log_b = torch.randn(2, CHUNK_FRAMES + 5, 2).double()
    inputs = (log_a, log_b, torch.rand(2, 2).double())
    for tensor in inputs:
        tensor.requires_grad_()
    weight_BTH = torch.randn_like(log_a)
    expected = torch.autograd.grad((sequential(*inputs) * weight_BTH).sum(), inputs)
    scanned = scan_in_log_space(*inputs)
    looped = recurrence(log_a.exp(), log_b.exp(), inputs[2])
    for hidden_BTH in (scanned, looped):
        gradients = torch.autograd.grad((hidden_BTH * weight_BTH).sum(), inputs)
        torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("kind", ["minlstm", "mingru"])
def test_the_accelerators_way_gives_the_cpus_result(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(kind)
    x_BTD, lengths_B = torch.randn(2, 90, 7).double(), torch.tensor([90, 40])
    on_cpu, _ = cell(x_BTD, lengths_B, None)

    def scan(a_BTH: Tensor, b_BTH: Tensor, start_BH: Tensor) -> Tensor:
        return scan_in_log_space(a_BTH.log(), b_BTH.log(), start_BH)

    monkeypatch.setattr("actionrnn.models.minimal.recurrence", scan)
    scanned, _ = cell(x_BTD, lengths_B, None)
    torch.testing.assert_close(scanned, on_cpu)


def test_log_positive_is_the_log_of_positive() -> None:
    x = torch.linspace(-30, 30, 601, dtype=torch.float64)
    torch.testing.assert_close(log_positive(x).exp(), positive(x))
    assert log_positive(torch.tensor(-1000.0)).item() == -1000.0
    assert positive(torch.tensor(0.0)).item() == 0.5


def test_cells_are_what_the_names_say() -> None:
    classes = (RNNCell, LSTMCell, GRUCell, MinLSTMCell, MinGRUCell)
    for kind, cell_class in zip(CELLS, classes, strict=True):
        assert type(make_cell(kind)) is cell_class
