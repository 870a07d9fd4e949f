"""Makes the adapters importable from a checkout, and loads Triton before TensorFlow can be."""

import contextlib
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE.parents[1], HERE.parents[1] / "adapters"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# torch's exporter imports Triton, which crashes the process if TensorFlow was imported before it
# (two copies of LLVM); the other order works, and these tests need both in one process.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.exporters)


@pytest.fixture(scope="session")
def exact_eight_bits():
    """Skips where ONNX Runtime's own products of eight bits are not exact: x86 without VNNI.

    There it adds pairs of products in 16 bits, which saturate:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8
    """
    import numpy as np
    import onnxruntime as ort
    from onnx import parser

    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 13]>
        g (uint8[1,2] a) => (int32[1,1] y) <int8[2,1] b = {127, 127}> { y = MatMulInteger(a, b) }"""
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"a": np.full((1, 2), 255, np.uint8)})
    if found != 2 * 255 * 127:
        pytest.skip("ONNX Runtime's products of eight bits saturate on this processor")
