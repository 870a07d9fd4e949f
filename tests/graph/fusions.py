"""What tests of fusions share: the operators that are left, and values with and without."""

import numpy as np
import onnx
import torch

import onnxattr


def operators(proto):
    """Returns the operators of the main graph, sorted."""
    return sorted(node.op_type for node in proto.graph.node)


def inferred(proto):
    """Returns `proto` with the shapes that the fusions ask for."""
    return onnx.shape_inference.infer_shapes(proto, data_prop=True)


def _run(module, feeds):
    inputs = [torch.from_numpy(feed) for feed in feeds]
    for tensor in inputs:
        tensor.requires_grad_(tensor.is_floating_point())
    output = module(*inputs)
    weights = torch.from_numpy(np.random.default_rng(9).normal(size=output.shape)).to(output)
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    return output, torch.autograd.grad((output * weights).sum(), wanted, allow_unused=True)


def assert_same(proto, *feeds, tolerance=1e-6):
    """The fused module gives the values and the gradients of the other, and is smaller."""
    plain = onnxattr.to_torch(proto, fuse=False)
    fused = onnxattr.to_torch(proto, fuse=True)
    assert len(list(fused.children())) < len(list(plain.children()))
    (y, gradients), (z, others) = _run(plain, feeds), _run(fused, feeds)
    for ours, theirs in zip((z, *others), (y, *gradients), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype
            scale = theirs.abs().max().item() or 1.0
            torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)
