"""Rules of products: of the factors that move, those of the highest rank gate the others."""

from __future__ import annotations

from typing import Any

import torch

from onnxattr.attribution.rules.graph import FACTORS, live
from onnxattr.attribution.rules.parts import held, keeping, share
from onnxattr.attribution.rules.table import ALL, Facts, Function, Site, row, rule


def bearing(site: Site) -> list[int]:
    """Returns the positions of the inputs of a product that bear relevance.

    Gates do not (Arras et al. 2017, section 3.2: “signal-take-all”), nor do the weights of
    attention by CP-LRP (Ali et al. 2022, section 3.1). With `attn-lrp` the factors of a sum of
    products share it, whatever they are (Achtibat et al. 2024, proposition 3.3).
    """
    return live(site.operator, Facts(site.ranks, site.moving), site.attention)


def product(site: Site) -> Function:
    """Returns the product with its gates held, and its relevance shared by the other factors.

    A product of n factors is homogeneous of degree n: each gets one part in n of its gradient.
    """
    return product_by(site, site.function)


def product_by(site: Site, function: Function) -> Function:
    """Returns what `product` does, of another function with the same factors."""
    signals, factors = bearing(site), FACTORS[site.operator]
    shared = [i for i in signals if factors is ALL or i in factors]

    def compute(*arguments: Any) -> Any:
        parts = keeping(arguments, signals)
        for i in shared:
            parts[i] = share(parts[i], len(shared))
        return function(*parts)

    return compute


row("Mul", "Einsum", signal=ALL, rule=product)
row("com.microsoft.ComplexMul", "com.microsoft.ComplexMulConj", signal=ALL, rule=product)
row("MatMul", signal=ALL, rule=product, layer="MatMul")
row("com.microsoft.FusedMatMul", "com.microsoft.TransposeMatMul", signal=ALL, rule=product)
row("Gemm", signal=(0, 1, 2), rule=product, layer="Gemm")


@rule("Div")
def _divided(site: Site) -> Function:
    """The divisor is held."""

    def compute(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = site.function(a, held(b))
        return y

    return compute


@rule("ReduceSumSquare")
def _sum_of_squares(site: Site) -> Function:
    """Returns the sum of squares, each of which is a number times itself, which is held."""

    def compute(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        y: torch.Tensor = site.function(share(x, 2), *rest)
        return y

    return compute


@rule("ReduceProd")
def _product_of_all(site: Site) -> Function:
    """Returns the product of numbers, which share its relevance."""

    def compute(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        y: torch.Tensor = site.function(x, *rest)
        return share(y, max(1, x.numel() // max(1, y.numel())))

    return compute


@rule("Det")
def _determinant(site: Site) -> Function:
    """Returns the determinant, whose rows share its relevance: it is linear in each."""

    def compute(x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = site.function(x)
        return share(y, x.shape[-1])

    return compute
