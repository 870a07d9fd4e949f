"""Round trips: a source of a framework, `onnxattr export`, and the framework's own outputs.

The sources are made, and exported, by the interpreter that the environment variable of a framework
names, such as SKLEARN_PYTHON; by default that of the tests. See `test_networks.py` for how to make
environments for JAX and PaddlePaddle.
"""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import onnx
import pytest

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

import onnxattr  # noqa: E402
from onnxattr.pipeline import adapters  # noqa: E402

MAKERS = Path(__file__).resolve().parent / "makers"
PROJECT = tomllib.loads((MAKERS.parents[2] / "pyproject.toml").read_text())["project"]
NEEDS = {
    "torch": ("torch", "onnxscript"),
    "keras": ("keras", "tensorflow", "tf2onnx"),
    "jax": ("jax", "flax", "jax2onnx"),
    "paddle": ("paddle", "paddle2onnx"),
    "sklearn": ("sklearn", "skl2onnx", "skops"),
}
IMAGE, EXAMPLE = {"layout": "NHWC"}, {"example": ("2x3x16x16",)}
TORCH = {**EXAMPLE, "adapter": "pytorch"}
BYTES = {"layout": "NHWC", "range": "0 255"}

#: Framework, source, what is said of it, whose outputs it has, what is written, its input.
CASES = [
    ("torch", "n.pt2", {}, "torch", {}),
    ("torch", "script.pt", EXAMPLE, "torch", {}),
    ("torch", "trace.ts", EXAMPLE, "torch", {}),
    ("torch", "tiny_torch:make", {**TORCH, "state_dict": "weights.safetensors"}, "torch", {}),
    ("torch", "tiny_torch:make", {**EXAMPLE, "state_dict": "weights.pth"}, "torch", {}),
    ("torch", "tiny_torch:make", {**EXAMPLE, "state_dict": "checkpoint.pth"}, "torch", {}),
    ("keras", "scaled.keras", {}, "scaled", BYTES),
    ("keras", "scaled.h5", {}, "scaled", BYTES),
    ("keras", "normal.keras", {}, "normal", BYTES),
    ("keras", "saved", {}, "plain", IMAGE),
    ("keras", "plain.tflite", {}, "plain", IMAGE),
    ("jax", "tiny_jax:make", {"adapter": "jax", "example": ("2x16x16x3",)}, "module", {}),
    ("jax", "tiny_jax:function", {"adapter": "jax", "example": ("2x6",)}, "function", {}),
    ("paddle", "paddle", {}, "network", {}),
    ("paddle", "paddle/inference.json", {}, "network", {}),
    ("sklearn", "classifier.skops", {}, "classifier", {}),
    ("sklearn", "regressor.skops", {}, "regressor", {}),
    ("sklearn", "scaler.skops", {}, "scaler", {}),
]
REFUSED = [
    ("torch", "pickled.pt", EXAMPLE, "it is no TorchScript: pickled modules and bare weights"),
    ("torch", "script.pt", {}, "it does not say what its input is: --example"),
    ("torch", "script.pt", {"example": ("2x1x16x16",)}, "cannot run on an example of 2×1×16×16"),
    ("torch", "weights.pth", {**EXAMPLE, "adapter": "pytorch"}, "it is no TorchScript"),
    ("torch", "missing.pt2", {}, "there is no such file"),
    ("torch", "tiny_torch:nothing", TORCH, "the module `tiny_torch` has no `nothing`"),
    ("torch", "tiny_torch:needs_an_argument", TORCH, "cannot be called without arguments"),
    ("torch", "tiny_torch:makes_a_number", TORCH, "makes a `int`, not a torch.nn.Module"),
    ("torch", "tiny_torch:Dense", TORCH, "torch cannot export this module"),
    (
        "torch",
        "tiny_torch:Dense",
        {**TORCH, "state_dict": "weights.pth"},
        "the state dict does not fit the module",
    ),
    (
        "torch",
        "tiny_torch:make",
        {**TORCH, "state_dict": "pickled.pt"},
        "the state dict cannot be read: Weights only load failed",
    ),
    ("keras", "broken.keras", {}, "Keras cannot read it"),
    ("keras", "random", {}, "tf2onnx has nothing for `StatelessRandom"),
    ("keras", "broken.tflite", {}, "tflite cannot run it"),
    ("jax", "tiny_jax:make", {"adapter": "jax"}, "--example 1x224x224x3"),
    ("sklearn", "unfitted.skops", {}, "it is not fitted"),
    ("sklearn", "code.skops", {}, "types that skops does not trust: posix.system"),
    ("sklearn", "broken.skops", {}, "skops cannot read it"),
]


def label(value):
    if isinstance(value, str):
        return value
    return Path(value.get("state_dict", "")).name if isinstance(value, dict) else None


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    """The adapters of this checkout, whatever was there when it was installed."""
    listed = PROJECT["entry-points"]["onnxattr.adapters"]
    made = [EntryPoint(name, value, adapters.GROUP) for name, value in listed.items()]
    monkeypatch.setattr(adapters, "entry_points", lambda group: made)


