"""What follows from how weights agree, held against pairs that are known to be independent."""

from collections.abc import Sequence

from onnxattr.types import WeightFinding, WeightMatch


def finding_of(match: WeightMatch, independent: Sequence[WeightMatch] = ()) -> WeightFinding:
    """Returns what the weights say of a pair.

    Args:
        match: The pair.
        independent: Pairs of models that are known to be trained apart, of other references or of
            twins among each other; their order changes nothing.
    """
    raise NotImplementedError
