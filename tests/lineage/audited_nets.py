"""Tiny models of two tasks as files: trained in seconds, copied, disguised, trained on."""

import functools

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

SIZE = 16

#: What one takes to learn a task.
STEPS = 60


def images(count, seed):
    """Blocks of colour on a ground of another, as float32 [image, 3, y, x] in 0..1."""
    rng = np.random.default_rng(seed)
    made = np.empty((count, 3, SIZE, SIZE), np.float32)
    made[:] = rng.random((count, 3, 1, 1))
    for image in made:
        for _ in range(4):
            y, x = rng.integers(0, SIZE - 4, 2)
            h, w = rng.integers(3, 9, 2)
            image[:, y : y + h, x : x + w] = rng.random((3, 1, 1))
    return made


def probes(count=12):
    """Pictures that nobody was trained on, uint8 [image, y, x, 3]."""
    return (images(count, 99).transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)


def edges(x):
    kernel = torch.tensor([[[[-1.0, 0, 1]] * 3]])
    return functional.conv2d(x.mean(1, keepdim=True), kernel, padding=1)


def greens(x):
    return functional.avg_pool2d(x[:, 1:2], 5, 1, 2) - x[:, 0:1]


#: Channels of each layer.
WIDTH = 10


def net(seed):
    torch.manual_seed(seed)
    layers, inputs = [], 3
    for _ in range(5):
        layers += [nn.Conv2d(inputs, WIDTH, 3, padding=1), nn.ReLU()]
        inputs = WIDTH
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, 1, 1))


def train(module, task, seed, steps=STEPS, rate=1e-2):
    x = torch.from_numpy(images(64, seed))
    wanted = task(x)
    optimiser = torch.optim.Adam(module.parameters(), rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(0, len(x), (16,), generator=generator)
        loss = functional.mse_loss(module(x[rows]), wanted[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module


TASKS = {"edges": edges, "greens": greens}


@functools.cache
def trained(task, seed, initial=None):
    """A net of a task; `initial` is the seed of its weights where that is not its own."""
    torch.set_num_threads(1)
    return train(net(seed if initial is None else initial), TASKS[task], seed)


def tuned(module, task, steps=20):
    """The same, trained on for a little."""
    copy = net(0)
    copy.load_state_dict(module.state_dict())
    return train(copy, TASKS[task], 77, steps, 1e-3)


def turned(module):
    """The same function with its hidden channels in another order, and rescaled."""
    copy = net(0)
    copy.load_state_dict(module.state_dict())
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for first, second in ((0, 2), (2, 4), (4, 6), (6, 8)):
            order = torch.randperm(WIDTH, generator=generator)
            scale = 0.5 + torch.rand(WIDTH, generator=generator)
            a, b = copy[first], copy[second]
            a.weight.copy_((a.weight * scale[:, None, None, None])[order])
            a.bias.copy_((a.bias * scale)[order])
            b.weight.copy_((b.weight / scale[None, :, None, None])[:, order])
    return copy


def onnx_of(module, prefix="", opset=17, swapped=False):
    """The bytes of the net; `swapped` is one that wants its colours in the order BGR."""
    nodes, stored, value = [], [], "x"
    for i, layer in enumerate(module):
        out = f"{prefix}v{i}" if i < len(module) - 1 else "y"
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight.detach().numpy()
            weight = weight[:, ::-1].copy() if swapped and i == 0 else weight
            names = [f"{prefix}w{i}", f"{prefix}b{i}"]
            stored += [
                numpy_helper.from_array(array, name)
                for array, name in zip((weight, layer.bias.detach().numpy()), names, strict=True)
            ]
            pad = layer.padding[0]
            nodes.append(helper.make_node("Conv", [value, *names], [out], pads=[pad] * 4))
        else:
            nodes.append(helper.make_node("Relu", [value], [out]))
        value = out
    graph = helper.make_graph(
        nodes,
        f"{prefix}g",
        [helper.make_tensor_value_info("x", 1, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", 1, ["n", 1, SIZE, SIZE])],
        stored,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()
