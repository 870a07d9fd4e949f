"""What `module:callable` names for PyTorch: a function, a module, and what cannot be exported."""

import numpy as np
import torch
from torch import nn


def make():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, padding=1),
        nn.BatchNorm2d(6),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


def with_configuration():
    """Carries what models of timm carry."""
    network = weighted(make())
    network.pretrained_cfg = {
        "input_size": (3, 20, 24),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "crop_mode": "border",
    }
    return network


def weighted(network):
    """Gives a network weights from a fixed seed, statistics of normalisation included."""
    rng = np.random.default_rng(5)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            low, high = (0.5, 1.5) if "var" in name else (-0.5, 0.5)
            noise = rng.uniform(low, high, tuple(value.shape)).astype(np.float32)
            value.copy_(torch.from_numpy(noise))
    return network


class Dense(nn.Module):
    """Has a control flow that depends on values."""

    def forward(self, image):
        return image if image.sum() > 0 else image + 1


def needs_an_argument(width):
    return nn.Linear(width, 1)


def makes_a_number():
    return 7
