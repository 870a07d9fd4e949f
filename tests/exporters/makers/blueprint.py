"""Networks as plain descriptions with weights, so that every framework builds the same one.

Padding is SAME everywhere, as TensorFlow defines it. Needs NumPy only: `forward` is the slow and
plain account of what each framework must compute.
"""

import functools
from dataclasses import dataclass

import numpy as np
import record

EPSILON = 1e-3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Block:
    """A convolution without a bias, batch normalisation and ReLU.

    A depthwise one has as many channels as what it is given, whatever `width` says.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    depthwise: bool = False


@dataclass(frozen=True)
class Blueprint:
    """A network.

    Attributes:
        blocks: In order.
        size: Height and width of its input, in pixels.
        channels: Of its input.
        dtype: Of its input; uint8 is normalised in the graph, by ImageNet's mean and deviation.
        head: Behind the blocks: nothing, or the mean over all places and a dense layer that ends in
            `logits` or in `softmax`.
    """

    blocks: tuple[Block, ...]
    size: int = 64
    channels: int = 3
    dtype: str = "float32"
    head: str = ""


PLAIN = (Block(8, stride=2), Block(12), Block(16, stride=2))
#: Kernels of even and odd sizes, strides that divide their input and such that do not.
UNEVEN = (Block(8, 2, 2), Block(12, 4), Block(12, 3, 2), Block(16, 5, 3))
BLUEPRINTS = {
    "encoder": Blueprint(PLAIN),
    "even": Blueprint(UNEVEN),
    "odd": Blueprint(UNEVEN, size=63),
    "dilated": Blueprint(
        (Block(8, stride=2), Block(12, dilation=2), Block(12, 4, dilation=3), Block(16))
    ),
    "depthwise": Blueprint(
        (
            Block(8, stride=2),
            Block(8, depthwise=True),
            Block(16, 1),
            Block(16, 5, 2, depthwise=True),
            Block(16, 1),
        )
    ),
    "grey": Blueprint(PLAIN, channels=1),
    "opacity": Blueprint(PLAIN, channels=4),
    "uint8": Blueprint(PLAIN, dtype="uint8"),
    "logits": Blueprint(PLAIN, head="logits"),
    "softmax": Blueprint(PLAIN, head="softmax"),
}
CLASSES = 10


def draw(blueprint, permuted=False):
    """Return the weights: a dictionary a block, and that of the head.

    A block's `kernel` is [row, column, input, output], as TensorFlow has it; that of a depthwise
    one is [row, column, channel, 1].

    Args:
        blueprint: The network.
        permuted: Every kernel's values are shuffled: a network of the same form that is another.
    """
    rng, channels, rows = np.random.default_rng(11), blueprint.channels, []
    for block in blueprint.blocks:
        fan = block.kernel**2 * (1 if block.depthwise else channels)
        width = channels if block.depthwise else block.width
        shape = (block.kernel, block.kernel, channels, 1 if block.depthwise else width)
        rows.append(
            {
                "kernel": rng.normal(0, np.sqrt(2 / fan), shape),
                "gamma": rng.uniform(0.5, 1.5, width),
                "beta": rng.normal(0, 0.3, width),
                "mean": rng.normal(0, 0.3, width),
                "variance": rng.uniform(0.5, 1.5, width),
            }
        )
        channels = width
    head = {
        "kernel": rng.normal(0, np.sqrt(1 / channels), (channels, CLASSES)),
        "bias": rng.normal(0, 0.3, CLASSES),
    }
    if permuted:
        for row in (*rows, head):
            row["kernel"] = rng.permuted(row["kernel"].ravel()).reshape(row["kernel"].shape)
    return [
        {name: values.astype(np.float32) for name, values in row.items()} for row in (*rows, head)
    ]


def parse(name):
    """Return the blueprint and the weights that a name stands for: `odd`, or `odd_permuted`."""
    kind, _, permuted = name.partition("_")
    return BLUEPRINTS[kind], draw(BLUEPRINTS[kind], bool(permuted))


def sizes(blueprint):
    """Return the size that each block is given."""
    given = [blueprint.size]
    for block in blueprint.blocks:
        given.append(-(-given[-1] // block.stride))
    return given[:-1]


def pads(size, block):
    """Return how much SAME pads on the near and on the far side."""
    reach = (block.kernel - 1) * block.dilation + 1
    total = max((-(-size // block.stride) - 1) * block.stride + reach - size, 0)
    return total // 2, total - total // 2


def forward(blueprint, weights, images):
    """Return the tensors `feature`, `logits` and `output` for images [image, row, column, channel].

    Without a head the three are one.
    """
    value = images.astype(np.float64)
    if blueprint.dtype == "uint8":
        value = (value / 255 - MEAN) / STD
    for block, size, row in zip(blueprint.blocks, sizes(blueprint), weights[:-1], strict=True):
        around = pads(size, block)
        value = np.pad(value, ((0, 0), around, around, (0, 0)))
        value = _convolved(value, row["kernel"].astype(np.float64), block, -(-size // block.stride))
        value = (value - row["mean"]) / np.sqrt(row["variance"] + EPSILON)
        value = np.maximum(value * row["gamma"] + row["beta"], 0)
    if not blueprint.head:
        return {"feature": value, "logits": value, "output": value}
    value = value.mean((1, 2))
    logits = value @ weights[-1]["kernel"] + weights[-1]["bias"]
    output = logits
    if blueprint.head == "softmax":
        output = np.exp(logits - logits.max(1, keepdims=True))
        output = output / output.sum(1, keepdims=True)
    return {"feature": value, "logits": logits, "output": output}


def _convolved(value, kernel, block, size):
    result = 0
    for row, column in np.ndindex(kernel.shape[:2]):
        first, stop = np.array([row, column]) * block.dilation, (size - 1) * block.stride + 1
        taken = value[
            :,
            first[0] : first[0] + stop : block.stride,
            first[1] : first[1] + stop : block.stride,
        ]
        part = kernel[row, column]
        result = result + (taken * part[:, 0] if block.depthwise else taken @ part)
    return result


def main(**ways):
    """Make `NETWORK-WAY.onnx` as the command line says; see `record`."""
    names = [*BLUEPRINTS, *(f"{name}_permuted" for name in BLUEPRINTS)]
    record.main(
        {
            f"{name}-{way}": functools.partial(export, name=name)
            for way, export in ways.items()
            for name in names
        }
    )
