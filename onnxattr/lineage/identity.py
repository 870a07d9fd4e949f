"""What a file is: hashes that do not see names and order, counts, and what it says of itself."""

from onnxattr.types import Identity, Model


def identity_of(model: Model, size: int) -> Identity:
    """Returns what a loaded model is.

    Args:
        model: From `graph.load.load`.
        size: Bytes of its file and external data.
    """
    raise NotImplementedError
