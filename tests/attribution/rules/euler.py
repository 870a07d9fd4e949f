"""Whether a rule conserves relevance: Σ z·c + intercept = Σ w·y, in float64.

y are an operator's outputs, w random weights, z its inputs that bear relevance and c what autograd
gives them. The intercept is what the outputs are where z is zero: nothing, where the operator is
linear and homogeneous.
"""

from dataclasses import dataclass

import numpy as np
import torch

from onnxattr.attribution.rules.table import ROWS, SIGNAL, Site
from onnxattr.convert.ops.calls import Call


@dataclass(frozen=True)
class Balance:
    """What became of the relevance of an operator's outputs.

    Attributes:
        total: Σ w·y.
        signal: Σ z·c.
        intercept: Σ w·y where z is zero.
        size: Σ |w·y|, by which errors are to be measured.
        others: Largest |c| of an input that should bear none.
        moved: Largest difference of the rule's values from the operator's.
    """

    total: float
    signal: float
    intercept: float
    size: float
    others: float
    moved: float

    def error(self, *, intercept: bool) -> float:
        """The relevance that is lost or made, as a part of its size."""
        constant = self.intercept if intercept else 0.0
        return abs(self.signal - (self.total - constant)) / (self.size + abs(constant) + 1e-12)


def site_of(call, operator, arguments, ranks=None, attention="cp"):
    """A node that all numbers of which move."""
    return Site(
        call=call,
        operator=operator,
        ranks=tuple(ranks or (SIGNAL,) * len(arguments)),
        moving=tuple(any(map(is_wide, flat(a))) for a in arguments),
        nonnegative=False,
        first=False,
        attention=attention,
    )


def ruled(site):
    """What stands for the operator's function."""
    row = ROWS[site.operator]
    if row.rule is not None:
        return row.rule(site)

    def function(*arguments):
        signal = range(len(arguments)) if row.signal is None else row.signal
        return site.function(
            *(a if i in signal else mapped(a, torch.Tensor.detach) for i, a in enumerate(arguments))
        )

    return function


def balance(call, operator, arguments, ranks=None, attention="cp"):
    """The balance of one operator at some inputs; None where no number comes out."""
    row = ROWS[operator]
    leaves = [mapped(a, lambda t: wide(t).requires_grad_(is_wide(t))) for a in arguments]
    site = site_of(call, operator, leaves, ranks, attention)
    function = ruled(site)
    outputs = listed(function(*leaves), call.outputs)
    with torch.no_grad():
        plain = listed(site.function(*leaves), call.outputs)
        zeros = [
            mapped(a, zero) if row.signal is None or i in row.signal else a
            for i, a in enumerate(leaves)
        ]
    outputs = [y for y in outputs[: len(plain)] if is_wide(y)]
    plain = [y for y in plain if is_wide(y)][: len(outputs)]
    if not any(y.numel() for y in outputs):
        return None
    weights = drawn(outputs)
    if any(y.requires_grad for y in outputs):
        # What the rule holds, such as a standard deviation, is a bias.
        weights = [w * y.requires_grad for w, y in zip(weights, outputs, strict=True)]
    total = sum((w * y).sum() for w, y in zip(weights, outputs, strict=True))
    tensors = [(i, t) for i, a in enumerate(leaves) for t in flat(a) if is_wide(t)]
    found = [None] * len(tensors)
    if total.requires_grad:
        found = torch.autograd.grad(total, [t for _, t in tensors], allow_unused=True)
    signal, others = 0.0, 0.0
    for (i, z), c in zip(tensors, found, strict=True):
        if c is None or not c.numel():
            continue
        if row.signal is None or i in row.signal:
            signal += float((z.detach() * c).sum())
        else:
            others = max(others, float(c.abs().max()))
    return Balance(
        total=float(total.detach()),
        signal=signal,
        intercept=_intercept(site, zeros, weights, plain),
        size=float(
            sum((w * y.detach()).abs().sum() for w, y in zip(weights, outputs, strict=True))
        ),
        others=others,
        moved=max(
            (
                float((a - b).detach().abs().max())
                for a, b in zip(outputs, plain, strict=True)
                if a.numel()
            ),
            default=0.0,
        ),
    )


def _intercept(site, zeros, weights, plain):
    with torch.no_grad():
        try:
            outputs = [y for y in listed(site.function(*zeros), site.call.outputs) if is_wide(y)]
        except Exception:
            return float("nan")
    if [y.shape for y in outputs[: len(weights)]] != [w.shape for w in weights]:
        return float("nan")
    # What is infinite at zero, as a power that falls, is held whole.
    pairs = zip(weights, outputs, plain, strict=False)
    return float(sum((w * torch.where(y.isfinite(), y, p).detach()).sum() for w, y, p in pairs))


def drawn(outputs):
    """A weight for each number, none near zero."""
    draw = np.random.default_rng(5)
    return [torch.from_numpy(draw.uniform(0.5, 1.5, tuple(y.shape))).to(y.dtype) for y in outputs]


def listed(result, count):
    """All tensors in the outputs that a node lists."""
    return flat(result[:count] if isinstance(result, tuple) else result)


def flat(value):
    """All tensors in lists of lists."""
    if isinstance(value, list | tuple):
        return [t for v in value for t in flat(v)]
    return [value] if isinstance(value, torch.Tensor) else []


def mapped(value, change):
    """A value with all tensors of floating point in it changed."""
    if isinstance(value, list | tuple):
        return [mapped(v, change) for v in value]
    return change(value) if is_wide(value) else value


def is_wide(value):
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def wide(tensor):
    return tensor.detach().double().clone()


def zero(tensor):
    return torch.zeros_like(tensor)


def call_of(function, attributes=None, outputs=1):
    """A function of the table of operators as a converted node has it."""
    return Call(function, (), (), {}, (), attributes or {}, outputs, "")
