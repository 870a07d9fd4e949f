"""Torch networks, and changes of their weights that leave what they compute as it is."""

import copy
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

from onnxattr.graph.load import load
from onnxattr.lineage.layers import weights_of_model
from onnxattr.types import Weights

#: Pixels a side of what the networks take.
SIDE = 16


def export(
    module: nn.Module,
    x: torch.Tensor,
    *,
    opset: int = 17,
    dynamo: bool = False,
    fold: bool = True,
) -> bytes:
    """The file of a module as it is in evaluation; without `fold`, its normalisation apart."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter warns of its own age.
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(
                module.eval(), (x,), dynamo=True, opset_version=opset, verbose=False
            )
            program.save(file)
        else:
            torch.onnx.export(
                module.eval(),
                (x,),
                file,
                input_names=["x"],
                dynamo=False,
                opset_version=opset,
                training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=fold,
            )
    return file.getvalue()


def weights(module: nn.Module, x: torch.Tensor | None = None, **options: object) -> Weights:
    return weights_of_model(load(export(module, images() if x is None else x, **options)))


class Calibration:
    """Probes as ONNX Runtime's quantisation reads them."""

    def __init__(self) -> None:
        self._left = iter([{"x": images(seed).numpy()} for seed in range(3)])

    def get_next(self) -> dict[str, object] | None:
        return next(self._left, None)


def quantise(plain: Path, small: Path, way: str) -> None:
    """Writes a quantised copy as ONNX Runtime makes it."""
    from onnxruntime.quantization import QuantFormat, quantize_dynamic, quantize_static

    logging.disable(logging.WARNING)
    try:
        if way == "dynamic":
            quantize_dynamic(plain, small, per_channel=True)
        else:
            quantize_static(
                plain, small, Calibration(), quant_format=QuantFormat[way], per_channel=way == "QDQ"
            )
    finally:
        logging.disable(logging.NOTSET)


