"""What is made of no data: constants, ranges, and random numbers."""

import math
from typing import Any

import onnx
import torch

from onnxattr.convert.ops.numbers import Stored, integers, number
from onnxattr.convert.ops.table import operator
from onnxattr.convert.ops.tensors import dtype_of, to_torch
from onnxattr.errors import SupportError

#: Numbers of the longest range: a file of a few bytes may ask for any.
_LONGEST = 1 << 28


@operator("Constant", 1, 9, 11, 12, 13, 19, 21, 23, 24, 25)
def _constant(
    *,
    value: torch.Tensor | None = None,
    sparse_value: onnx.SparseTensorProto | None = None,
    value_float: float | None = None,
    value_floats: list[float] | None = None,
    value_int: int | None = None,
    value_ints: list[int] | None = None,
) -> torch.Tensor:
    if value is not None:
        return value
    if sparse_value is not None:
        return _dense(sparse_value)
    floats = value_float if value_floats is None else value_floats
    if floats is not None:
        return torch.tensor(floats, dtype=torch.float32)
    return torch.tensor(value_int if value_ints is None else value_ints, dtype=torch.int64)


def _dense(sparse: onnx.SparseTensorProto) -> torch.Tensor:
    values, places = to_torch(sparse.values), to_torch(sparse.indices)
    shape = list(sparse.dims)
    if places.ndim > 1:
        # One row a number: its place along each axis.
        steps = torch.tensor([math.prod(shape[i + 1 :]) for i in range(len(shape))])
        places = (places * steps).sum(1)
    flat = values.new_zeros(math.prod(shape))
    flat[places] = values
    return flat.reshape(shape)


@operator("ConstantOfShape", 9, 20, 21, 23, 24, 25, stored=(0,))
def _constant_of_shape(shape: Stored, *, value: torch.Tensor | None = None) -> torch.Tensor:
    device = shape.device if isinstance(shape, torch.Tensor) else torch.device("cpu")
    value = torch.zeros(()) if value is None else value.reshape(())
    return value.to(device).expand(integers(shape) or []).clone()


@operator("EyeLike", 9, 22, gradient=False)
def _eye_like(x: torch.Tensor, *, dtype: int | None = None, k: int = 0) -> torch.Tensor:
    rows, columns = (torch.arange(n, device=x.device) for n in x.shape)
    diagonal = columns - rows.unsqueeze(1) == k
    return diagonal.to(x.dtype if dtype is None else dtype_of(dtype))


@operator("Range", 11, 27, stored=(1, 2))
def _range(
    start: torch.Tensor, limit: Stored, delta: Stored, *, stash_type: int = 1
) -> torch.Tensor:
    """Returns `start + i · delta`, in the type of `start`, as often as it is short of `limit`."""
    count = _count(number(start), number(limit), number(delta))
    floating = start.is_floating_point()
    # float16 cannot tell its large numbers apart; integers wrap around at the end.
    wide = (
        (dtype_of(stash_type) if start.itemsize == 2 else start.dtype) if floating else torch.int64
    )
    steps = torch.arange(count, device=start.device, dtype=wide)
    by: Any = delta.reshape(()).to(steps) if isinstance(delta, torch.Tensor) else number(delta)
    values: torch.Tensor = start.reshape(()).to(wide) + steps * by
    return values.to(start.dtype)


def _count(start: Any, limit: Any, delta: Any) -> int:
    if not delta:
        raise SupportError("a range of steps of zero")
    # Whole numbers exactly: a quotient of floats is not.
    count = (limit - start) / delta if isinstance(start, float) else -((start - limit) // delta)
    if count > _LONGEST:
        raise SupportError(f"a range of {count:,} numbers")
    return int(max(0, math.ceil(count)))


@operator("RandomNormal", 1, 22, gradient=False, fold=False)
def _random_normal(
    *,
    shape: list[int],
    dtype: int = onnx.TensorProto.FLOAT,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> torch.Tensor:
    device = torch.device("cpu")
    drawn = torch.randn(shape, generator=_generator(seed, device))
    return (drawn * scale + mean).to(dtype_of(dtype))


@operator("RandomUniform", 1, 22, gradient=False, fold=False)
def _random_uniform(
    *,
    shape: list[int],
    dtype: int = onnx.TensorProto.FLOAT,
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
) -> torch.Tensor:
    drawn = torch.rand(shape, generator=_generator(seed, torch.device("cpu")))
    return (drawn * (high - low) + low).to(dtype_of(dtype))


@operator("RandomNormalLike", 1, 22, gradient=False, fold=False)
def _random_normal_like(
    x: torch.Tensor,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> torch.Tensor:
    drawn = torch.randn(x.shape, device=x.device, generator=_generator(seed, x.device))
    return (drawn * scale + mean).to(_kind(x, dtype))


@operator("RandomUniformLike", 1, 22, gradient=False, fold=False)
def _random_uniform_like(
    x: torch.Tensor,
    *,
    dtype: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
) -> torch.Tensor:
    drawn = torch.rand(x.shape, device=x.device, generator=_generator(seed, x.device))
    return (drawn * (high - low) + low).to(_kind(x, dtype))


@operator("Multinomial", 7, 22, gradient=False, fold=False)
def _multinomial(
    x: torch.Tensor,
    *,
    dtype: int = onnx.TensorProto.INT32,
    sample_size: int = 1,
    seed: float | None = None,
) -> torch.Tensor:
    """Returns classes drawn by their logarithmic probabilities, which need not add up to one."""
    chances = torch.softmax(x.float(), 1)
    drawn = torch.multinomial(
        chances, sample_size, replacement=True, generator=_generator(seed, x.device)
    )
    return drawn.to(dtype_of(dtype))


@operator("Bernoulli", 15, 22, gradient=False, fold=False)
def _bernoulli(
    x: torch.Tensor, *, dtype: int | None = None, seed: float | None = None
) -> torch.Tensor:
    return torch.bernoulli(x, generator=_generator(seed, x.device)).to(_kind(x, dtype))


def _kind(x: torch.Tensor, dtype: int | None) -> torch.dtype:
    return x.dtype if dtype is None else dtype_of(dtype)


def _generator(seed: float | None, device: torch.device) -> torch.Generator | None:
    """Returns a source of the same numbers at every call, or torch's own where none is asked."""
    if seed is None or device.type == "meta":
        return None
    return torch.Generator(device).manual_seed(int(seed))
