"""How much memory a probe takes, and how many of them are taken at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

#: Probes at a time on the CPU, where more gain nothing (8 was near the best on all networks that
#: were measured), and the most on a GPU. Results depend on it in the last bits.
BATCH, MOST = 8, 64

#: How much more than what is measured a batch may need: a method may run more than one gradient,
#: and what it needs on the way is freed again.
_MARGIN = 2.0

#: Of the memory that is free.
_SHARE = 0.8


@dataclass
class Taken:
    """Bytes that a pass took beside the network's own."""

    bytes: int = 0


@contextmanager
def measured(module: nn.Module, device: str) -> Iterator[Taken]:
    """Measures what passes in the body take.

    On CUDA it is the allocator's peak; elsewhere it is what autograd keeps for the way back, each
    storage once, which is most of it.

    Args:
        module: The network, whose parameters do not count.
        device: As torch names it.

    Yields:
        What was taken; filled at the end.
    """
    taken = Taken()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield taken
        taken.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    own = {_storage(t)[0] for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        place, size = _storage(tensor)
        if place not in own:
            # A place that is freed and taken again counts as the larger of both.
            kept[place] = max(size, kept.get(place, 0))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield taken
    taken.bytes = sum(kept.values())


def _storage(tensor: torch.Tensor) -> tuple[int, int]:
    if tensor.device.type == "meta":
        return id(tensor), tensor.nbytes
    storage: Any = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


def size_of_batch(taken: Taken, probes: int, device: str, free: int | None = None) -> int:
    """Returns how many probes are taken at a time, by what some of them took.

    It is a power of two: at most `BATCH` on the CPU and `MOST` on a GPU, and at least one.

    Args:
        taken: By a pass over `probes` probes.
        probes: How many those were.
        device: As torch names it.
        free: Bytes that there are; by default those that the system says are free.
    """
    most = BATCH if torch.device(device).type in ("cpu", "meta") else MOST
    free = free_memory(device) if free is None else free
    if free is None or not taken.bytes:
        return min(most, BATCH)
    size = most
    while size > 1 and size * _MARGIN * taken.bytes / probes > _SHARE * free:
        size //= 2
    return size


def free_memory(device: str) -> int | None:
    """Returns bytes that a device has left, or None where it does not say."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds and does not use is free to it.
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + idle)
    if torch.device(device).type != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            rows = dict(line.split(":", 1) for line in file)
        return int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows and macOS.
        return None
