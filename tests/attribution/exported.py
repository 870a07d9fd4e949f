"""Small torch modules, and the networks that come of their exports, in float64."""

import functools
import io
import warnings

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

from onnxattr.convert.torch import to_network
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions
from onnxattr.types import ARRAY, IMAGE, Network

#: Pixels a side of what the modules below take.
SIDE = 8


def export(module: nn.Module, *inputs: torch.Tensor, batch: bool = True) -> bytes:
    """The file of a torch module whose first axis is free."""
    file = io.BytesIO()
    names = [f"x{i}" for i in range(len(inputs))]
    with warnings.catch_warnings():
        # The exporter warns of its own age.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            inputs,
            file,
            input_names=names,
            output_names=["y"],
            dynamic_axes={name: {0: "batch"} for name in names} if batch else None,
            dynamo=False,
            opset_version=17,
        )
    return file.getvalue()


def network(
    module: nn.Module, x: torch.Tensor, *, kind: str = ARRAY, fuse: bool = True, at: str = "output"
) -> Network:
    """The network of a module's export, which takes arrays, or pixels in [0, 1], as they are."""
    model = load(export(module, x[:1]))
    spec = None if kind == IMAGE else probe_input(model, InputOptions(), kind, tuple(x.shape[1:]))
    return to_network(model, at=at, spec=spec, fuse=FUSIONS if fuse else ())


def pixels(count: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)


class Plain(nn.Sequential):
    """Layers one after the other, each activation once, of modules: what Captum hooks."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1), activation(), nn.Conv2d(6, 5, 3), activation(),
            nn.Flatten(), nn.Linear(5 * 36, 7), activation(), nn.Linear(7, 3),
        )  # fmt: skip


class Pooled(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3),
            nn.ReLU(), nn.Flatten(), nn.Linear(20, 3),
        )  # fmt: skip


class Reused(nn.Module):
    """One module of an activation, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
        self.head, self.activation = nn.Linear(6 * 16, 3), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.second(self.activation(self.first(x))))
        return self.head(self.activation(x.flatten(1) - 0.05))


class Functional(nn.Module):
    """Activations that are no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(F.gelu(self.second(F.relu(self.first(x))))).mean((2, 3))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.branch, self.last = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 4, 1)
        self.stem[1].running_mean.normal_()
        self.stem[1].running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + F.relu(self.branch(x)))
        return F.max_pool2d(self.last(x), 3, 2, 1).amax((2, 3))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([x, F.elu(self.first(x))], 1)
        x = torch.cat([x, F.relu(self.second(x))], 1)
        return F.avg_pool2d(F.silu(x), 2)


class Gated(nn.Module):
    """Squeeze and excitation, of HardSwish and HardSigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)
        self.down, self.up = nn.Linear(6, 2), nn.Linear(2, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.first(x))
        gate = F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return F.leaky_relu(self.last(x * gate[..., None, None]))


class Attending(nn.Module):
    """Patches as tokens, attention of two heads, and layer normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.places = nn.Conv2d(3, 8, 2, 2), nn.Parameter(torch.randn(16, 8) / 2)
        self.before, self.after = nn.LayerNorm(8), nn.LayerNorm(8)
        self.enter, self.leave = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8)
        nn.init.normal_(self.before.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        parts = self.enter(self.before(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(parts[0] @ parts[1].transpose(-1, -2) / 2, -1)
        x = x + self.leave((weights @ parts[2]).transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.after(x))))
        return x[:, 0] * torch.sigmoid(x[:, 1])


class Normalised(nn.Module):
    """Normalisations by what they are given, and a softmax in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6)
        self.instance = nn.InstanceNorm2d(6, affine=True)
        nn.init.normal_(self.instance.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.instance(F.softplus(self.norm(self.first(x))))
        x = x * torch.softmax(x.flatten(2), -1).reshape(x.shape)
        x = x.sum((2, 3))
        return torch.log_softmax(x / (1 + x.norm(dim=1, keepdim=True)), -1)[:, :3]


class Recurrent(nn.Module):
    """A row of pixels a step, through a layer of an LSTM, both ways, and one of a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(24, 5, batch_first=True, bidirectional=True)
        self.gru, self.head = nn.GRU(10, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 1, 3).flatten(2)
        return self.head(self.gru(self.lstm(x)[0])[0][:, -1])


class Words(nn.Module):
    """Token ids, a layer over each, and one over their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix, self.head = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def behind(self, z: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.mix(z)).mean(1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.behind(self.words(ids))


def ids(count: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 9, (count, 5), generator=torch.Generator().manual_seed(seed))


@functools.cache
def networked(kind: type[nn.Module], fuse: bool = True) -> Network:
    """The network of a module with random weights."""
    return network(made(kind), pixels(), fuse=fuse)


def made(kind: type[nn.Module], seed: int = 0, **options: object) -> nn.Module:
    """A module with random weights, frozen, in float64."""
    torch.manual_seed(seed)
    return kind(**options).double().eval().requires_grad_(False)
