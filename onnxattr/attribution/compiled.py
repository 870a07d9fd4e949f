"""A network that torch compiles."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection

from torch import nn

from onnxattr.convert.ops.table import reason_of
from onnxattr.convert.parity import is_out_of_memory
from onnxattr.errors import OnnxattrError
from onnxattr.types import TOKENS, Network

#: Modules of methods that take gradients of the network's own module.
_PLAIN = frozenset({"gradients", "noise", "paths"})


class Compiled:
    """A network whose module torch compiles when it is first called.

    Only methods that take gradients of the module itself are faster. Others put rules in the place
    of its operators, in a copy that is not compiled: a compiler fixes what a rule does at the first
    pass.

    Args:
        network: From `convert.torch.to_network`; it stays as it is.
        modules: Of the methods that are wanted: where they are.

    Attributes:
        network: The same with another module, which shares its weights.
        said: `yes`, or why it is not compiled.
    """

    def __init__(self, network: Network, modules: Collection[str]) -> None:
        self._module: nn.Module = copy.copy(network.module)
        self.network = dataclasses.replace(network, module=self._module)
        self.said = "yes"
        if network.spec.kind == TOKENS:
            self.said = "no: what the embedding of token ids is replaced by is not seen"
        elif not _PLAIN.intersection(modules):
            self.said = "no: what its methods change of the network is not compiled"
        elif not _may_write():
            self.said = "no: a compiler writes files, and this process may not"
        else:
            self._module.compile()

    def give_up(self, error: Exception) -> bool:
        """Has the module run as it is from now on; returns whether that may help after `error`."""
        # The compiler may wrap what an operator raises.
        if self.said != "yes" or is_out_of_memory(error) or isinstance(error, OnnxattrError):
            return False
        self._module._compiled_call_impl = None
        self.said = f"no: {reason_of(error)}"
        return True


def _may_write() -> bool:
    """Returns whether this process may write files, as workers on the CPU may not."""
    try:
        import resource
    except ImportError:  # Windows.
        return True
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
