"""Small networks that are trained within seconds, on two tasks of drawn images."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

WIDTHS, STRIDES = (16, 24, 24, 24, 24), (2, 1, 2, 1, 1)


def encoder(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for i, o, s in zip((3, *WIDTHS[:-1]), WIDTHS, STRIDES, strict=True):
        layers += [nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers)


def drawn(generator: torch.Generator, count: int = 24) -> tuple[torch.Tensor, ...]:
    """Images of discs and squares, how large what is seen is, and which of both."""
    line = torch.linspace(-1, 1, 16)
    y, x = line[:, None], line[None]

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator)

    image = 0.6 * rand(3, 1, 1) + 0.3 * (rand(1, 1, 1) * x + rand(1, 1, 1) * y)
    size, kind = torch.ones(count, 1, 16, 16), torch.zeros(count, 1, 16, 16)
    for _ in range(3):
        u, v = x - rand(1, 1, 1) * 1.4 + 0.7, y - rand(1, 1, 1) * 1.4 + 0.7
        r, square = rand(1, 1, 1) * 0.3 + 0.15, rand(1, 1, 1) < 0.5
        inside = torch.where(square, torch.maximum(u.abs(), v.abs()) < r, u**2 + v**2 < r**2)
        image = torch.where(inside, rand(3, 1, 1) * (1 - 0.3 * (u + v)), image)
        size = torch.where(inside, r, size)
        kind = torch.where(inside, torch.where(square, 1.0, -1.0), kind)
    return image, size, kind


def train(net: nn.Module, task: int, steps: int, seed: int) -> nn.Module:
    """A copy that was trained to tell sizes (1) or kinds (2) by a small head of its own."""
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    head = nn.Sequential(nn.Conv2d(WIDTHS[-1], 24, 3, 1, 1), nn.ReLU(), nn.Conv2d(24, 1, 1))
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], 3e-3)
    net.train()
    for _ in range(steps):
        parts = drawn(generator)
        loss = F.mse_loss(head(net(parts[0])), F.avg_pool2d(parts[task], 4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


Made = Callable[[], nn.Module]
