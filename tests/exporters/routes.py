"""One network, many exporters: how the files are made, and what is measured on them.

The interpreters of JAX_PYTHON and PADDLE_PYTHON are those of `test_networks.py`; a route whose
framework is not installed is left out.
"""

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAKERS = HERE / "makers"
if str(MAKERS) not in sys.path:
    sys.path.append(str(MAKERS))
from blueprint import BLUEPRINTS  # noqa: E402

PROBES = 8
METHODS = ("saliency", "grad-input", "elrp")


@dataclass(frozen=True)
class Route:
    """One way into ONNX.

    Attributes:
        maker: The script.
        way: What the script calls it.
        needs: Packages that the interpreter must have.
        layout: What its files take.
        origin: What `onnxattr` must call their framework.
        interpreter: Variable that may name another interpreter.
        backend: Of Keras, or nothing.
    """

    maker: str
    way: str
    needs: tuple[str, ...]
    layout: str
    origin: str
    interpreter: str = ""
    backend: str = ""


TORCH, JAX = ("torch", "onnxscript"), ("jax", "flax", "jax2onnx")
TENSORFLOW = ("tensorflow", "tf2onnx")
ROUTES = {
    "torch dynamo": Route("torch", "dynamo", TORCH, "NCHW", "PyTorch", "TORCH_PYTHON"),
    "torch legacy": Route("torch", "legacy", TORCH, "NCHW", "PyTorch", "TORCH_PYTHON"),
    "tf2onnx": Route("tensorflow", "nhwc", TENSORFLOW, "NHWC", "TensorFlow", "KERAS_PYTHON"),
    "tf2onnx, inputs_as_nchw": Route(
        "tensorflow", "nchw", TENSORFLOW, "NCHW", "TensorFlow", "KERAS_PYTHON"
    ),
    "Keras on TensorFlow": Route(
        "keras", "keras", ("keras", *TENSORFLOW), "NHWC", "TensorFlow", "KERAS_PYTHON", "tensorflow"
    ),
    "Keras on torch": Route(
        "keras", "keras", ("keras", *TORCH), "NHWC", "PyTorch", "TORCH_PYTHON", "torch"
    ),
    "Keras on JAX": Route(
        "keras", "keras", ("keras", "jax", "jax2onnx"), "NHWC", "JAX", "JAX_PYTHON", "jax"
    ),
    "jax2onnx": Route("jax", "nhwc", JAX, "NHWC", "JAX", "JAX_PYTHON"),
    "jax2onnx, inputs_as_nchw": Route("jax", "nchw", JAX, "NCHW", "JAX", "JAX_PYTHON"),
    "paddle2onnx": Route(
        "paddle", "paddle", ("paddle", "paddle2onnx"), "NCHW", "Paddle", "PADDLE_PYTHON"
    ),
}
#: The control of every network, the same with permuted weights, comes from this route.
CONTROL = "torch dynamo"


@functools.cache
def lacks(label):
    """Return why a route cannot be taken here, or an empty string."""
    route = ROUTES[label]
    find = f"import importlib.util as u; print(all(map(u.find_spec, {route.needs})))"
    command = [_python(route), "-c", find]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.stdout.strip() == "True":
        return ""
    return f"not all of {', '.join(route.needs)} are installed; see {route.interpreter}"


def there():
    """Return the routes that can be taken here."""
    return [label for label in ROUTES if not lacks(label)]


def called(network, label):
    """Return what a ranking calls the file of a network that a route wrote: its stem."""
    return f"{network}-{label.replace(', ', '-').replace(' ', '-')}"


def _python(route):
    return os.environ.get(route.interpreter, sys.executable)


class Files:
    """The files of all routes; those of a framework are made when one is first asked for."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def find(self, label, network):
        """Return the file of a network that a route wrote.

        Raises:
            RuntimeError: Its framework could not export it.
        """
        route = ROUTES[label]
        folder = self._made(route.maker, route.backend)
        path = folder / f"{network}-{route.way}.onnx"
        reason = path.with_suffix(".error")
        if reason.exists():
            raise RuntimeError(f"cannot be exported: {reason.read_text().strip()[-2000:]}")
        if not path.exists():
            raise RuntimeError(f"its maker ended early: {(folder / 'log').read_text()[-2000:]}")
        named = self.folder / f"{called(network, label)}.onnx"
        shutil.copyfile(path, named)
        return named

    def all(self, network):
        """Return the files of all routes that could export a network."""
        found = []
        for label in there():
            try:
                found.append(self.find(label, network))
            except RuntimeError:
                continue  # The tests of this route say so.
        return found

    @functools.cache  # noqa: B019 - they live as long as the tests
    def ranking(self, networks, method, at="feature", centred=False):
        """Return what `onnxattr.rank` makes of all files of some networks.

        Args:
            networks: Names with blanks between them.
            method: Of attribution.
            at: What is attributed.
            centred: Whether each file's mean map over the probes is removed.
        """
        import onnxattr

        options = onnxattr.Options(
            method=method,
            at=at,
            limit=PROBES,
            paper=not centred,
            device="cpu",
            store=self.folder / "store",
        )
        files = [path for network in networks.split() for path in self.all(network)]
        if at == "feature":
            files.append(self.find(CONTROL, f"{networks}_permuted"))
        return onnxattr.rank(files, options=options)

    def _made(self, maker, backend):
        folder = self.folder / (f"{maker}-{backend}" if backend else maker)
        if folder.exists():
            return folder
        folder.mkdir(parents=True)
        routes = {
            label: r for label, r in ROUTES.items() if (r.maker, r.backend) == (maker, backend)
        }
        names = [f"{network}-{route.way}" for network in BLUEPRINTS for route in routes.values()]
        if CONTROL in routes:
            names += [f"{network}_permuted-{ROUTES[CONTROL].way}" for network in BLUEPRINTS]
        python = _python(next(iter(routes.values())))
        made = subprocess.run(
            [python, str(MAKERS / f"route_{maker}.py"), str(folder), *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": "1"}
            | os.environ
            | ({"KERAS_BACKEND": backend} if backend else {}),
            timeout=1800,
            check=False,
        )
        (folder / "log").write_bytes(made.stdout)
        return folder


def likeness(ranking, first, second):
    """Return the cosine of two models' maps on each probe."""
    names = ranking.similarity.names
    return ranking.similarity.per_probe[names.index(first), names.index(second)]
