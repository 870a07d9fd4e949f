"""How the weights of two models agree: layers aligned over depth, filters matched in each."""

from onnxattr.types import WeightMatch, Weights


def match_weights(
    suspect: Weights, reference: Weights, names: tuple[str, str] = ("", "")
) -> WeightMatch:
    """Returns how a suspect's weights agree with a reference's.

    Args:
        suspect: The suspect's layers.
        reference: The reference's.
        names: What the two are called.
    """
    raise NotImplementedError
