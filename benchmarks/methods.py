"""What the maps of a method take, against the network's own gradient in eager torch.

Networks of torchvision with random weights, exported at opset 16 (where the exporter writes GELU,
layer normalisation and attention out), a batch of 8 of 224 pixels, on one thread of the CPU or on a
GPU. `native` is the network itself, frozen, in evaluation mode: one forward pass and the gradient
of the input. The methods of onnxattr are what its engine runs on prepared probes; those of Captum
and Zennit, where they are installed, run on the native network. All run in turn, so that whatever
else the machine does meets all of them. Prints the medians of the ratios to `native` with 95 %
bootstrap intervals, and then the ratio of the largest memory that a pass has taken at a time.

    python benchmarks/methods.py [MODEL …] [--device cuda] [--repeats N] [--size N] [--batch N]
                                 [--alone]
"""

import argparse
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from gradients import MODELS, export, interval, made
from torch import nn
from torch.profiler import ProfilerActivity, profile

import onnxattr
from onnxattr.attribution.arithmetic import arithmetic
from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import METHODS, parse_all
from onnxattr.convert.torch import to_network
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions

NAMES = ("resnet18", "mobilenet_v2", "vit_tiny", "convnext_tiny")

#: Of onnxattr: those that the engine runs together, by what the table calls them.
OURS = {
    "saliency": "saliency",
    "grad-input": "grad-input",
    "elrp": "elrp",
    "the paper's three": "saliency,grad-input,elrp",
    "epsilon-plus": "lrp:composite=epsilon-plus",
}

#: What makes one batch of maps.
Run = Callable[[], object]


def native(model: nn.Module, x: torch.Tensor) -> Run:
    """Returns the network's own forward pass and input gradient."""

    def run() -> object:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(model(leaf).sum(), leaf)

    return run


def ours(model: nn.Module, x: torch.Tensor) -> Iterator[tuple[str, Run]]:
    """Yields the methods of onnxattr that there are, on the same probes."""
    given = dataclasses.replace(onnxattr.load(export(model.cpu(), x.shape[-1])), name="model")
    model.to(x.device)
    probes = torch.rand_like(x)
    for name, text in OURS.items():
        if text.partition(":")[0].partition(",")[0] not in METHODS:
            continue
        methods = parse_all(text)
        network = to_network(
            given,
            at="output",
            options=InputOptions(range=(-2.0, 2.0)),
            device=str(x.device),
            fuse=FUSIONS.keys() - methods[0].entry.unfused,
        )
        engine = Engine(network, methods=methods, batch_size=len(x))
        yield name, lambda engine=engine: engine.explain(probes)


def theirs(model: nn.Module, x: torch.Tensor) -> Iterator[tuple[str, Run]]:
    """Yields what Captum and Zennit, if they are installed, have of the same."""
    try:
        import captum.attr
    except ImportError:
        print("  captum is not installed: pip install 'onnxattr[bench]'")
    else:
        for name in ("Saliency", "LRP", "DeepLift"):
            method = getattr(captum.attr, name)(model)
            yield (
                f"Captum {name}",
                lambda method=method: method.attribute(x.clone().requires_grad_(), target=0),
            )
    try:
        from zennit.canonizers import SequentialMergeBatchNorm
        from zennit.composites import EpsilonPlus
        from zennit.torchvision import ResNetCanonizer
    except ImportError:
        print("  zennit is not installed: pip install 'onnxattr[bench]'")
        return
    canonizer = ResNetCanonizer() if hasattr(model, "layer1") else SequentialMergeBatchNorm()
    composite = EpsilonPlus(canonizers=[canonizer])

    def zennit() -> object:
        leaf = x.clone().requires_grad_()
        with composite.context(model) as modified:
            return torch.autograd.grad(modified(leaf).sum(), leaf)

    yield "Zennit EpsilonPlus", zennit


def seconds(run: Run, device: torch.device) -> float:
    """Returns the CPU time of one run, or its wall time on another device.

    On one thread both are the same, but for what others on the machine take.
    """
    on_cpu = device.type == "cpu"
    wait = (lambda: None) if on_cpu else torch.cuda.synchronize
    clock = time.process_time if on_cpu else time.perf_counter
    wait()
    started = clock()
    run()
    wait()
    return clock() - started


def peak(run: Run, device: torch.device) -> int:
    """Returns the most bytes that a run has held at a time, beside what there was before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def usable(runs: Iterator[tuple[str, Run]], device: torch.device) -> Iterator[tuple[str, Run]]:
    """Yields those that run, warmed up, and says of the others what they raise."""
    for name, run in runs:
        try:
            run()
        except Exception as error:
            print(f"  {name} raises {type(error).__name__}: {' '.join(str(error).split())[:90]}")
        else:
            yield name, run


def measure(
    name: str, repeats: int, size: int, batch: int, device: torch.device, alone: bool
) -> None:
    """Measures one network and prints its rows; `alone`, without Captum and Zennit."""
    model = made(name, size)
    x = torch.randn(batch, 3, size, size, device=device)
    runs = dict(usable(ours(model, x), device))
    bare = native(model, x)
    bare()
    if not alone:
        runs |= dict(usable(theirs(model, x), device))
    turns = []
    for turn in range(repeats):
        # Each in another place of the turn every time, and the bare pass in between.
        names = list(runs)[turn % len(runs) :] + list(runs)[: turn % len(runs)]
        times = {key: seconds(runs[key], device) for key in names[: len(names) // 2]}
        times["native"] = seconds(bare, device)
        times |= {key: seconds(runs[key], device) for key in names[len(names) // 2 :]}
        turns.append(times)
    middle = sorted(times["native"] for times in turns)[repeats // 2]
    most = peak(bare, device)
    print(f"{name}: native {1000 * middle:.0f} ms, {most / 2**20:.0f} MB")
    for key, run in runs.items():
        ratios = [times[key] / times["native"] for times in turns]
        print(f"  {key:20} {interval(ratios):24} memory {peak(run, device) / most:.2f}")
    print(flush=True)


def main(
    names: Sequence[str], repeats: int, size: int, batch: int, device: str, alone: bool
) -> None:
    """Measures and prints."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(f"{where}, {size} px, batch {batch}, {repeats} runs of each in turn; ratio to native")
    with arithmetic(device):
        for name in names or NAMES:
            measure(name, repeats, size, batch, torch.device(device), alone)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--alone", action="store_true", help="without Captum and Zennit")
    given = parser.parse_args()
    main(given.models, given.repeats, given.size, given.batch, given.device, given.alone)
