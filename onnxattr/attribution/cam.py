"""Maps at a tensor inside the network, laid over the probe: Grad-CAM."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.attribution.gradients import gradient
from onnxattr.attribution.setting import Setting
from onnxattr.convert.feed import Feed
from onnxattr.convert.inner import cut
from onnxattr.errors import SupportError, UsageError
from onnxattr.graph.bottleneck import bottleneck
from onnxattr.graph.spatial import Places, last_with_places, places_of
from onnxattr.graph.walk import short
from onnxattr.registry import suggestion
from onnxattr.types import IMAGE, TOKENS, Network

if TYPE_CHECKING:
    from onnxattr.attribution.methods import Explain

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def grad_cam(setting: Setting, *, layer: str, of: str) -> Explain:
    """Prepares a map at a tensor A with places, enlarged to the probe by linear interpolation.

        max(0, Σ_c α_c A_c),  α_c = mean over the places of ∂T/∂A_c

    Selvaraju et al. 2017, eq. 1 and 2. There y is the score of one class; T as a rule is the sum
    of all units of the representation, so that the map says where the whole of it is made, and
    parts that pull it up and down cancel: `--reduction unit:I` at the logits asks for one class.
    With `grad-input` it is Σ_c A_c ⊙ ∂T/∂A_c, signed, with a gradient for each place.

    Args:
        setting: The network, and what is attributed.
        layer: `last`: the last tensor with places that goes into a layer, a pool, or out of all
            places, before the representation. `bottleneck`: the narrowest one, if it has places.
            Or the name of a tensor in the vendor's graph, of which `:0` at the end may be left
            out. Rows of tokens, [probe, length, channel], have places if they make a grid of the
            input's sides, with or without one more in front; where the probes are token ids, they
            are these.
        of: `grad-cam` or `grad-input`.

    Raises:
        UsageError: The graph has no such tensor.
        SupportError: It has no places, or the representation does not depend on it.
    """
    places = _chosen(setting.network, layer)
    network = setting.network
    feed = setting.feed
    batched = "N" in network.spec.layout
    # What is replaced in a module that is compiled is not seen; in a copy it is.
    module = copy.copy(network.module)

    def explain(probes: torch.Tensor) -> torch.Tensor:
        # Nothing before the tensor is wanted.
        with cut(network, module, places.value) as made:
            units = module(feed(probes.detach()))
        (tensor,) = made
        slope = gradient(network, units, tensor, setting.target)
        values, slopes = (_in_order(v, places, batched) for v in (tensor.detach(), slope))
        if len(values) != len(probes):
            raise SupportError(
                f"`{_vendor(network, places.value)}` has {len(values)} rows for {len(probes)} "
                "probes",
                hint="choose another tensor with layer=NAME",
                model=network.model.name,
            )
        if of == "grad-input":
            found = (values * slopes).sum(1)
        else:
            axes = tuple(range(2, values.dim()))
            found = (values * slopes.mean(axes, keepdim=True)).sum(1).clamp(min=0)
        return _laid_over(network, feed, found.float())

    return explain


def _chosen(network: Network, layer: str) -> Places:
    """Returns the tensor that is meant.

    Raises:
        UsageError: There is none of that name.
        SupportError: It has no places.
    """
    graph, spec, names = network.dialect.proto.graph, network.spec, network.dialect.names.values
    if layer == "last":
        found = last_with_places(graph, spec)
        if found is None:
            raise SupportError(
                f"no tensor before `{network.representation.value}` has places",
                hint="choose a tensor with layer=NAME",
                model=network.model.name,
            )
        return found
    name = layer
    if layer == "bottleneck":
        end = network.representation
        name, _ = bottleneck(network.model, spec.input, end.value, end.output or end.value, spec)
    computed = {
        v: names[v] for n in graph.node if n.op_type != "Parameter" for v in n.output if v in names
    }
    # TensorFlow's names end in `:0`, and a colon ends an option.
    meant = [ours for ours, vendor in computed.items() if vendor in (name, f"{name}:0")]
    for ours in meant:
        if (places := places_of(graph, ours, spec)) is not None:
            return places
    if meant:
        raise SupportError(
            f"`{short(name)}` has no places: it is no tensor of channels and places",
            hint="choose another tensor with layer=NAME",
            model=network.model.name,
        )
    raise UsageError(
        f"`{network.model.name}` computes no tensor `{short(name)}` before its representation",
        hint=suggestion(name, computed.values())
        + "layer is `last`, `bottleneck` or the name of a tensor in the graph",
        model=network.model.name,
    )


def _vendor(network: Network, name: str) -> str:
    return short(network.dialect.names.values.get(name, name))


def _in_order(value: torch.Tensor, places: Places, batched: bool) -> torch.Tensor:
    """Returns a tensor as [probe, channel, …]."""
    value = value if value.dim() == len(places.shape) or batched else value.unsqueeze(0)
    return value.movedim(places.channels, 1)


def _laid_over(network: Network, feed: torch.nn.Module, found: torch.Tensor) -> torch.Tensor:
    """Returns values at places, [probe, …], as maps of the probes."""
    spec = network.spec
    if spec.kind == TOKENS:
        if found.shape[1:] != spec.map_shape:
            raise _no_places(network, found)
        return found
    if not isinstance(feed, Feed):
        return _enlarged(network, found, spec.map_shape)
    if found.dim() == 2:
        found = _as_grid(network, found)
    found = _enlarged(network, found, (spec.height, spec.width))
    # As the input is laid out, so that what lies around a probe is left out.
    channels = found.unsqueeze(1).expand(-1, spec.channels, -1, -1)
    axes = "NCHW"
    for axis in "NC":
        if axis not in spec.layout:
            channels, axes = channels.select(axes.index(axis), 0), axes.replace(axis, "")
    laid = channels.permute([axes.index(axis) for axis in spec.layout])
    return feed.to_map(feed.to_canonical(laid))


def _as_grid(network: Network, found: torch.Tensor) -> torch.Tensor:
    """Returns rows of patches, [probe, length], as [probe, y, x]; one more in front is left out."""
    spec, length = network.spec, found.shape[1]
    for count in (length, length - 1):
        rows = round(math.sqrt(count * spec.height / spec.width))
        if rows and count % rows == 0 and rows * spec.width == count // rows * spec.height:
            return found[:, length - count :].reshape(len(found), rows, count // rows)
    raise _no_places(network, found)


def _enlarged(network: Network, found: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Returns values, [probe, …], enlarged to the last axes of a shape, the same along others."""
    axes = found.dim() - 1
    if axes > len(shape) or axes not in _MODES:
        raise _no_places(network, found)
    sizes = shape[len(shape) - axes :]
    if found.shape[1:] != sizes:
        found = F.interpolate(found.unsqueeze(1), sizes, mode=_MODES[axes]).squeeze(1)
    others = len(shape) - axes
    return found.reshape(len(found), *[1] * others, *sizes).expand(-1, *shape)


def _no_places(network: Network, found: torch.Tensor) -> SupportError:
    what = "pixels" if network.spec.kind == IMAGE else "numbers"
    return SupportError(
        f"its tensor has {list(found.shape[1:])} places, which are not laid over the "
        f"{list(network.spec.map_shape)} {what} of a probe",
        hint="choose another tensor with layer=NAME",
        model=network.model.name,
    )
