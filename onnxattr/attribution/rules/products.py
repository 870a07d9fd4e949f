"""Layers as rules see them: a product of a moving input x and weights w, linear in each.

It may add a bias b: a convolution, a product of matrices. A rule is a function of that product, and
of x, w and b; weights that it wants changed are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from onnxattr.attribution.rules.composites import Value
from onnxattr.attribution.rules.multipliers import Halves
from onnxattr.attribution.rules.table import ROWS, Site

Tensor = torch.Tensor
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]

#: What a rule makes of a layer: of its product, x, w and b.
Multiplied = Callable[[Product, Tensor, Tensor, Tensor | None], Tensor]

#: The lowest and highest values that a layer's input can have.
Bounds = tuple[Tensor, Tensor]

#: Of a rule, by name.
Options = Mapping[str, Value]


def is_layer(site: Site) -> bool:
    """Returns whether a node multiplies one moving input with weights that do not move."""
    return bool(ROWS[site.operator].layer) and sum(site.moving[:2]) == 1


def moving_slot(site: Site) -> int:
    """Returns which of a layer's first two inputs moves."""
    return site.moving[:2].index(True)


def sum_of(
    site: Site, of_positive: Callable[[Tensor], Tensor], of_negative: Callable[[Tensor], Tensor]
) -> Multiplied:
    """Returns the product of x⁺ and the bias with changed weights, plus that of x⁻ with others."""
    if site.nonnegative:
        change = once(lambda w, b: (of_positive(w), None if b is None else of_positive(b)))

        def of_one(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            return product(x, *change(w, b))

        return of_one
    if site.operator == "Conv" and site.call.attributes.get("group", 1) == 1:
        # One product of twice the channels: of three, as images have, it costs little more than
        # one of them; measured at the first layer of ResNet18, .6 of the time of two.
        both = once(
            lambda w, b: (
                torch.cat([of_positive(w), of_negative(w)], 1),
                None if b is None else of_positive(b),
            )
        )

        def of_halves(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            halves: Tensor = Halves.apply(x, 1)
            return product(halves, *both(w, b))

        return of_halves
    first = once(lambda w, b: (of_positive(w), None if b is None else of_positive(b)))
    second = once(lambda w, b: (of_negative(w), nothing(b)))

    def of_both(product: Product, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        positive = product(x.clamp(min=0), *first(w, b))
        return positive + product(x.clamp(max=0), *second(w, b))

    return of_both


def once(make: Callable[[Tensor, Tensor | None], Any]) -> Callable[[Tensor, Tensor | None], Any]:
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


def positive(w: Tensor) -> Tensor:
    """Returns what is above 0, and 0 elsewhere."""
    return w.clamp(min=0)


def negative(w: Tensor) -> Tensor:
    """Returns what is below 0, and 0 elsewhere."""
    return w.clamp(max=0)


def nothing(b: Tensor | None) -> Tensor | None:
    """Returns a bias of zeros; none where there is none."""
    return None if b is None else torch.zeros_like(b)


def number(value: Value) -> float:
    """Returns an option that is one number."""
    assert isinstance(value, float | int)
    return value
