"""Measures of the trained samples, from their files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxattr
from onnxattr.pipeline.rank import OF_TARGET
from onnxattr.report.json import to_json
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import MEASURES

SAMPLES = Path(__file__).parents[2] / "samples" / "models"
FIXTURES = Path(__file__).parents[1] / "fixtures"
EDGES = [SAMPLES / "edge2d-jax.onnx", SAMPLES / "edge2d-torch.onnx"]


def units(path: Path, value: str, images: np.ndarray, *, nhwc: bool) -> np.ndarray:
    """What ONNX Runtime makes of a file by itself, channels first."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    size = 64
    assert images.shape[1:3] == (size, size)
    given = (images / 255).astype(np.float32)
    given = given if nhwc else given.transpose(0, 3, 1, 2)
    (found,) = session.run([value], {session.get_inputs()[0].name: given})
    return found.transpose(0, 3, 1, 2) if nhwc else found


@pytest.fixture(scope="module")
def probes() -> onnxattr.Probes:
    loaded = onnxattr.load_probes(limit=100)
    step = loaded.values.shape[1] // 64
    assert loaded.values.shape[1] % 64 == 0
    values = np.ascontiguousarray(loaded.values[:, ::step, ::step])
    return dataclasses.replace(loaded, values=values)


def test_edges_of_two_frameworks_predict_each_other(probes: onnxattr.Probes) -> None:
    """One is NHWC and the other NCHW; the numbers are those of the units by themselves."""
    options = onnxattr.Options(device="cpu", measure="predictability,cka")
    result = onnxattr.rank(list(map(str, EDGES)), probes=probes, options=options)
    predictability, cka = result.measures
    assert predictability.names == ("edge2d-jax", "edge2d-torch")
    evidence = [
        Evidence(m.name, representation=units(path, m.representation.value, probes.values, nhwc=n))
        for m, path, n in zip(result.models, EDGES, (True, False), strict=True)
    ]
    for measure in (predictability, cka):
        for i, j in ((0, 1), (1, 0)):
            expected = MEASURES[measure.measure](evidence[i], evidence[j]).mean()
            assert measure.matrix[i, j] == pytest.approx(expected, abs=1e-4)
    # Measured: .72 and .75; in the wrong order of the axes it would be below .4.
    assert predictability.matrix[0, 1] > 0.6
    assert predictability.matrix[1, 0] > 0.6
