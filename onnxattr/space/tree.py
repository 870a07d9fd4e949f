"""Models as a tree: which are alike, and which groups are alike."""

from dataclasses import dataclass

import numpy as np

from onnxattr.arrays import Float64
from onnxattr.errors import InputError, UsageError
from onnxattr.registry import closest

#: Ways to say how far two groups are apart: by their nearest pair, by the mean of all pairs, or by
#: how much the squared distances from the mean grow when they are joined.
LINKAGES = ("single", "average", "ward")

#: Models up to which the leaves are put in the best order; it takes a time that grows with the
#: cube of their number (500 models: seconds; 2,000: minutes).
ORDERED = 500


@dataclass(frozen=True, eq=False)
class Tree:
    """Models joined two by two.

    Attributes:
        names: One a model.
        merges: float64 [merge, 4], as SciPy's: the two that are joined (models are 0..n − 1, the
            k-th merge is n + k), their distance, and the number of models in the new group.
        leaves: Models in the order in which a drawing shows them.
        linkage: One of `LINKAGES`.
    """

    names: tuple[str, ...]
    merges: Float64
    leaves: tuple[int, ...]
    linkage: str


def tree(matrix: Float64, names: tuple[str, ...], linkage: str = "single") -> Tree:
    """Returns the tree of models that are alike to the same models.

    Two models are as far apart as their rows of the matrix: √Σₖ (sᵢₖ − sⱼₖ)². With `single` that is
    the task similarity tree of Song et al. 2019. Leaves are in the order in which neighbours are
    nearest (Bar-Joseph et al. 2001), for up to 500 models.

    Args:
        matrix: Similarities, [model, model]. It need not be symmetric: rows are of targets in a
            matrix [target, source], of sources in its transpose.
        names: One a model.
        linkage: One of `LINKAGES`.

    Raises:
        InputError: There are fewer than two models, the matrix is not square, or a value is none.
        UsageError: There is no such linkage.
    """
    from scipy.cluster import hierarchy

    if linkage not in LINKAGES:
        raise UsageError(f"there is no linkage `{linkage}`", hint=closest(linkage, LINKAGES))
    check(matrix, names, "tree")
    merges = hierarchy.linkage(
        matrix, method=linkage, metric="euclidean", optimal_ordering=len(names) <= ORDERED
    )
    leaves = tuple(int(leaf) for leaf in hierarchy.leaves_list(merges))
    return Tree(tuple(names), merges, leaves, linkage)


def clusters(result: Tree, *, count: int | None = None, height: float | None = None) -> list[int]:
    """Returns the group of each model, 1, 2, … in the order of the leaves.

    Args:
        result: The tree.
        count: Number of groups; where merges are equally far, there may be fewer.
        height: Distance at which the tree is cut instead: what is joined up to it is one group.

    Raises:
        UsageError: Not exactly one of the two is given, or one makes no sense.
    """
    from scipy.cluster import hierarchy

    if (count is None) == (height is None):
        raise UsageError("a tree is cut by a number of groups or by a height")
    if count is not None and not 1 <= count <= len(result.names):
        raise UsageError(f"`{count}` groups cannot be made of `{len(result.names)}` models")
    if height is not None and not height >= 0:
        raise UsageError(f"a tree cannot be cut at a height of `{height}`")
    if count is not None:
        labels = hierarchy.fcluster(result.merges, count, criterion="maxclust")
    else:
        labels = hierarchy.fcluster(result.merges, height, criterion="distance")
    seen = list(dict.fromkeys(int(labels[leaf]) for leaf in result.leaves))
    return [seen.index(int(label)) + 1 for label in labels]


def newick(result: Tree) -> str:
    """Returns the tree in Newick's format, with half of each merge's distance as its height.

    So two models are as far apart along the tree as the merge that joins them. Names are quoted
    where the format asks for it.
    """
    # A loop, not a recursion: a chain of thousands of models is a tree of that depth.
    count = len(result.names)
    texts = [_quoted(name) for name in result.names]
    heights = [0.0] * count
    for left, right, distance, _ in result.merges:
        # Of single and average linkage merges never shrink, nor of Ward's; rounding may.
        height = max(distance / 2, heights[int(left)], heights[int(right)])
        branches = (
            f"{texts[int(side)]}:{height - heights[int(side)]:.9g}" for side in (left, right)
        )
        texts.append(f"({','.join(branches)})")
        heights.append(height)
        # What is joined is needed no more; kept, the text of a chain would grow as its square.
        texts[int(left)] = texts[int(right)] = ""
    return texts[-1] + ";"


def _quoted(name: str) -> str:
    plain = name.replace("-", "").replace(".", "")
    return name if plain.isalnum() and plain.isascii() else "'" + name.replace("'", "''") + "'"


def check(matrix: Float64, names: tuple[str, ...], what: str) -> None:
    """Makes sure that a matrix of similarities can be drawn.

    Raises:
        InputError: There are fewer than two models, the matrix is not square, or a value is none.
    """
    count = len(names)
    if count < 2:
        raise InputError(f"a {what} takes two models or more, not `{count}`")
    if matrix.shape != (count, count):
        shape = "×".join(str(size) for size in matrix.shape)
        raise InputError(f"the similarities of `{count}` models are a matrix of `{shape}`")
    bad = ~np.isfinite(matrix)
    if bad.any():
        one, other = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"`{names[one]}` and `{names[other]}` have no similarity",
            hint=f"leave out a model that has none, then draw the {what}",
        )
