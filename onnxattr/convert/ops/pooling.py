"""Average pooling with ONNX's padding, which may differ at the two ends of an axis.

onnx2torch refuses such pads, and TensorFlow's `SAME` produces them at every even size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.table import operator

_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class AveragePool(nn.Module):
    """ONNX AveragePool: the mean over a window, of the values inside or of the padding too.

    Sums over a zero-padded input are divided by sums over the padded indicator of what counts, so
    any pads, and windows that `ceil_mode` lets hang over the end, are right by construction.
    """

    def __init__(
        self,
        kernel: list[int],
        strides: list[int],
        pads: list[int],
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> None:
        super().__init__()
        self.kernel, self.strides = kernel, strides
        self.begin, self.end = pads[: len(kernel)], pads[len(kernel) :]
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = x.new_ones((1, 1, *x.shape[2:]))
        counted = self._pad(inside, 1.0 if self.count_include_pad else 0.0)
        hang = self._hang(x.shape[2:])
        pool = _POOLS[len(self.kernel)]
        mean = pool(F.pad(self._pad(x, 0.0), hang), self.kernel, self.strides)
        return mean / pool(F.pad(counted, hang), self.kernel, self.strides)

    def _pad(self, x: torch.Tensor, value: float) -> torch.Tensor:
        pairs = zip(reversed(self.begin), reversed(self.end), strict=True)
        return F.pad(x, [p for pair in pairs for p in pair], value=value)

    def _hang(self, size: torch.Size) -> list[int]:
        """Returns zeros to append so that `ceil_mode`'s last, partial window is whole.

        As in ONNX Runtime and torch, a window must start inside the input or its begin pad.
        """
        hang: list[int] = []
        for i in reversed(range(len(self.kernel))):
            padded = size[i] + self.begin[i] + self.end[i]
            windows = (padded - self.kernel[i]) // self.strides[i] + 1
            rest = (padded - self.kernel[i]) % self.strides[i]
            starts_inside = windows * self.strides[i] < size[i] + self.begin[i]
            more = self.ceil_mode and rest > 0 and starts_inside
            hang += [0, self.strides[i] - rest if more else 0]
        return hang


@operator("AveragePool", 7, 10, 11, 19, 22)
def _average_pool(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    attributes = node.attributes
    kernel = attributes["kernel_shape"]
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NotImplementedError("AveragePool with auto_pad")
    if any(d != 1 for d in attributes.get("dilations", [])):
        raise NotImplementedError("AveragePool with dilations")
    pool = AveragePool(
        kernel=kernel,
        strides=attributes.get("strides", [1] * len(kernel)),
        pads=attributes.get("pads", [0] * 2 * len(kernel)),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
        count_include_pad=bool(attributes.get("count_include_pad", 0)),
    )
    return pool, node.input_values
