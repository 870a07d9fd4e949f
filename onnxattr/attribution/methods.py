"""The table of attribution methods.

A method is prepared once a network and then maps batches: `method(network)` returns a function from
canonical probes, float32 [probe, 3, y, x] in [0, 1] on the network's device, to maps, float32
[probe, y, x]. T is the sum of all units of the representation, so one backward pass serves a batch.
"""

from collections.abc import Callable

import torch

from onnxattr.registry import Registry
from onnxattr.types import Network

Explain = Callable[[torch.Tensor], torch.Tensor]
Method = Callable[[Network], Explain]

METHODS: Registry[Method] = Registry("method")
