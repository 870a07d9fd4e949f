"""What worker processes and the store cost, on a ranking of eight sample models.

One run after another, in turn, so that whatever else the machine does meets all of them, each a
fresh interpreter, all on the same probe images (the built-in ones, mirrored and turned):

    inside    the same work on every model in one process: no worker, no channel, no store
    workers   `onnxattr rank --no-store`
    kept      `onnxattr rank` into an empty store
    stored    the same once more: everything is in the store
    start-up  `onnxattr rank` of a file that is not there: imports, a worker, the probes' decoding

Prints the medians, and the median ratios and differences of neighbours with their ranges.

    python benchmarks/isolation.py [REPEATS [PROBES]]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from onnxattr.execution.process import environment

ROOT = Path(__file__).parent.parent
MODELS = sorted((ROOT / "samples/models").glob("*.onnx"))[:8]

INSIDE = """
import sys
from pathlib import Path
import onnxattr
from onnxattr.pipeline import job, serve
from onnxattr.pipeline.messages import Attribute, Examine, pack, source_of, unpack
from onnxattr.pipeline.options import Options
from onnxattr.space.ranking import rank_sources
from onnxattr.space.similarity import similarity
import numpy as np

folder, *models = sys.argv[1:]
options = Options(device="cpu")
probes = onnxattr.load_probes(folder)
maps, hashes = [], []
for path in models:
    source = source_of(Path(path).stem, path)
    request = Examine(job.place_of(options), source, "feature", options.input, "saliency", None)
    model = serve.load(path, name=source.name)
    examination = serve.Examination(model, request, "cpu")
    blocks = []
    for start in range(0, len(probes.images), job.CHUNK):
        images = probes.images[start : start + job.CHUNK]
        answer = examination.attribute(Attribute(pack(images), start == 0))
        blocks.append(unpack(answer.maps, np.float32, (len(images), -1, -1)))
    maps.append(np.concatenate(blocks))
    hashes.append(examination.described.sha256)
compared = similarity(maps, models, centred=True)
for i in range(len(models)):
    rank_sources(compared, i, seed=0, hashes=hashes)
"""


def make_probes(folder: Path, count: int) -> None:
    """Writes the built-in images, and their mirrored and turned forms, until there are `count`."""
    files = sorted((ROOT / "onnxattr/probe_images").glob("*.webp"))
    turns = list(Image.Transpose)
    for number in range(count):
        with Image.open(files[number % len(files)]) as image:
            form = number // len(files)
            made = image if form == 0 else image.transpose(turns[(form - 1) % len(turns)])
            made = made.rotate(form // len(turns))
            made.convert("RGB").save(folder / f"{number:05}.png", compress_level=1)


def seconds(*command: str) -> float:
    """Returns the wall time of a fresh interpreter."""
    started = time.perf_counter()
    # As workers have it by default.
    settings = {"capture_output": True, "check": False, "env": environment()}
    done = subprocess.run([sys.executable, *command], **settings)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr.decode())
    return time.perf_counter() - started


def measure(probes: Path) -> dict[str, float]:
    """Returns the wall time of each kind of run in seconds."""
    models = [str(path) for path in MODELS]
    rank = ("-m", "onnxattr", "rank", "--device", "cpu", "-q", "-f", "json", "-p", str(probes))
    with tempfile.TemporaryDirectory() as store:
        return {
            "inside": seconds("-c", INSIDE, str(probes), *models),
            "workers": seconds(*rank, *models, "--no-store"),
            "kept": seconds(*rank, *models, "--store", store),
            "stored": seconds(*rank, *models, "--store", store),
            "start-up": seconds(*rank, "/no/such/file"),
        }


def line(name: str, values: list[float]) -> str:
    """Returns the median of `values` and their range."""
    middle = statistics.median(values)
    return f"{name:34} {middle:6.2f}   ({min(values):.2f} to {max(values):.2f})"


def main(repeats: int, count: int) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        make_probes(Path(folder), count)
        seconds("-c", "import torch, onnx2torch, onnxruntime")  # Warms the disk's cache.
        runs = [measure(Path(folder)) for _ in range(repeats)]
    print(f"{len(MODELS)} models, {count} probes, {repeats} runs of each kind; seconds")
    for kind in runs[0]:
        print(line(kind, [run[kind] for run in runs]))
    for kind in ("workers", "kept"):
        print(line(f"ratio {kind} / inside", [run[kind] / run["inside"] for run in runs]))
    print(line("stored - start-up, s", [run["stored"] - run["start-up"] for run in runs]))


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*arguments, *(7, 2500)[len(arguments) :])