def images(seed: int = 0, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, SIDE, SIDE, generator=generator)


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network with weights drawn by a seed, and batch normalisation that has seen something."""
    torch.manual_seed(seed)
    return seeded_from(make())


def seeded_from(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return module.eval()


class Plain(nn.Module):
    """Convolutions, batch normalisation, and a head that reads every place by itself."""

    def __init__(self, widths: tuple[int, ...] = (8, 12, 16, 12, 16), out: int = 10) -> None:
        super().__init__()
        ins = (3, *widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=1 + n % 2, padding=1)
            for n, (i, o) in enumerate(zip(ins, widths, strict=True))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in widths)
        self.head = nn.Linear(widths[-1] * 16, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return self.head(x.flatten(1))


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, i: int, h: int, o: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(i, h, 3, stride, 1)
        self.norm1 = nn.BatchNorm2d(h)
        self.second = nn.Conv2d(h, o, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(o)
        self.around = nn.Conv2d(i, o, 1, stride) if i != o or stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return F.relu(y + (x if self.around is None else self.around(x)))


class Residual(nn.Module):
    """Residual streams of two widths, with two blocks each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 1, 1)
        self.blocks = nn.Sequential(
            Block(12, 10, 12, 1), Block(12, 8, 12, 1), Block(12, 16, 20, 2), Block(20, 14, 20, 1)
        )
        self.head = nn.Linear(20, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


class Separable(nn.Module):
    """Depthwise and grouped convolutions, and channels that are put beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 1, 1)
        self.depth = nn.Conv2d(12, 12, 3, 1, 1, groups=12)
        self.point = nn.Conv2d(12, 18, 1)
        self.grouped = nn.Conv2d(30, 20, 3, 1, 1, groups=2)
        self.last = nn.Conv2d(20, 9, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        y = F.relu(self.point(F.relu(self.depth(x))))
        return self.last(F.relu(self.grouped(torch.cat([x, y], 1))))


class Attention(nn.Module):
    """Two blocks of a transformer on patches, residual stream and normalisation and all."""

    def __init__(self, width: int = 24, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.place = nn.Parameter(torch.randn(1, 16, width) * 0.1)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(width),
                    "q": nn.Linear(width, width),
                    "k": nn.Linear(width, width),
                    "v": nn.Linear(width, width),
                    "o": nn.Linear(width, width),
                    "norm2": nn.LayerNorm(width),
                    "up": nn.Linear(width, 3 * width),
                    "down": nn.Linear(3 * width, width),
                }
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)
        for part in self.modules():
            if isinstance(part, nn.LayerNorm):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        n, t, d = x.shape
        for b in self.blocks:
            y = b["norm1"](x)
            q, k, v = (
                b[p](y).reshape(n, t, self.heads, d // self.heads).transpose(1, 2) for p in "qkv"
            )
            a = (q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5).softmax(-1)
            x = x + b["o"]((a @ v).transpose(1, 2).reshape(n, t, d))
            x = x + b["down"](F.gelu(b["up"](b["norm2"](x))))
        return self.head(self.norm(x).mean(1))


def reordered(layer: nn.Module, order: torch.Tensor, *, inputs: bool = False) -> None:
    """Puts the rows of a layer, or of a normalisation, into another order; or its columns."""
    with torch.no_grad():
        if inputs:
            layer.weight.copy_(layer.weight[:, order].clone())
            return
        for name in ("weight", "bias", "running_mean", "running_var"):
            part = getattr(layer, name, None)
            if part is not None:
                part.copy_(part[order].clone())


def scaled(layer: nn.Module, factor: torch.Tensor, *, inputs: bool = False) -> None:
    """Multiplies rows with their biases, or divides columns."""
    with torch.no_grad():
        turned = [-1] + [1] * (layer.weight.ndim - 1)
        if inputs:
            turned[:2] = [1, -1]
            layer.weight.div_(factor.reshape(turned))
            return
        layer.weight.mul_(factor.reshape(turned))
        if layer.bias is not None:
            layer.bias.mul_(factor)


def factors(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.exp(torch.randn(count, generator=generator))


def disguise_plain(net: Plain, seed: int = 1) -> Plain:
    """Hidden channels reordered and rescaled; the normalisation takes the scale."""
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    for n, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True)):
        count = conv.out_channels
        order, factor = torch.randperm(count, generator=generator), factors(count, generator)
        reordered(conv, order)
        reordered(norm, order)
        scaled(norm, factor)
        if n + 1 < len(net.convs):
            reordered(net.convs[n + 1], order, inputs=True)
            scaled(net.convs[n + 1], factor, inputs=True)
        else:
            places = (order[:, None] * 16 + torch.arange(16)).reshape(-1)
            reordered(net.head, places, inputs=True)
            scaled(net.head, factor.repeat_interleave(16), inputs=True)
    return net


def disguise_residual(net: Residual, seed: int = 1) -> Residual:
    """Both residual streams and everything hidden in the blocks, reordered and rescaled."""
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    orders = {c: torch.randperm(c, generator=generator) for c in (12, 20)}
    scales = {c: factors(c, generator) for c in (12, 20)}
    reordered(net.stem, orders[12])
    scaled(net.stem, scales[12])
    for block in net.blocks:
        i, h, o = block.first.in_channels, block.first.out_channels, block.second.out_channels
        order, factor = torch.randperm(h, generator=generator), factors(h, generator)
        for layer in (block.first, block.around):
            if layer is not None:
                reordered(layer, orders[i], inputs=True)
                scaled(layer, scales[i], inputs=True)
        reordered(block.first, order)
        reordered(block.norm1, order)
        scaled(block.norm1, factor)
        reordered(block.second, order, inputs=True)
        scaled(block.second, factor, inputs=True)
        reordered(block.second, orders[o])
        reordered(block.norm2, orders[o])
        scaled(block.norm2, scales[o])
        if block.around is not None:
            reordered(block.around, orders[o])
            scaled(block.around, scales[o])
    reordered(net.head, orders[20], inputs=True)
    scaled(net.head, scales[20], inputs=True)
    return net


def disguise_separable(net: Separable, seed: int = 1) -> Separable:
    """The channels of every convolution; those of a group stay in it."""
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randperm(count, generator=generator), factors(count, generator)

    # The second convolution's groups read channels 0–14 and 15–29 of both parts put together.
    order, factor = torch.randperm(12, generator=generator), factors(12, generator)
    reordered(net.stem, order)
    scaled(net.stem, factor)
    reordered(net.depth, order)
    scaled(net.depth, 1 / factor)
    own = factors(12, generator)
    scaled(net.depth, own)
    with torch.no_grad():
        net.depth.bias.mul_(factor)
    reordered(net.point, order, inputs=True)
    scaled(net.point, own, inputs=True)
    inner = torch.cat(
        [torch.randperm(3, generator=generator), 3 + torch.randperm(15, generator=generator)]
    )
    wide = factors(18, generator)
    reordered(net.point, inner)
    scaled(net.point, wide)
    with torch.no_grad():
        whole = torch.cat([order, 12 + inner])
        scale = torch.cat([factor, wide])
        for g in range(2):
            columns = whole[15 * g : 15 * g + 15] - 15 * g
            rows = slice(10 * g, 10 * g + 10)
            part = net.grouped.weight[rows][:, columns].clone()
            net.grouped.weight[rows] = part / scale[15 * g : 15 * g + 15].reshape(1, -1, 1, 1)
    last = torch.cat(
        [torch.randperm(10, generator=generator), 10 + torch.randperm(10, generator=generator)]
    )
    reordered(net.grouped, last)
    factor = factors(20, generator)
    scaled(net.grouped, factor)
    reordered(net.last, last, inputs=True)
    scaled(net.last, factor, inputs=True)
    return net


def disguise_attention(net: Attention, seed: int = 1) -> Attention:
    """The residual stream, the hidden units, and the values' channels within their heads."""
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    width = net.head.in_features
    order = torch.randperm(width, generator=generator)
    reordered(net.patch, order)
    with torch.no_grad():
        net.place.copy_(net.place[:, :, order].clone())
    each = width // net.heads
    for b in net.blocks:
        for name in ("norm1", "norm2"):
            reordered(b[name], order)
        for name in ("q", "k", "v", "up"):
            reordered(b[name], order, inputs=True)
        for name in ("o", "down"):
            reordered(b[name], order)
        hidden = torch.randperm(3 * width, generator=generator)
        reordered(b["up"], hidden)
        reordered(b["down"], hidden, inputs=True)
        heads = torch.randperm(net.heads, generator=generator)
        inside = torch.cat([h * each + torch.randperm(each, generator=generator) for h in heads])
        reordered(b["v"], inside)
        factor = factors(width, generator)
        scaled(b["v"], factor)
        reordered(b["o"], inside, inputs=True)
        scaled(b["o"], factor, inputs=True)
        blocks = torch.cat([h * each + torch.arange(each) for h in heads])
        reordered(b["q"], blocks)
        reordered(b["k"], blocks)
    reordered(net.norm, order)
    reordered(net.head, order, inputs=True)
    return net


#: Networks, and the change of each that its function does not see.
DISGUISES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], nn.Module]]] = {
    "plain": (Plain, disguise_plain),
    "residual": (Residual, disguise_residual),
    "separable": (Separable, disguise_separable),
    "attention": (Attention, disguise_attention),
}
