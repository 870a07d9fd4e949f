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


def pytest_configure(config):
    config.addinivalue_line("markers", "exporters: exports live from the frameworks")


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.exporters)
