"""What one forward pass and the gradient of the input take, against the network in eager torch.

Networks of torchvision with random weights, exported at opset 16 (where the exporter writes GELU,
layer normalisation and attention out), a batch of 8, on one thread of the CPU or on a GPU:

    native      the network itself, frozen, in evaluation mode
    onnxattr    `to_torch` of its export
    unfused     `to_torch(…, fuse=False)`
    onnx2torch  `onnx2torch.convert` of its export, where it converts

All run in turn, so that whatever else the machine does meets all of them. Prints the medians of the
ratios to `native`, with 95 % bootstrap intervals.

    python benchmarks/gradients.py [MODEL …] [--device cuda] [--repeats N] [--size N] [--batch N]
"""

import argparse
import io
import time
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnx2torch
import torch
import torchvision
from torch import nn

import onnxattr

OPSET = 16


def vit_tiny(size: int) -> nn.Module:
    """Returns the smallest of the published vision transformers."""
    return torchvision.models.VisionTransformer(
        image_size=size, patch_size=16, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768
    )


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "resnet18": lambda size: torchvision.models.resnet18(),
    "mobilenet_v2": lambda size: torchvision.models.mobilenet_v2(),
    "vit_tiny": vit_tiny,
    "swin_t": lambda size: torchvision.models.swin_t(),
    "convnext_tiny": lambda size: torchvision.models.convnext_tiny(),
}


def made(name: str, size: int) -> nn.Module:
    """Returns one of `MODELS`, frozen, in evaluation mode, with random weights, none of them 0."""
    torch.manual_seed(0)
    model = MODELS[name](size).eval().requires_grad_(False)
    for tensor in model.state_dict().values():
        # Of equal ones the exporter stores one, which onnx2torch does not find any more.
        if tensor.is_floating_point():
            tensor += 0.01 * torch.rand_like(tensor)
    return model


def export(model: nn.Module, size: int) -> onnx.ModelProto:
    """Returns the model's export, of a free batch."""
    file = io.BytesIO()
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    x = torch.zeros(2, 3, size, size)
    torch.onnx.export(model, (x,), file, opset_version=OPSET, dynamo=False, **names)
    return onnx.ModelProto.FromString(file.getvalue())


def variants(model: nn.Module, x: torch.Tensor) -> dict[str, nn.Module]:
    """Returns the network and its conversions, where `x` is."""
    proto = export(model, x.shape[-1])
    found = {
        "native": model.to(x.device),
        "onnxattr": onnxattr.to_torch(proto, device=x.device),
        "unfused": onnxattr.to_torch(proto, device=x.device, fuse=False),
    }
    try:
        found["onnx2torch"] = onnx2torch.convert(proto).eval().requires_grad_(False).to(x.device)
        found["onnx2torch"](x)
    except Exception as error:
        print(f"  onnx2torch: {type(error).__name__}: {' '.join(str(error).split())[:70]}")
        found.pop("onnx2torch", None)
    return found


def seconds(module: nn.Module, x: torch.Tensor) -> float:
    """Returns the wall time of one forward pass and one gradient of the input."""
    x = x.clone().requires_grad_()
    wait = torch.cuda.synchronize if x.is_cuda else lambda: None
    wait()
    started = time.perf_counter()
    torch.autograd.grad(module(x).sum(), x)
    wait()
    return time.perf_counter() - started


def interval(values: list[float]) -> str:
    """Returns the median and its 95 % bootstrap interval."""
    array = np.asarray(values)
    draws = np.random.default_rng(0).integers(0, len(array), (2000, len(array)))
    low, high = np.quantile(np.median(array[draws], axis=1), [0.025, 0.975])
    return f"{np.median(array):.2f} [{low:.2f}, {high:.2f}]"


def main(names: list[str], repeats: int, size: int, batch: int, device: str) -> None:
    """Measures and prints."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(f"{where}, {size} px, batch {batch}, {repeats} runs of each in turn; ratio to native")
    for name in names or MODELS:
        model = made(name, size)
        x = torch.randn(batch, 3, size, size, device=device)
        modules = variants(model, x)
        for module in modules.values():
            for _ in range(2):
                seconds(module, x)
        runs = [{key: seconds(m, x) for key, m in modules.items()} for _ in range(repeats)]
        native = np.median([run["native"] for run in runs])
        print(f"{name:14} native {1000 * native:.0f} ms", end="")
        for key in list(modules)[1:]:
            ratios = [run[key] / run["native"] for run in runs]
            print(f"   {key} {interval(ratios)}", end="")
        print(flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    main(given.models, given.repeats, given.size, given.batch, given.device)
