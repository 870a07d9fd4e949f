"""Multipliers of single steps: functions of one number, what is linear, products, choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from onnxattr.attribution.differences.table import is_tensor, moves, only, quotient, rule
from onnxattr.attribution.differences.walk import Walk, graft, moving, multiplied, tensors
from onnxattr.errors import SupportError


@rule(
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "celu", "clamp"),
    *("clamp_max", "clamp_min", "copysign", "cos", "cosh", "elu", "erf", "erfc", "exp", "expm1"),
    *("floor", "fmod", "frac", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh"),
    *("leaky_relu", "log", "log10", "log1p", "log2", "logsigmoid", "mish", "nan_to_num", "pow"),
    *("prelu", "rdiv", "reciprocal", "relu", "relu6", "remainder", "round", "rpow", "rsqrt"),
    *("selu", "sigmoid", "sign", "silu", "sin", "sinh", "softplus", "softshrink", "softsign"),
    *("sqrt", "square", "tan", "tanh", "threshold", "trunc"),
)
def of_one_number(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns f(x) with Δy/Δx for a derivative; the derivative where Δx is rounding."""
    values, again = tensors(args, kwargs)
    place = only(values, func)
    x = values[place]
    if x.is_complex():
        raise SupportError(f"DeepLIFT has no rule for `torch.{func.__name__}` of complex numbers")
    if walk.first:
        y = func(*args, **kwargs)
        return walk.note(y, x.expand(y.shape), y)
    others = [v.shape for i, v in enumerate(values) if i != place and v.dim()]
    # One slope a channel broadcasts to x in a way of its own.
    if others and func.__name__ != "prelu":
        x = x.expand(torch.broadcast_shapes(x.shape, *others))  # type: ignore[no-untyped-call]
    y, slope = _with_slope(func, args, kwargs, values, place, again, x)
    x0, y0 = walk.before(x, y)
    return multiplied(x, y, quotient(y - y0, x.detach(), x0, slope))


#: Derivatives, of x and of y, of what networks have most of.
_SLOPES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "relu": lambda x, y: (y > 0).to(y.dtype),
    "sigmoid": lambda x, y: y * (1 - y),
    "tanh": lambda x, y: 1 - y * y,
    "exp": lambda x, y: y,
    "square": lambda x, y: 2 * x,
}


