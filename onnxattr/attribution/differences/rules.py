"""The multipliers of torch's functions: a table by name.

A multiplier m of a function y = f(x) satisfies y − y₀ = Σ m (x − x₀), where 0 is the baseline
(Shrikumar et al. 2017, eq. 3), and is what is put where autograd has ∂y/∂x. Their paper gives one
for functions that are linear, or of one number. Those of others are, with Δa = a − a₀:

- products: Δ(ab) = Δa (b + b₀)/2 + Δb (a + a₀)/2, whatever is multiplied: matrices, too;
- quotients: a product with the reciprocal;
- maxima: Δy all at one place: that of the maximum if y > y₀, else that of the baseline's;
- logarithms of sums of exponentials: see `_of_exponentials`;
- choices that differ at the baseline, as in Where: the smallest change of the mean of both choices'
  gradients with which the sum is right.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.attribution.differences.walk import Rule, Walk, graft, moving, multiplied, tensors
from onnxattr.errors import SupportError

#: Differences below this many roundings of their operands say nothing: a derivative is taken.
_ROUNDINGS = 16

RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def decorate(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return decorate


@_rule(
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "celu", "clamp"),
    *("clamp_max", "clamp_min", "copysign", "cos", "cosh", "elu", "erf", "erfc", "exp", "expm1"),
    *("floor", "fmod", "frac", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh"),
    *("leaky_relu", "log", "log10", "log1p", "log2", "logsigmoid", "mish", "nan_to_num", "pow"),
    *("prelu", "rdiv", "reciprocal", "relu", "relu6", "remainder", "round", "rpow", "rsqrt"),
    *("selu", "sigmoid", "sign", "silu", "sin", "sinh", "softplus", "softshrink", "softsign"),
    *("sqrt", "square", "tan", "tanh", "threshold", "trunc"),
)
def _of_one_number(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns f(x) with Δy/Δx for a derivative; the derivative where Δx is rounding."""
    values, again = tensors(args, kwargs)
    place = _only(values, func)
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
    return multiplied(x, y, _quotient(y - y0, x.detach(), x0, slope))


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


