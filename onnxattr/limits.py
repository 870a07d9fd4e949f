"""What a model may cost. Imports nothing, so that every layer can hold to it."""

from dataclasses import dataclass

_GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """Bounds on what one model may take; what goes beyond is refused, or stopped.

    Attributes:
        memory: Bytes of resident memory of a worker; None for three quarters of the machine's.
        seconds: Wall time of a model.
        file_size: Bytes of a model file with all of its external data.
        tensors: Bytes of all tensors that one pass over the smallest possible batch makes, as the
            graph's shapes tell before anything is run, and of all maps of a model.
        nodes: Nodes of a graph with its subgraphs and functions, as they are stored.
        expansion: Nodes once every function is inlined at every call.
        iterations: Turns of a Loop or a Scan, with those of all inside it, and parts of a sequence
            that is made at once.
        name: Characters of a name.
        gpu_memory: Fraction of a GPU's memory, 0..1.
    """

    memory: int | None = None
    seconds: float = 600.0
    file_size: int = 2**31 - 1
    tensors: int = 16 * _GIB
    nodes: int = 100_000
    expansion: int = 200_000
    iterations: int = 100_000
    name: int = 4096
    gpu_memory: float = 0.9
