"""The table of attribution methods: names here, functions in their families' modules.

A method is prepared once a network and then maps batches: `method(network)` returns a function from
canonical probes, float32 [probe, 3, y, x] in [0, 1] on the network's device, to maps, float32
[probe, y, x]. T is the sum of all units of the representation, so one backward pass serves a batch.

Importing this loads no torch, so that a wrong name can be refused before anything is started.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from onnxattr.registry import Registry

if TYPE_CHECKING:
    import torch

    from onnxattr.types import Network

    Explain = Callable[[torch.Tensor], torch.Tensor]
    Method = Callable[[Network], Explain]

#: Name → the module of this package whose function of that name, with underscores, prepares it.
METHODS = Registry(
    "method", {"saliency": "gradients", "grad-input": "gradients", "elrp": "relevance"}
)

#: Those whose rules go by the vendor's operators: for the others a chain of them may be one.
BY_OPERATOR = frozenset({"elrp"})


def find(name: str) -> Method:
    """Returns the function that prepares a method.

    Raises:
        UsageError: There is no such method.
    """
    module = import_module(f"onnxattr.attribution.{METHODS[name]}")
    method: Method = getattr(module, name.replace("-", "_"))
    return method
