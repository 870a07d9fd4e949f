"""Thousands of short tests: one store for all, and one thread."""

import pytest
import torch


@pytest.fixture(autouse=True)
def own_store():
    """Nothing is stored here; a directory for each test would take longer than the tests."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Cases this small only lose by being shared among threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
