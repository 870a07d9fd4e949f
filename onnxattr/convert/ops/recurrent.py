"""Recurrent layers: RNN, GRU and LSTM, unrolled over time.

What the inputs contribute is one product before the loop. cuDNN's layers are left alone: their
backward pass needs training mode, and they know none but the usual activations.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops import gates
from onnxattr.convert.ops.numbers import Stored
from onnxattr.convert.ops.table import operator

#: Hidden states, the first of which is what a step gives out.
States = tuple[torch.Tensor, ...]

#: From what the inputs contribute at one time, and the states before it, to the states after it.
Step = Callable[[torch.Tensor, States], States]

#: What the inputs of a direction contribute at all times, and the step that takes them.
Cell = tuple[torch.Tensor, Step]

#: Whether each direction goes from the end to the start.
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@operator("RNN", 1, 7, 14, 22, stored=(4,))
def _rnn(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None = None,
    lengths: Stored = None,
    h: torch.Tensor | None = None,
    *,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    output_sequence: int = 0,
    _roles: gates.Roles = gates.AS_THEY_ARE,
) -> States:
    names = activations or ["Tanh"] * len(w)
    functions = gates.activations(names, activation_alpha, activation_beta)

    def cell(x: torch.Tensor, i: int) -> Cell:
        function = _roles.signal(gates.bounded(functions[i], clip))
        recurrence = r[i].T

        def step(total: torch.Tensor, states: States) -> States:
            return (function(torch.addmm(total, states[0], recurrence)),)

        return F.linear(x, w[i], None if b is None else _both(b[i])), step

    return _layer(cell, x, r, lengths, (h,), direction, layout)


@operator("GRU", 1, 3, 7, 14, 22, stored=(4,))
def _gru(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None = None,
    lengths: Stored = None,
    h: torch.Tensor | None = None,
    *,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    output_sequence: int = 0,
    _roles: gates.Roles = gates.AS_THEY_ARE,
) -> States:
    names = activations or ["Sigmoid", "Tanh"] * len(w)
    functions = gates.activations(names, activation_alpha, activation_beta)
    size = r.shape[-1]

    def cell(x: torch.Tensor, i: int) -> Cell:
        f = _roles.gate(gates.bounded(functions[2 * i], clip))
        g = _roles.signal(gates.bounded(functions[2 * i + 1], clip))
        of_gates, of_new = r[i, : 2 * size].T, r[i, 2 * size :].T
        if linear_before_reset:
            ours, theirs = (None, None) if b is None else b[i].chunk(2)
        else:
            ours, theirs = None if b is None else _both(b[i]), None

        def step(total: torch.Tensor, states: States) -> States:
            (before,) = states
            update, reset = f(torch.addmm(total[:, : 2 * size], before, of_gates)).chunk(2, 1)
            new = g(torch.addmm(total[:, 2 * size :], reset * before, of_new))
            return (new + update * (before - new),)

        def linear_step(total: torch.Tensor, states: States) -> States:
            (before,) = states
            recurrent = F.linear(before, r[i], theirs)
            update, reset = f(total[:, : 2 * size] + recurrent[:, : 2 * size]).chunk(2, 1)
            new = g(total[:, 2 * size :] + reset * recurrent[:, 2 * size :])
            return (new + update * (before - new),)

        return F.linear(x, w[i], ours), linear_step if linear_before_reset else step

    return _layer(cell, x, r, lengths, (h,), direction, layout)


@operator("LSTM", 1, 7, 14, 22, stored=(4,))
def _lstm(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None = None,
    lengths: Stored = None,
    h: torch.Tensor | None = None,
    c: torch.Tensor | None = None,
    p: torch.Tensor | None = None,
    *,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
    output_sequence: int = 0,
    _roles: gates.Roles = gates.AS_THEY_ARE,
) -> States:
    names = activations or ["Sigmoid", "Tanh", "Tanh"] * len(w)
    functions = gates.activations(names, activation_alpha, activation_beta)
    given = (x, w, r, b, lengths, h, c, p)
    return lstm(*given, functions, clip, direction, input_forget, layout, roles=_roles)


def lstm(
    x: torch.Tensor,
    w: torch.Tensor,
    r: torch.Tensor,
    b: torch.Tensor | None,
    lengths: Stored,
    h: torch.Tensor | None,
    c: torch.Tensor | None,
    p: torch.Tensor | None,
    functions: Sequence[gates.Activation],
    clip: float | None,
    direction: str,
    input_forget: int,
    layout: int = 0,
    seen: Callable[[torch.Tensor], torch.Tensor] | None = None,
    roles: gates.Roles = gates.AS_THEY_ARE,
) -> States:
    """Returns what LSTM makes; `seen` is what the recurrent product sees of a hidden state."""
    size = r.shape[-1]

    def cell(x: torch.Tensor, i: int) -> Cell:
        f = roles.gate(gates.bounded(functions[3 * i], clip))
        g = roles.signal(gates.bounded(functions[3 * i + 1], clip))
        # ONNX Runtime does not clip the cell, and the definition can be read that way.
        h = roles.signal(functions[3 * i + 2])
        recurrence = r[i].T

        def step(total: torch.Tensor, states: States) -> States:
            hidden, before = states
            hidden = hidden if seen is None else seen(hidden)
            total = torch.addmm(total, hidden, recurrence)
            # In ONNX's order: input, output, forget.
            enter, leave, stay = f(total[:, : 3 * size]).chunk(3, 1)
            stay = 1 - enter if input_forget else stay
            after = stay * before + enter * g(total[:, 3 * size :])
            return leave * h(after), after

        def peeping_step(total: torch.Tensor, states: States) -> States:
            assert p is not None
            hidden, before = states
            hidden = hidden if seen is None else seen(hidden)
            enter, leave, stay, new = torch.addmm(total, hidden, recurrence).chunk(4, 1)
            at_enter, at_leave, at_stay = p[i].chunk(3)
            enter = f(enter + at_enter * before)
            stay = 1 - enter if input_forget else f(stay + at_stay * before)
            after = stay * before + enter * g(new)
            return f(leave + at_leave * after) * h(after), after

        total = F.linear(x, w[i], None if b is None else _both(b[i]))
        return total, step if p is None else peeping_step

    return _layer(cell, x, r, lengths, (h, c), direction, layout)


def _both(bias: torch.Tensor) -> torch.Tensor:
    """Returns the sum of the biases of the inputs and of the recurrence."""
    ours, theirs = bias.chunk(2)
    return ours + theirs


def _layer(
    cell: Callable[[torch.Tensor, int], Cell],
    x: torch.Tensor,
    r: torch.Tensor,
    lengths: Stored,
    initial: Sequence[torch.Tensor | None],
    direction: str,
    layout: int,
) -> States:
    """Returns what each time gives out, [time, direction, batch, unit], and the last states."""
    x = x.transpose(0, 1) if layout else x
    times, batch = x.shape[:2]
    inside = _inside(lengths, times, x.device)
    outputs, finals = [], []
    for i, reverse in enumerate(_DIRECTIONS[direction]):
        states = tuple(
            x.new_zeros(batch, r.shape[-1]) if s is None else s[:, i] if layout else s[i]
            for s in initial
        )
        total, step = cell(x, i)
        output, states = _unrolled(step, total.unbind(), states, inside, reverse)
        outputs.append(output)
        finals.append(states)
    y = torch.stack(outputs, 1)
    last = [torch.stack(states, 1 if layout else 0) for states in zip(*finals, strict=True)]
    return y.permute(2, 0, 1, 3) if layout else y, *last


def _inside(lengths: Stored, times: int, device: torch.device) -> torch.Tensor | None:
    """Returns which times lie within each sequence, [time, batch, 1]; None if all of them do."""
    if lengths is None or (isinstance(lengths, Sequence) and all(n >= times for n in lengths)):
        return None
    ends = torch.as_tensor(lengths, device=device)
    return (torch.arange(times, device=device).unsqueeze(1) < ends).unsqueeze(2)


def _unrolled(
    step: Step,
    totals: Sequence[torch.Tensor],
    states: States,
    inside: torch.Tensor | None,
    reverse: bool,
) -> tuple[torch.Tensor, States]:
    """Returns the outputs of one direction and its last states.

    Beyond the end of a sequence its states stay as they are, so that a backward pass over time
    begins at that end.
    """
    outputs: list[torch.Tensor] = []
    for time in reversed(range(len(totals))) if reverse else range(len(totals)):
        new = step(totals[time], states)
        if inside is not None:
            within = inside[time]
            new = tuple(torch.where(within, a, b) for a, b in zip(new, states, strict=True))
        states = new
        outputs.append(new[0])
    if not outputs:
        return states[0].new_zeros(0, *states[0].shape), states
    y = torch.stack(outputs[::-1] if reverse else outputs)
    if inside is None:
        return y, states
    # Of an empty sequence ONNX Runtime returns zeros, where one might expect the initial states.
    return torch.where(inside, y, 0), tuple(torch.where(inside[0], s, 0) for s in states)
