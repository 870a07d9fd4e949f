"""Products of matrices, sums of products, and determinants."""

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.numbers import UNSIGNED, widened
from onnxattr.convert.ops.table import operator


@operator("MatMul", 1, 9, 13)
def _matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if not a.is_floating_point():
        return _integer_matmul(a, b)
    # By one matrix it is one product, if the rows follow one another, and else a batch of them.
    return torch.matmul(a.contiguous() if b.ndim == 2 < a.ndim else a, b)


@widened
def _integer_matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.device.type in ("cpu", "meta"):
        return torch.matmul(a, b)
    # GPUs have no kernel for integers.
    rows = a.unsqueeze(0) if a.ndim == 1 else a
    columns = b.unsqueeze(1) if b.ndim == 1 else b
    y = (rows.unsqueeze(-1) * columns.unsqueeze(-3)).sum(-2, dtype=a.dtype)
    y = y.squeeze(-1) if b.ndim == 1 else y
    return y.squeeze(-1 if b.ndim == 1 else -2) if a.ndim == 1 else y


@operator("Gemm", 1, 6, 7, 9, 11, 13)
def _gemm(
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - the attribute's name
    transB: int = 0,  # noqa: N803 - the attribute's name
    broadcast: int = 0,
) -> torch.Tensor:
    a = a.T if transA else a
    if not a.is_floating_point():
        return _integer_gemm(a, b.T if transB else b, c, alpha, beta)
    if c is None:
        product = F.linear(a, b) if transB else torch.mm(a, b)
        return product if alpha == 1 else alpha * product
    if transB and alpha == 1 and beta == 1 and c.ndim == 1 and len(c) == len(b):
        return F.linear(a, b, c)
    return torch.addmm(c, a, b.T if transB else b, beta=beta, alpha=alpha)


def _integer_gemm(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None, alpha: float, beta: float
) -> torch.Tensor:
    """Returns `Gemm` of integers: exact with whole factors, cut at the end with others."""
    wide = a.dtype if a.dtype not in UNSIGNED else torch.int64
    y = _scaled(_integer_matmul(a.to(wide), b.to(wide)), alpha)
    if c is not None:
        y = y + _scaled(c.to(wide), beta)
    return y.to(a.dtype)


def _scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    if factor == 1:
        return x
    return x * int(factor) if factor == int(factor) else x.double() * factor


@operator("Einsum", 12, 28)
def _einsum(*xs: torch.Tensor, equation: str) -> torch.Tensor:
    first = xs[0]
    if first.is_floating_point():
        return torch.einsum(equation, *xs)
    # Small integers may be widened: sums wrap around at the end as they do on the way.
    on_cpu = first.device.type in ("cpu", "meta")
    if not on_cpu:
        # GPUs multiply no matrices of integers; doubles are exact up to 2^53.
        return torch.einsum(equation, *(x.double() for x in xs)).to(torch.int64).to(first.dtype)
    return torch.einsum(equation, *(x.to(torch.int64) for x in xs)).to(first.dtype)


@operator("Det", 11, 22)
def _det(x: torch.Tensor) -> torch.Tensor:
    wide = x.float() if x.itemsize == 2 else x
    y: torch.Tensor = torch.linalg.det(wide)
    return y.to(x.dtype)
