"""Rules of layers: products of one moving input with stored weights.

They hold for any operator that is linear in the moving input x and in its weights w, and adds a
bias b: a convolution, a product of matrices. A rule is a function of that product, and of x, w and
b; weights that it wants changed are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from onnxattr.attribution.rules.composites import CONVOLUTIONS, LayerRule, Value
from onnxattr.attribution.rules.multipliers import (
    Absolute,
    Epsilon,
    Halves,
    Positive,
    Signed,
    Weighted,
    stabilised,
)
from onnxattr.attribution.rules.table import ROWS, Function, Site
from onnxattr.errors import SupportError

Tensor = torch.Tensor
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]

#: What a rule makes of a layer: of its product, x, w and b.
Multiplied = Callable[[Product, Tensor, Tensor, Tensor | None], Tensor]

#: The lowest and highest values that a layer's input can have.
Bounds = tuple[Tensor, Tensor]


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


def is_layer(site: Site) -> bool:
    """Returns whether a node multiplies one moving input with weights that do not move."""
    return bool(ROWS[site.operator].layer) and sum(site.moving[:2]) == 1


def moving_slot(site: Site) -> int:
    """Returns which of a layer's first two inputs moves."""
    return site.moving[:2].index(True)


Options = Mapping[str, Value]


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
    for_it = _sum_of(site, _positive, _negative)

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = Positive.apply(
            for_it(product, x, w, b), product(x.detach(), w, b), options["stabilizer"]
        )
        return y

    return multiplied


def _alpha_beta(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j (α (x_i w_ij)⁺ / z_j⁺ − β (x_i w_ij)⁻ / z_j⁻) R_j (Bach et al. 2015, eq. 60)."""
    for_it = _sum_of(site, _positive, _negative)
    against = _sum_of(site, _negative, _positive)
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
    gamma = options["gamma"]
    assert isinstance(gamma, float | int)

    def more_positive(w: Tensor) -> Tensor:
        return w + gamma * w.clamp(min=0)

    def more_negative(w: Tensor) -> Tensor:
        return w + gamma * w.clamp(max=0)

    above = _sum_of(site, more_positive, more_negative)
    below = _sum_of(site, more_negative, more_positive)

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y: Tensor = Signed.apply(
            above(product, x, w, b),
            below(product, x, w, b),
            product(x.detach(), w, b),
            options["stabilizer"],
        )
        return y

    return multiplied


def _flat(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j 1 / n_j R_j, over the n_j inputs of each output (Lapuschkin et al. 2019)."""
    return _by_weights(torch.ones_like, options)


def _w_square(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j w_ij² / Σ_k w_kj² R_j (Montavon et al. 2017, eq. 13)."""
    return _by_weights(torch.square, options)


def _z_box(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
    """R_i = Σ_j (x_i w_ij − l_i w_ij⁺ − h_i w_ij⁻) / Σ_k (…) R_j (Montavon et al. 2017, eq. 15)."""
    given = options["low"], options["high"]
    if bounds is None and None in given:
        raise SupportError("`z-box` needs the bounds of its input, `low` and `high`")
    parts = _once(lambda w, b: (_positive(w), _negative(w), _none(b)))
    axis = 1 if site.operator in CONVOLUTIONS else -1

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        positive, negative, zero = parts(w, b)
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
                    - product(lowest, positive, zero)
                    - product(highest, negative, zero)
                )
            quotient = relevance / stabilised(z.detach(), _number(options["stabilizer"]))
            found = torch.autograd.grad(z, sources, quotient)
            return sum(t.detach() * c for t, c in zip(sources, found, strict=True))  # type: ignore[return-value]

        y: Tensor = Absolute.apply(x, product(x.detach(), w, b), share)
        return y

    return multiplied


def _pass(site: Site, options: Options, bounds: Bounds | None) -> Multiplied:
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


_RULES: dict[str, Callable[[Site, Options, Bounds | None], Multiplied]] = {
    "epsilon": _epsilon,
    "gamma": _gamma,
    "z-plus": _z_plus,
    "alpha-beta": _alpha_beta,
    "flat": _flat,
    "w-square": _w_square,
    "z-box": _z_box,
    "pass": _pass,
}


def _sum_of(
    site: Site, of_positive: Callable[[Tensor], Tensor], of_negative: Callable[[Tensor], Tensor]
) -> Multiplied:
    """Returns the product of x⁺ and the bias with changed weights, plus that of x⁻ with others."""
    if site.nonnegative:
        change = _once(lambda w, b: (of_positive(w), None if b is None else of_positive(b)))

        def of_one(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            return product(x, *change(w, b))

        return of_one
    if site.operator == "Conv" and site.call.attributes.get("group", 1) == 1:
        # One product of twice the channels: of three, as images have, it costs little more than
        # one of them; measured at the first layer of ResNet18, .6 of the time of two.
        both = _once(
            lambda w, b: (
                torch.cat([of_positive(w), of_negative(w)], 1),
                None if b is None else of_positive(b),
            )
        )

        def of_halves(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            halves: Tensor = Halves.apply(x, 1)
            return product(halves, *both(w, b))

        return of_halves
    first = _once(lambda w, b: (of_positive(w), None if b is None else of_positive(b)))
    second = _once(lambda w, b: (of_negative(w), _none(b)))

    def of_both(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        positive = product(x.clamp(min=0), *first(w, b))
        return positive + product(x.clamp(max=0), *second(w, b))

    return of_both


def _by_weights(change: Callable[[Tensor], Tensor], options: Options) -> Multiplied:
    """Returns the rule that shares relevance by changed weights alone."""
    parts = _once(lambda w, b: (change(w), _none(b)))

    def multiplied(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        changed, zero = parts(w, b)

        def share(x: Tensor, relevance: Tensor) -> Tensor:
            with torch.enable_grad():
                ones = torch.ones_like(x).requires_grad_()
                z = product(ones, changed, zero)
            quotient = relevance / stabilised(z.detach(), _number(options["stabilizer"]))
            return torch.autograd.grad(z, ones, quotient)[0]

        y: Tensor = Absolute.apply(x, product(x.detach(), w, b), share)
        return y

    return multiplied


def _once(make: Callable[[Tensor, Tensor | None], Any]) -> Callable[[Tensor, Tensor | None], Any]:
    """Returns `make`, which is called again only where weights are others than before."""
    kept: list[Any] = []

    def get(w: Tensor, b: Tensor | None) -> Any:
        # Moving a module to another type or device keeps its parameters, but not what they hold.
        state = [(t.data_ptr(), t.dtype, t._version) for t in (w, b) if t is not None]
        if not kept or kept[0] is not w or kept[1] is not b or kept[2] != state:
            with torch.no_grad():
                kept[:] = w, b, state, make(w.detach(), None if b is None else b.detach())
        return kept[3]

    return get


def _positive(w: Tensor) -> Tensor:
    return w.clamp(min=0)


def _negative(w: Tensor) -> Tensor:
    return w.clamp(max=0)


def _none(b: Tensor | None) -> Tensor | None:
    return None if b is None else torch.zeros_like(b)


def _number(value: Value) -> float:
    assert isinstance(value, float | int)
    return value


def _spread(value: Value, x: Tensor, axis: int) -> Tensor:
    """Returns a bound, one number or one a channel, in the shape of x."""
    bound = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if bound.ndim and bound.numel() != x.shape[axis]:
        raise SupportError(f"`z-box` has {bound.numel()} bounds for {x.shape[axis]} channels")
    return (bound.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])).expand_as(x)