def _with_slope(
    func: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    values: list[torch.Tensor],
    place: int,
    again: Callable[[Sequence[torch.Tensor]], tuple[Sequence[Any], Mapping[str, Any]]],
    x: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a function of x, which is one of some values, and its derivative; both detached."""
    known = _SLOPES.get(func.__name__)
    if known is not None:
        with torch.no_grad():
            y = func(*args, **kwargs)
            return y, known(x.detach(), y)
    values[place] = leaf = x.detach().requires_grad_()
    given, named = again(values)
    y = func(*given, **named)
    (slope,) = torch.autograd.grad(y.sum(), leaf)
    return y.detach(), slope


@rule("detach")
def _detach(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns what is detached as it is: what derivatives leave out, differences may not."""
    return args[0]


@rule("cpu", "numpy", "item", "tolist", "__float__", "__int__", "__bool__", "__index__")
def _read(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns what is read off a device: to choose by it, since no gradient comes back from it."""
    return func(args[0].detach(), *args[1:], **kwargs)


@rule(
    *("__getitem__", "as_strided", "atleast_1d", "atleast_2d", "avg_pool1d", "avg_pool2d"),
    *("avg_pool3d", "adaptive_avg_pool2d", "broadcast_to", "cat", "chunk", "clone", "contiguous"),
    *("complex", "cumsum", "diagonal", "double", "expand", "expand_as", "flatten", "flip"),
    *("float", "fold", "half", "movedim", "mean", "narrow", "neg", "pad", "permute", "real"),
    *("repeat", "repeat_interleave", "reshape", "reshape_as", "roll", "select", "split"),
    *("split_with_sizes", "squeeze", "stack", "sum", "t", "tile", "to", "transpose", "type"),
    *("type_as", "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as", "imag"),
    *("view_as_complex", "view_as_real", "requires_grad_", "interpolate", "hsplit", "vsplit"),
    *("fft_fft", "fft_fftn", "fft_ifft", "fft_ifftn", "fft_irfft", "fft_irfftn", "fft_rfft"),
    *(
        "fft_rfftn",
        "tensor_split",
        "embedding",
        "resolve_conj",
        "affine_grid",
        "cuda",
        "as_tensor",
    ),
)
def _linear(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns what is linear in all that moves: its derivative is the multiplier."""
    return func(*args, **kwargs)


@rule("batch_norm", "grid_sample")
def _linear_in_the_first(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    if any(True for _ in moving(args[1:], kwargs)):
        raise SupportError(
            f"DeepLIFT has no rule for `torch.{func.__name__}` where more than its first input "
            "depends on the probe"
        )
    return func(*args, **kwargs)


@rule(
    *("add", "gather", "index", "index_select", "masked_fill", "masked_select", "rsub"),
    *("scatter", "scatter_add", "sub", "take", "take_along_dim", "tril", "triu", "where"),
    *("index_add", "index_copy", "index_put", "ldexp"),
)
def _linear_given_others(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns what is linear in all that moves, as long as places, masks and terms are the same.

    Where these may differ at the baseline, a is made with those of the probe and b with those of
    the baseline. Of m_a Δa + m_b Δb = Δy the solution nearest to ½, ½ is taken: if nothing differs,
    ½ for both, which is the derivative.
    """
    values, again = tensors(args, kwargs)
    if all(v.requires_grad or isinstance(v, torch.nn.Parameter) for v in values):
        return func(*args, **kwargs)
    a = func(*args, **kwargs)
    if walk.first:
        return walk.note(a, *values)
    before = walk.before(*values)
    pairs = list(zip(values, before, strict=True))
    given, named = again([v if v.requires_grad else v0 for v, v0 in pairs])
    b = func(*given, **named)
    given, named = again([v0 if v.requires_grad else v for v, v0 in pairs])
    a0 = func(*given, **named)
    given, named = again(before)
    y0 = func(*given, **named)
    if not a.shape == b.shape == a0.shape == y0.shape:
        raise SupportError("it chooses other numbers of elements for the baseline, and no rule is")
    with torch.no_grad():
        of_a, of_b = a - a0, b - y0
        left = (a - y0) - (of_a + of_b) / 2
        share = torch.nan_to_num(left / (of_a.square() + of_b.square()), 0.0, 0.0, 0.0)
        m_a, m_b = (torch.nan_to_num(0.5 + share * d, 0.5, 0.5, 0.5) for d in (of_a, of_b))
    return graft(a, m_a * a + m_b * b)


#: Products, and which of their arguments are multiplied; what else there is is added.
_FACTORS = {
    **dict.fromkeys(("matmul", "mm", "bmm", "mul", "dot", "mv", "outer", "linear"), (0, 1)),
    **{f"conv{n}d": (0, 1) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": (0, 1) for n in (1, 2, 3)},
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), (1, 2)),
    "einsum": (1, 2),
}


@rule(*_FACTORS)
def _product(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns a product in which each factor sees the mean of the other and its baseline's."""
    factors = [i for i in _FACTORS[func.__name__] if i < len(args)]
    live = [i for i in factors if isinstance(args[i], torch.Tensor) and args[i].requires_grad]
    if func.__name__ == "mul" and len(live) == 1:
        return _linear_given_others(walk, func, args, kwargs)
    if len(live) < 2:
        return func(*args, **kwargs)
    if func.__name__ == "einsum" and len(args) > 3:
        raise SupportError("DeepLIFT has no rule for products of more than two tensors at once")
    y = func(*args, **kwargs)
    a, b = (args[i] for i in factors)
    if walk.first:
        return walk.note(y, a, b)
    means = [(v.detach() + v0) / 2 for v, v0 in zip((a, b), walk.before(a, b), strict=True)]
    first, second = list(args), list(args)
    first[factors[1]] = means[1]
    second[factors[0]] = means[0]
    # What is added must not be counted twice.
    second = [v.detach() if i not in factors and is_tensor(v) else v for i, v in enumerate(second)]
    fixed = {k: v.detach() if is_tensor(v) else v for k, v in kwargs.items()}
    return graft(y, func(*first, **kwargs) + func(*second, **fixed))


@rule("div")
def _division(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    a, b = args[:2]
    if kwargs.get("rounding_mode") is not None:
        raise SupportError("DeepLIFT has no rule for divisions that round")
    if not moves(b):
        return _linear_given_others(walk, func, args, kwargs)
    if not moves(a):
        return of_one_number(walk, func, args, kwargs)
    return graft(func(a, b), walk.apply(torch.mul, a, walk.apply(torch.reciprocal, b)))
