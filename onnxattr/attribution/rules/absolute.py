"""Rules of first layers: by them relevance does not go by the input, and is not 0 where that is."""

from __future__ import annotations

from collections.abc import Callable

import torch

from onnxattr.attribution.rules.composites import CONVOLUTIONS, Value
from onnxattr.attribution.rules.multipliers import Absolute, stabilised
from onnxattr.attribution.rules.products import (
    Bounds,
    Multiplied,
    Options,
    Product,
    Tensor,
    negative,
    nothing,
    number,
    once,
    positive,
)
from onnxattr.attribution.rules.table import Site
from onnxattr.errors import SupportError


def flat(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j 1 / n_j R_j, over the n_j inputs of each output (Lapuschkin et al. 2019)."""
    return _by_weights(torch.ones_like, options)


def w_square(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j w_ij² / Σ_k w_kj² R_j (Montavon et al. 2017, eq. 13)."""
    return _by_weights(torch.square, options)


def z_box(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j (x_i w_ij − l_i w_ij⁺ − h_i w_ij⁻) / Σ_k (…) R_j (Montavon et al. 2017, eq. 15)."""
    given = options["low"], options["high"]
    if bounds is None and None in given:
        raise SupportError("`z-box` needs the bounds of its input, `low` and `high`")
    parts = once(lambda w, b: (positive(w), negative(w), nothing(b)))
    axis = 1 if site.operator in CONVOLUTIONS else -1

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        above, below, zero = parts(w, b)
        low, high = (
            _spread(value, x, axis) if value is not None else bound.to(x).expand_as(x)
            for value, bound in zip(given, bounds or (x, x), strict=True)
        )

        def share(x: Tensor, relevance: Tensor) -> Tensor:
            with torch.enable_grad():
                sources = [t.detach().requires_grad_() for t in (x, low, high)]
                own, lowest, highest = sources
                z = (
                    product(own, w, zero)
                    - product(lowest, above, zero)
                    - product(highest, below, zero)
                )
            quotient = relevance / stabilised(z.detach(), number(options["stabilizer"]))
            found = torch.autograd.grad(z, sources, quotient)
            return sum(t.detach() * c for t, c in zip(sources, found, strict=True))  # type: ignore[return-value]

        y: Tensor = Absolute.apply(x, product(x.detach(), w, b), share)
        return y

    return multiplied


def pass_on(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = R_i: of a layer whose output has the shape of its input."""

    def share(x: Tensor, relevance: Tensor) -> Tensor:
        if relevance.shape != x.shape:
            raise SupportError(
                f"`pass` needs an output of its input's shape, {list(x.shape)}, not "
                f"{list(relevance.shape)}"
            )
        return relevance

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = Absolute.apply(x, product(x.detach(), w, b), share)
        return y

    return multiplied


def _by_weights(change: Callable[[Tensor], Tensor], options: Options) -> Multiplied:
    """Returns the rule that shares relevance by changed weights alone."""
    parts = once(lambda w, b: (change(w), nothing(b)))

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        changed, zero = parts(w, b)

        def share(x: Tensor, relevance: Tensor) -> Tensor:
            with torch.enable_grad():
                ones = torch.ones_like(x).requires_grad_()
                z = product(ones, changed, zero)
            quotient = relevance / stabilised(z.detach(), number(options["stabilizer"]))
            return torch.autograd.grad(z, ones, quotient)[0]

        y: Tensor = Absolute.apply(x, product(x.detach(), w, b), share)
        return y

    return multiplied


def _spread(value: Value, x: Tensor, axis: int) -> Tensor:
    """Returns a bound, one number or one a channel, in the shape of x."""
    bound = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if bound.ndim and bound.numel() != x.shape[axis]:
        raise SupportError(f"`z-box` has {bound.numel()} bounds for {x.shape[axis]} channels")
    return (bound.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])).expand_as(x)