@_rule("detach")
def _detach(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns what is detached as it is: what derivatives leave out, differences may not."""
    return args[0]


@_rule("cpu", "numpy", "item", "tolist", "__float__", "__int__", "__bool__", "__index__")
def _read(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns what is read off a device: to choose by it, since no gradient comes back from it."""
    return func(args[0].detach(), *args[1:], **kwargs)


@_rule(
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


@_rule("batch_norm", "grid_sample")
def _linear_in_the_first(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    if any(True for _ in moving(args[1:], kwargs)):
        raise SupportError(
            f"DeepLIFT has no rule for `torch.{func.__name__}` where more than its first input "
            "depends on the probe"
        )
    return func(*args, **kwargs)


@_rule(
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


@_rule(*_FACTORS)
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
    second = [v.detach() if i not in factors and _is_tensor(v) else v for i, v in enumerate(second)]
    fixed = {k: v.detach() if _is_tensor(v) else v for k, v in kwargs.items()}
    return graft(y, func(*first, **kwargs) + func(*second, **fixed))


@_rule("div")
def _division(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    a, b = args[:2]
    if kwargs.get("rounding_mode") is not None:
        raise SupportError("DeepLIFT has no rule for divisions that round")
    if not _moves(b):
        return _linear_given_others(walk, func, args, kwargs)
    if not _moves(a):
        return _of_one_number(walk, func, args, kwargs)
    return graft(func(a, b), walk.apply(torch.mul, a, walk.apply(torch.reciprocal, b)))


@_rule("maximum", "minimum")
def _larger_of_two(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    a, b = args
    if not (_moves(a) and _moves(b)):
        return _of_one_number(walk, func, args, kwargs)
    pair = torch.stack(torch.broadcast_tensors(a, b))  # type: ignore[no-untyped-call]
    return graft(func(a, b), _extreme(walk, pair, (0,), func.__name__ == "maximum"))


@_rule("amax", "amin")
def _largest(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    y = func(*args, **kwargs)
    x, axes = args[0], args[1] if len(args) > 1 else kwargs.get("dim", ())
    axes = (axes,) if isinstance(axes, int) else tuple(axes) or tuple(range(x.dim()))
    axes = tuple(range(x.dim())[axis] for axis in axes)
    return graft(y, _extreme(walk, x, axes, func.__name__ == "amax").reshape(y.shape))


def _extreme(walk: Walk, x: torch.Tensor, axes: Sequence[int], largest: bool) -> torch.Tensor:
    """Returns the largest or the smallest along axes, which are gone, by the rule of maxima."""
    rest = [axis for axis in range(x.dim()) if axis not in axes]
    lines = x.permute(*rest, *axes).flatten(len(rest)) if axes else x.unsqueeze(-1)
    sign = 1 if largest else -1
    y, place = (lines if largest else -lines).max(-1, keepdim=True)
    return _at_one_place(walk, lines, sign * y, place).squeeze(-1)


@_rule("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    y, place = func(*args, **{**kwargs, "return_indices": True})
    last = int(func.__name__[-2])
    x = args[0].flatten(-last)
    slope = _at_one_place(walk, x, y.flatten(-last), place.flatten(-last))
    return graft(y, slope.reshape(y.shape))


@_rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool_and_places(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    plain = {k: v for k, v in kwargs.items() if k != "return_indices"}
    pool = getattr(F, func.__name__.removesuffix("_with_indices"))
    places = func(*args, **kwargs)[1]
    return _max_pool(walk, pool, args, plain), places


def _at_one_place(
    walk: Walk, x: torch.Tensor, y: torch.Tensor, place: torch.Tensor
) -> torch.Tensor:
    """Returns the extremes of lines of x, one line for several places, by the rule of maxima.

    Where y > y₀, x at the place of y has risen by more than y; where y < y₀, x at the place of y₀
    has fallen by more. So the quotient is in [0, 1]. Of minima it is the other way round.
    """
    if walk.first:
        return walk.note(x.gather(-1, place), x, y, place)
    x0, y0, place0 = walk.before(x, y, place)
    change = y.detach() - y0
    reached = x.detach().gather(-1, place) - x0.gather(-1, place)
    # At the place of the extreme the change is at least as large; if not, it is that of y₀.
    at = torch.where(reached.abs() >= change.abs(), place, place0)
    at = torch.where(reached * change < 0, place0, at)
    here, there = x.gather(-1, at), x0.gather(-1, at)
    return _quotient(change, here.detach(), there, torch.ones_like(change)) * here


@_rule("logsumexp")
def _log_sum_exp(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    x, axes, *rest = args
    keep = rest[0] if rest else kwargs.get("keepdim", False)
    y = func(*args, **kwargs)
    slope = _of_exponentials(walk, x, axes)
    return graft(y, slope if keep else slope.reshape(y.shape))


def _of_exponentials(walk: Walk, x: torch.Tensor, axes: Any) -> torch.Tensor:
    """Returns log Σ exp x along axes, which are kept.

    Of its steps the multiplier is Δexp(x_i)/Δx_i · Δy/Δexp(y). Without the overflow:

        m_i = exp(max(x_i, x₀_i) − max(y, y₀)) · φ(|Δx_i|) / φ(|Δy|),  φ(t) = (1 − exp(−t)) / t
    """
    y = x.logsumexp(axes, keepdim=True)
    if walk.first:
        return walk.note(y, x, y)
    x0, y0 = walk.before(x, y)
    with torch.no_grad():
        m = torch.exp(torch.maximum(x, x0) - torch.maximum(y, y0))
        m = torch.nan_to_num(m * _phi((x - x0).abs()) / _phi((y - y0).abs()), 0.0, 0.0, 0.0)
    return _summed(m * x, y)


def _summed(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    # A score of minus infinity has no part in the sum, and zero times it is no number.
    return torch.where(x.detach().isfinite(), x, 0.0).sum_to_size(like.shape)


def _phi(t: torch.Tensor) -> torch.Tensor:
    """Returns (1 − exp(−t)) / t, for t ≥ 0."""
    small = t < 1e-8
    return torch.where(small, 1 - t / 2, -torch.expm1(-t) / torch.where(small, 1.0, t))


@_rule("softmax", "log_softmax")
def _softmax(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns exp(x − log Σ exp x): a difference, and a function of one number."""
    x = args[0]
    axis = args[1] if len(args) > 1 else kwargs["dim"]
    y = func(*args, **kwargs)
    whole = x if kwargs.get("dtype") is None else x.to(kwargs["dtype"])
    logarithms = whole - graft(
        whole.logsumexp(axis, keepdim=True), _of_exponentials(walk, whole, axis)
    )
    if func.__name__ == "log_softmax":
        return graft(y, logarithms)
    return graft(y, walk.apply(torch.exp, logarithms))


@_rule("layer_norm", "rms_norm")
def _layer_norm(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    given = dict(zip(("input", "normalized_shape", "weight", "bias", "eps"), args, strict=False))
    if rms := func.__name__ == "rms_norm":
        given = dict(zip(("input", "normalized_shape", "weight", "eps"), args, strict=False))
    given |= kwargs
    x = given["input"]
    epsilon = given.get("eps", None if rms else 1e-5)
    epsilon = torch.finfo(x.dtype).eps if epsilon is None else epsilon
    axes = tuple(range(-len(given["normalized_shape"]), 0))
    y = _normalised(walk, x, axes, epsilon, centre=not rms)
    return graft(
        func(*args, **kwargs), _scaled(walk, y, given.get("weight"), given.get("bias"), None)
    )


@_rule("group_norm")
def _group_norm(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    given = dict(zip(("input", "num_groups", "weight", "bias", "eps"), args, strict=False))
    given |= kwargs
    x = given["input"]
    groups = x.reshape(len(x), given["num_groups"], -1)
    y = _normalised(walk, groups, (-1,), given.get("eps", 1e-5), centre=True).reshape(x.shape)
    shape = (-1, *[1] * (x.dim() - 2))
    return graft(
        func(*args, **kwargs), _scaled(walk, y, given.get("weight"), given.get("bias"), shape)
    )


def _normalised(
    walk: Walk, x: torch.Tensor, axes: tuple[int, ...], epsilon: float, *, centre: bool
) -> torch.Tensor:
    """Returns x over the root of its mean square, by steps."""
    centred = x - x.mean(axes, keepdim=True) if centre else x
    variance = walk.apply(torch.square, centred).mean(axes, keepdim=True)
    root: torch.Tensor = walk.apply(torch.rsqrt, variance + epsilon)
    found: torch.Tensor = walk.apply(torch.mul, centred, root)
    return found


def _scaled(
    walk: Walk,
    y: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    shape: tuple[int, ...] | None,
) -> torch.Tensor:
    weight, bias = (v if v is None or shape is None else v.reshape(shape) for v in (weight, bias))
    y = y if weight is None else walk.apply(torch.mul, y, weight)
    return y if bias is None else y + bias


@_rule("scaled_dot_product_attention")
def _attention(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    q, k, v, *rest = args
    mask = rest[0] if rest else kwargs.get("attn_mask")
    if kwargs.get("enable_gqa"):
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    if kwargs.get("is_causal"):
        mask = q.new_ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    scale = kwargs.get("scale")
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = walk.apply(torch.matmul, q, k.transpose(-1, -2)) * scale
    if mask is not None and mask.dtype is torch.bool:
        scores = walk.apply(torch.where, mask, scores, -math.inf)
    elif mask is not None:
        scores = scores + mask
    weights = walk.apply(torch.softmax, scores, -1)
    return graft(func(*args, **kwargs), walk.apply(torch.matmul, weights, v))


@_rule("var")
def _variance(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    x, axes = args
    y = func(x, axes, **kwargs)
    squares = walk.apply(torch.square, x - x.mean(axes, keepdim=True))
    lost = kwargs.get("correction", 1)
    count = x.numel() // max(y.numel(), 1)
    return graft(y, squares.sum(axes).reshape(y.shape) / (count - lost))


@_rule("prod")
def _product_of_all(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns a product of many, one after the other."""
    y = func(*args, **kwargs)
    if not args[0].numel():
        return y
    factors = args[0].unbind(args[1]) if len(args) > 1 else args[0].flatten().unbind()
    found = functools.reduce(functools.partial(walk.apply, torch.mul), factors)
    return graft(y, found.reshape(y.shape))


@_rule("linalg_vector_norm")
def _norm(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    x, order = args[:2]
    axes = args[2] if len(args) > 2 else kwargs.get("dim")
    keep = args[3] if len(args) > 3 else kwargs.get("keepdim", False)
    axes = tuple(range(x.dim())) if axes is None else axes
    y = func(*args, **kwargs)
    if order == 1:
        return graft(y, walk.apply(torch.abs, x).sum(axes, keep))
    if order == 2:
        squares = walk.apply(torch.square, x).sum(axes, keep)
        return graft(y, walk.apply(torch.sqrt, squares))
    raise SupportError(f"DeepLIFT has no rule for norms of order {order}")


@_rule("sort", "topk")
def _sorted(
    walk: Walk, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Returns numbers in order, as what stands at the places where they were."""
    found = func(*args, **kwargs)
    axis = kwargs.get("dim", -1)
    values = walk.apply(torch.gather, args[0], axis, found.indices)
    return type(found)((graft(found.values, values), found.indices))


def _quotient(
    change: torch.Tensor, x: torch.Tensor, x0: torch.Tensor, slope: torch.Tensor
) -> torch.Tensor:
    """Returns Δy/Δx of what is detached; a slope where Δx is no more than rounding of x."""
    by = x - x0
    least = x.abs().mul_(_ROUNDINGS * torch.finfo(x.dtype).eps)
    m = torch.where(by.abs() > least, change / by, slope)
    return m.nan_to_num_(0.0, 0.0, 0.0)


def _only(values: Sequence[torch.Tensor], func: Callable[..., Any]) -> int:
    """Returns which of some tensors is the only one that moves."""
    places = [i for i, value in enumerate(values) if value.requires_grad]
    if len(places) > 1:
        raise SupportError(
            f"DeepLIFT has no rule for `torch.{func.__name__}` where more than one input depends "
            "on the probe"
        )
    return places[0]


def _moves(value: Any) -> bool:
    return _is_tensor(value) and value.requires_grad


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
