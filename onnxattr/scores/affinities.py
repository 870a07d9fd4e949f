"""Taskonomy's measured transfer, as the project publishes it: pickled dictionaries."""

from collections.abc import Iterator

from onnxattr.scores.pickled import read_pickle
from onnxattr.scores.table import finite, from_pairs, name_of
from onnxattr.types import Scores

#: What the files call tasks that are called otherwise everywhere else.
RENAMED = {
    "impainting_whole": "inpainting_whole",
    "vanishing_point_well_defined": "vanishing_point",
    "segmentsemantic_rb": "segmentsemantic",
}

_BETWEEN = "__"


def read_affinities(data: bytes, file: str) -> Scores:
    """Returns the affinities of every source and target: higher is better (Zamir et al. 2018).

    The files hold `"source__target"` → affinity after the analytic hierarchy process, and transfers
    from several sources, `"source__source__target"`, which are left out.

    Raises:
        ScoresError: The pickle is damaged or refused, or has no such pairs.
    """

    def pairs() -> Iterator[tuple[str, str, float]]:
        for key, value in read_pickle(data, file).items():
            names = key.split(_BETWEEN)
            if len(names) == 2:
                where = f"the key `{key[:80]}` of `{file}`"
                source, target = (RENAMED.get(name, name) for name in names)
                yield name_of(source, where), name_of(target, where), finite(value, where)

    return from_pairs(pairs(), file)
