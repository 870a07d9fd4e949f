"""The table of attribution methods: names here, functions in their families' modules.

T is the sum of all units of the representation. There are two kinds of methods, and a ranking is
made of the maps of one method, so of one kind:

- by gradient: `method(network)` returns a function from canonical probes, float32 [probe, 3, y, x]
  in [0, 1] on the network's device, to maps, float32 [probe, y, x]. One backward pass serves a
  batch.
- black-box: `method(shape, **options)` returns a `Scheme`, the variants of a probe on which T is
  wanted, and what becomes of their values. ONNX Runtime computes them; there is no network.

Importing this loads no torch, so that a wrong name can be refused before anything is started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxattr.registry import Registry

if TYPE_CHECKING:
    import torch

    from onnxattr.attribution.blackbox import Scheme
    from onnxattr.types import Network

    Explain = Callable[[torch.Tensor], torch.Tensor]
    Method = Callable[[Network], Explain]
    BlackBoxMethod = Callable[..., Scheme]

#: Name → the module of this package whose function of that name, with underscores, prepares it.
BY_GRADIENT = Registry(
    "method by gradient", {"saliency": "gradients", "grad-input": "gradients", "elrp": "relevance"}
)
BLACK_BOX = Registry("black-box method", {"occlusion": "blackbox"})

#: All of them.
METHODS = Registry("method", {**BY_GRADIENT, **BLACK_BOX})

#: Those whose rules go by the vendor's operators: for the others a chain of them may be one.
BY_OPERATOR = frozenset({"elrp"})

#: What decides the maps beside a method's name; finished maps are kept by it.
OPTIONS: Mapping[str, Mapping[str, int]] = {"occlusion": {"grid": 8, "span": 1}}


def find(name: str) -> Method:
    """Returns the function that prepares a method by gradient.

    Raises:
        UsageError: There is no such method.
    """
    method: Method = _function(BY_GRADIENT[name], name)
    return method


def find_black_box(name: str) -> BlackBoxMethod:
    """Returns the function that prepares a black-box method, which takes what `options_of` returns.

    Raises:
        UsageError: There is no such method.
    """
    method: BlackBoxMethod = _function(BLACK_BOX[name], name)
    return method


def options_of(name: str) -> dict[str, int]:
    """Returns what decides the maps of a method beside its name."""
    return dict(OPTIONS.get(name, {}))


def _function(module: str, name: str) -> Any:
    return getattr(import_module(f"onnxattr.attribution.{module}"), name.replace("-", "_"))