def interpreter(framework):
    """Return the interpreter for a framework, or skip the test where it lacks a package."""
    python = os.environ.get(f"{framework.upper()}_PYTHON", sys.executable)
    find = f"import importlib.util as u; print(all(map(u.find_spec, {NEEDS[framework]})))"
    found = subprocess.run([python, "-c", find], capture_output=True, text=True, check=False)
    if found.stdout.strip() != "True":
        pytest.skip(f"not all of {', '.join(NEEDS[framework])} are installed")
    return python


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the folder with the sources of a framework, all made by one process."""
    folders = {}

    def make(framework, python):
        if framework not in folders:
            folder = folders[framework] = tmp_path_factory.mktemp(f"{framework}-sources")
            for suffix in ("keras", "tflite", "skops"):
                (folder / f"broken.{suffix}").write_bytes(b"broken")
            subprocess.run(
                [python, str(MAKERS / "source_maker.py"), framework, str(folder)],
                capture_output=True,
                check=True,
                env={"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | os.environ,
            )
        return folders[framework]

    return make


@pytest.fixture
def export(made, tmp_path, monkeypatch):
    """Exports a source; returns the folder of its framework's sources, and the file."""

    def export(framework, source, said):
        python = interpreter(framework)
        folder = made(framework, python)
        if ":" in source:  # such modules are looked for in the working directory
            monkeypatch.chdir(MAKERS)
            place = source
        else:
            place = str(folder / source)
        if "state_dict" in said:
            said = {**said, "state_dict": folder / said["state_dict"]}
        other = None if python == sys.executable else python
        options = onnxattr.ExportOptions(trust_source=True, python=other, **said)
        return folder, onnxattr.export(place, tmp_path / "net.onnx", options=options)

    return export


@pytest.mark.parametrize(("framework", "source", "said", "name", "written"), CASES, ids=label)
def test_the_file_computes_what_the_framework_computes(
    export, framework, source, said, name, written
):
    folder, path = export(framework, source, said)

    native = dict(np.load(folder / f"{name}.npz"))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: native["input_0"]})
    references = [native[f"output_{i}"] for i in range(len(outputs))]
    for output, reference in zip(outputs, references, strict=True):
        assert output.shape == reference.shape
        np.testing.assert_allclose(output, reference, atol=1e-4 * np.abs(reference).max())
    stamped = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert stamped == {f"onnxattr.{part}": value for part, value in written.items()}
    (inspected,) = onnxattr.inspect(path).models
    assert inspected.sha256
    if native["input_0"].ndim == 4:  # tables have no layout
        assert inspected.problems == ()
        assert inspected.spec.layout == ("NCHW" if native["input_0"].shape[1] == 3 else "NHWC")
        for part, value in written.items():
            assert inspected.spec.sources[part] in ("metadata", "graph"), (part, value)


@pytest.mark.parametrize(("framework", "source", "said", "reason"), REFUSED, ids=label)
def test_what_cannot_be_exported_is_told_in_one_line(
    export, tmp_path, framework, source, said, reason
):
    with pytest.raises(onnxattr.ExportError) as caught:
        export(framework, source, said)

    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("exact_eight_bits")
def test_a_network_of_eight_bits_is_exact_to_its_steps(export):
    folder, path = export("keras", "bytes.tflite", {})

    native = dict(np.load(folder / "bytes.npz"))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: native["input_0"]})
    assert output.dtype == native["output_0"].dtype == np.uint8
    assert np.abs(output.astype(int) - native["output_0"]).max() <= 2
    assert len(np.unique(output)) > 3  # an output that says nothing would pass, too
    stamped = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert stamped == {"onnxattr.layout": "NHWC", "onnxattr.range": "0 255"}


def test_what_timm_knows_is_written(export):
    said = {"adapter": "pytorch"}  # the configuration has the size, too
    _, path = export("torch", "tiny_torch:with_configuration", said)

    stamped = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert stamped == {
        "onnxattr.layout": "NCHW",
        "onnxattr.range": "0 1",
        "onnxattr.size": "20x24",
        "onnxattr.mean": "0.485 0.456 0.406",
        "onnxattr.std": "0.229 0.224 0.225",
        "onnxattr.resize": "letterbox",
    }


def test_a_ranking_of_three_frameworks(made):
    """Sources of PyTorch and Keras, and a sample; the same source is its own nearest."""
    torch_folder = made("torch", interpreter("torch"))
    keras_folder = made("keras", interpreter("keras"))
    sample = MAKERS.parents[2] / "samples/models/rgb2depth-torch.onnx"
    sources = [
        torch_folder / "n.pt2",
        keras_folder / "saved",
        keras_folder / "plain.tflite",
        torch_folder / "pickled.pt",
        sample,
    ]
    options = onnxattr.Options(
        export=onnxattr.ExportOptions(trust_source=True), limit=4, device="cpu"
    )
    result = onnxattr.rank(sources, target="saved", options=options)

    assert [model.name for model in result.models] == [
        "n.pt2",
        "saved",
        "plain.tflite",
        "rgb2depth-torch",
    ]
    assert [failure.name for failure in result.failures] == ["pickled.pt"]
    (target,) = result.targets
    assert target.sources[0].name == "plain.tflite"
    assert target.sources[0].similarity > 0.9999
