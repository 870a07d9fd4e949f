"""The ONNX backend suite's cases are here, too, and one thread."""

import sys
from pathlib import Path

import pytest
import torch

BACKEND = Path(__file__).resolve().parents[2] / "backend"
if str(BACKEND) not in sys.path:
    sys.path.append(str(BACKEND))


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
