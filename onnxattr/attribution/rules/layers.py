"""Rules of layers: what each makes of a product of one moving input with stored weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from onnxattr.attribution.rules import absolute
from onnxattr.attribution.rules.composites import LayerRule
from onnxattr.attribution.rules.multipliers import Epsilon, Positive, Signed, Weighted
from onnxattr.attribution.rules.products import (
    Bounds,
    Multiplied,
    Options,
    Product,
    Tensor,
    moving_slot,
    negative,
    number,
    positive,
    sum_of,
)
from onnxattr.attribution.rules.table import Function, Site
from onnxattr.errors import SupportError


def layer(site: Site, rule: LayerRule, bounds: Bounds | None = None) -> Function | None:
    """Returns the function of a layer whose gradient is the multiplier by `rule`.

    None where the layer's own gradient is.

    Args:
        site: The layer.
        rule: What its composite says of it.
        bounds: Of its input, for `z-box` without bounds of its own.

    Raises:
        SupportError: The rule cannot be applied to the layer.
    """
    if rule.name == "epsilon" and not rule.options["epsilon"]:
        return None
    if any(site.call.attributes.get(name, 1.0) < 0 for name in ("alpha", "beta")):
        raise SupportError("it multiplies its weights by a negative number")
    signal = moving_slot(site)
    multiplied = _RULES[rule.name](site, rule.options, bounds)

    def function(*arguments: Any) -> Any:
        given = list(arguments)
        x, w, b = given[signal], given[1 - signal], given[2] if len(given) > 2 else None

        def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            given[signal], given[1 - signal] = x, w
            if b is not None:
                given[2] = b
            y: Tensor = site.function(*given)
            return y

        if not (torch.is_grad_enabled() and x.requires_grad):
            return product(x, w, b)
        return multiplied(product, x, w, b)

    return function


def _epsilon(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j x_i w_ij / (z_j + ε·sign z_j) R_j (Bach et al. 2015, eq. 58)."""

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = Epsilon.apply(product(x, w, b), options["epsilon"])
        return y

    return multiplied


def _z_plus(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j (x_i w_ij)⁺ / (Σ_k (x_k w_kj)⁺ + b_j⁺) R_j (Montavon et al. 2017, sec. 4.1).

    Of an input that is not negative one product with w⁺ is enough, beside the layer's own.
    """
    for_it = sum_of(site, positive, negative)

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = Positive.apply(
            for_it(product, x, w, b), product(x.detach(), w, b), options["stabilizer"]
        )
        return y

    return multiplied


def _alpha_beta(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j (α (x_i w_ij)⁺ / z_j⁺ − β (x_i w_ij)⁻ / z_j⁻) R_j (Bach et al. 2015, eq. 60)."""
    for_it = sum_of(site, positive, negative)
    against = sum_of(site, negative, positive)
    alpha, beta, stabilizer = options["alpha"], options["beta"], options["stabilizer"]

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = Weighted.apply(
            for_it(product, x, w, b), against(product, x, w, b), alpha, beta, stabilizer
        )
        return y

    return multiplied


def _gamma(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j x_i (w_ij + γ w_ij⁺) / Σ_k x_k (w_kj + γ w_kj⁺) R_j (Montavon 2019, 10.2.3).

    That is for x ≥ 0 and z_j > 0. In general γ favours the terms x_i w_ij of z_j's own sign
    (Andéol et al. 2021; as in Zennit).
    """
    gamma = number(options["gamma"])

    def more_positive(w: Tensor) -> Tensor:
        return w + gamma * w.clamp(min=0)

    def more_negative(w: Tensor) -> Tensor:
        return w + gamma * w.clamp(max=0)

    above = sum_of(site, more_positive, more_negative)
    below = sum_of(site, more_negative, more_positive)

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = Signed.apply(
            above(product, x, w, b),
            below(product, x, w, b),
            product(x.detach(), w, b),
            options["stabilizer"],
        )
        return y

    return multiplied


_RULES: dict[str, Callable[[Site, Options, Bounds | None], Multiplied]] = {
    "epsilon": _epsilon,
    "gamma": _gamma,
    "z-plus": _z_plus,
    "alpha-beta": _alpha_beta,
    "flat": absolute.flat,
    "w-square": absolute.w_square,
    "z-box": absolute.z_box,
    "pass": absolute.pass_on,
}
