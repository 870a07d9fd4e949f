"""Runs a method over all probes of a set, in batches, on the network's device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from onnxattr.attribution import gradients, relevance
from onnxattr.attribution.methods import METHODS, Explain
from onnxattr.convert.feed import resize
from onnxattr.convert.parity import wrap
from onnxattr.errors import DeviceError, SupportError, UsageError
from onnxattr.types import Maps, Network, Probes

__all__ = ["METHODS", "attribute", "deterministic", "gradients", "relevance"]

#: Probes at a time, where the graph leaves the batch free. Results depend on it in the last bits.
BATCH = 8

#: Below this `dependence` a map is rounding noise. Measured: up to 3e-7 for units that cancel
#: (untrained ViT, ConvNeXt, Swin), 1 to 7 for others (ResNet, DenseNet, MobileNet, …).
CANCELLED = 1e-4


def attribute(
    network: Network,
    probes: Probes,
    *,
    method: str = "saliency",
    batch_size: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Maps:
    """Returns the attribution maps of `network` for all `probes`, at the network's input size.

    Repeatable for a batch size on the CPU; on a GPU as far as cuDNN's deterministic algorithms go.
    Where memory runs out the batch is halved and the
    work goes on; `Maps.batch` tells the size that was reached.

    Args:
        network: From `convert.torch.to_network`.
        probes: The probe set.
        method: `saliency`, `grad-input` or `elrp`.
        batch_size: Probes at a time; a graph that fixes its batch overrules it.
        advance: Called with the number of probes done, after each batch.

    Raises:
        UsageError: There is no such method.
        SupportError: The representation has no gradient, or its units cancel in the sum.
        DeviceError: Memory runs out at a batch of one.
    """
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"a batch size is a positive number, not `{batch_size}`")
    prepare = METHODS[method]
    fixed = network.spec.batch
    size = fixed or batch_size or BATCH
    count = len(probes.images)
    values = np.empty((count, network.spec.height, network.spec.width), np.float32)
    done = 0
    # Whatever mode the caller is in, a gradient is wanted.
    with deterministic(), torch.inference_mode(False), torch.enable_grad():
        _require_dependence(network, probes)
        explain = prepare(network)
        while done < count:
            images = torch.from_numpy(probes.images[done : done + size])
            try:
                maps = _explain(network, explain, images, fixed)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if fixed or size == 1:
                    raise DeviceError(
                        f"memory of `{network.device}` runs out at a batch of {size}",
                        hint="use --device cpu or a smaller --size",
                        model=network.model.name,
                    ) from None
                size //= 2
                continue
            values[done : done + len(images)] = maps
            done += len(images)
            advance(len(images))
    return Maps(
        values=values,
        probes=probes.names,
        method=method,
        model=network.model.name,
        batch=size,
        device=network.device,
    )


@contextmanager
def deterministic() -> Iterator[None]:
    """Asks cuDNN for repeatable, full-precision arithmetic, and restores its settings after."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32)
    cudnn.benchmark, cudnn.deterministic = False, True
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before


def _require_dependence(network: Network, probes: Probes) -> None:
    """Refuses a representation whose units cancel: its maps would be rounding noise, finite all."""
    count = network.spec.batch or 2
    images = torch.from_numpy(probes.images[:count]).to(network.device)
    x = wrap(resize(images, network.spec.height, network.spec.width), count)
    ratio = gradients.dependence(network, x)
    if ratio < CANCELLED:
        raise SupportError(
            f"the units of `{network.representation.value}` cancel: their sum does not depend on "
            f"the input but for rounding ({ratio:.0e} of what a sum with random signs does)",
            hint="choose another tensor with --at: before a softmax, or a final normalisation",
            model=network.model.name,
        )


def _explain(
    network: Network, explain: Explain, images: torch.Tensor, fixed: int | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    x = resize(images.to(network.device), network.spec.height, network.spec.width)
    maps = explain(wrap(x, fixed) if fixed else x)
    return maps[: len(images)].detach().cpu().numpy()


def _is_out_of_memory(error: Exception) -> bool:
    # torch has a class for accelerators only; the CPU allocator raises a bare RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
