"""What a conversion takes, against that of onnx2torch as it is.

Each conversion is a fresh interpreter that has converted a small graph before: CPU seconds, and the
most memory that it held above what it had when the parsed model was there. The two take turns, and
a repeat gives one ratio of each, ours to theirs: the median of these is shown with the interval
that holds it with 95 %, by order statistics. The graphs are a ResNet-50, and chains of Add, with an
initializer of its own each, and Relu; what a node of the longest costs, against one of the
shortest, tells whether the cost is linear.

    python benchmarks/conversion.py [REPEATS]
"""

import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

CHAINS = (5_000, 10_000, 20_000)

#: The exporter without onnxscript, and an opset that onnx2torch reads.
OPSET = 13

EXPORT = """
import sys, warnings
import torch, torchvision

path, opset = sys.argv[1:]
warnings.simplefilter("ignore")
model = torchvision.models.resnet50().eval()
for tensor in model.state_dict().values():
    # Of equal ones the exporter stores one, which onnx2torch does not find behind an Identity.
    if tensor.is_floating_point():
        tensor += 0.1 * torch.rand_like(tensor)
x = torch.zeros(1, 3, 224, 224)
torch.onnx.export(model, (x,), path, opset_version=int(opset), dynamo=False)
"""

MEASURE = """
import resource, sys, time, warnings
import onnx, onnx2torch, onnxattr, psutil
from onnx import parser

which, path = sys.argv[1:]
warnings.simplefilter("ignore")
convert = {"onnxattr": onnxattr.to_torch, "onnx2torch": onnx2torch.convert}[which]
header = '<ir_version: 8, opset_import: ["" : 13]>'
convert(parser.parse_model(header + "g (float[N] x) => (float[N] y) { y = Relu(x) }"))
proto = onnx.load(path)
held = psutil.Process().memory_info().rss
started = time.process_time()
module = convert(proto)
seconds = time.process_time() - started
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(seconds, max(0, peak - held) / 2**20)
"""


def chain(length: int) -> onnx.ModelProto:
    """Returns a chain of Add and Relu in turn."""
    nodes, stored, last = [], [], "x"
    for i in range(length):
        name = f"h{i}"
        if i % 2:
            nodes.append(helper.make_node("Relu", [last], [name]))
        else:
            stored.append(numpy_helper.from_array(np.full(4, 1 / (i + 1), np.float32), f"w{i}"))
            nodes.append(helper.make_node("Add", [last, f"w{i}"], [name]))
        last = name
    shape = ["N", 4]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, shape)],
        stored,
    )
    imports = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def run(program: str, *arguments: str) -> str:
    """Returns what a fresh interpreter prints."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def measure(which: str, path: Path) -> tuple[float, float]:
    """Returns CPU seconds and MiB of one conversion."""
    # The memory of this process counts into the peak of those it starts: it loads no torch.
    seconds, memory = map(float, run(MEASURE, which, str(path)).split())
    return seconds, memory


def summary(ratios: list[float]) -> str:
    """Returns the median of ratios and its interval: of 95 %, or all there are if that is few."""
    count, tail, outside = len(ratios), 0.0, 0
    while (tail := tail + math.comb(count, outside) / 2**count) <= 0.025:
        outside += 1
    ordered, first = sorted(ratios), max(outside - 1, 0)
    interval = f"({ordered[first]:.3f} to {ordered[-1 - first]:.3f})"
    return f"{statistics.median(ratios):.3f} {interval}"


def main(repeats: int) -> None:
    """Measures and prints."""
    sides = ["onnxattr", "onnx2torch"]
    with tempfile.TemporaryDirectory() as folder:
        models = {"resnet50": Path(folder) / "resnet50.onnx"}
        run(EXPORT, str(models["resnet50"]), str(OPSET))
        for length in CHAINS:
            models[f"{length} nodes"] = Path(folder) / f"{length}.onnx"
            onnx.save(chain(length), models[f"{length} nodes"])
        print(f"medians of {repeats}, and of the ratios of each time ours and theirs (95 %)")
        print(f"{'':12}{'':9}{sides[0]:>10}{sides[1]:>12}  ratio")
        seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for name, path in models.items():
            for i in range(repeats):
                for which in sides[:: -1 if i % 2 else 1]:
                    seen.setdefault((which, name), []).append(measure(which, path))
            for quantity, unit in enumerate(("CPU s", "peak MiB")):
                ours, theirs = ([one[quantity] for one in seen[which, name]] for which in sides)
                medians = (statistics.median(side) for side in (ours, theirs))
                middle = "{:10.2f}{:12.2f}".format(*medians)
                ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                print(f"{name:12}{unit:9}{middle}  {summary(ratios)}", flush=True)
    short, long = CHAINS[0], CHAINS[-1]
    print(f"\na node of {long} against a node of {short}")
    for which in sides:
        pairs = list(zip(seen[which, f"{long} nodes"], seen[which, f"{short} nodes"], strict=True))
        for quantity, unit in enumerate(("CPU s", "peak MiB")):
            ratios = [a[quantity] / long / (b[quantity] / short) for a, b in pairs]
            print(f"{which:12}{unit:9}{summary(ratios)}")


if __name__ == "__main__":
    main(*[int(argument) for argument in sys.argv[1:]] or [20])
