"""Makes the adapters importable from a checkout, and loads Triton before TensorFlow can be."""

import contextlib
import sys
from pathlib import Path

for folder in (Path(__file__).parents[2], Path(__file__).parents[2] / "adapters"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# torch's exporter imports Triton, which crashes the process if TensorFlow was imported before it
# (two copies of LLVM); the other order works, and these tests need both in one process.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
