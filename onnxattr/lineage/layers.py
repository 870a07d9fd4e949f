"""From a model as it was given to its layers, in one form whatever the exporter wrote."""

from onnxattr.types import Model, Weights


def weights_of_model(model: Model) -> Weights:
    """Returns the layers of a loaded model: batch norm folded, casts and quantisation undone.

    Args:
        model: From `graph.load.load`.

    Raises:
        SupportError: The graph cannot be rewritten.
        LimitError: The layers would take more than they may.
    """
    raise NotImplementedError
