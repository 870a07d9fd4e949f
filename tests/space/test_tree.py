"""Trees against SciPy and a slow linkage, embeddings against distances."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from onnxattr.errors import InputError, UsageError
from onnxattr.space.embedding import embedding, symmetrised
from onnxattr.space.tree import LINKAGES, clusters, newick, tree

NAMES = tuple("abcdefgh")


def cosines(count: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 5)) + 0.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def single_linkage(matrix: np.ndarray) -> list[tuple[frozenset[int], float]]:
    """Groups as they are joined: always the two that have the nearest pair of rows."""
    distance = [[float(np.sqrt(((a - b) ** 2).sum())) for b in matrix] for a in matrix]
    groups = [frozenset([i]) for i in range(len(matrix))]
    merges = []
    while len(groups) > 1:
        near, one, other = min(
            (min(distance[i][j] for i in a for j in b), sorted(a), sorted(b))
            for a in groups
            for b in groups
            if a != b
        )
        groups = [g for g in groups if sorted(g) not in (one, other)] + [frozenset(one + other)]
        merges.append((groups[-1], near))
    return merges


def groups_of(merges: np.ndarray, count: int) -> list[tuple[frozenset[int], float]]:
    groups = [frozenset([i]) for i in range(count)]
    for left, right, _, size in merges:
        groups.append(groups[int(left)] | groups[int(right)])
        assert len(groups[-1]) == size
    return list(zip(groups[count:], merges[:, 2], strict=True))


def test_the_papers_tree() -> None:
    matrix = cosines()
    ours = groups_of(tree(matrix, NAMES).merges, 8)
    for (one, near), (other, expected) in zip(ours, single_linkage(matrix), strict=True):
        assert one == other
        assert near == pytest.approx(expected)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_equals_scipys(linkage: str) -> None:
    matrix = cosines()
    expected = hierarchy.optimal_leaf_ordering(
        hierarchy.linkage(pdist(matrix), linkage), pdist(matrix)
    )
    result = tree(matrix, NAMES, linkage)
    np.testing.assert_array_equal(result.merges, expected)
    assert list(result.leaves) == hierarchy.leaves_list(expected).tolist()


def test_neighbouring_leaves_are_as_near_as_they_can_be() -> None:
    """No order that turns the two sides of one merge around has a shorter way."""
    matrix = cosines(7)
    distance = squareform(pdist(matrix))
    result = tree(matrix, NAMES[:7])

    def way(leaves: list[int]) -> float:
        return sum(distance[a, b] for a, b in pairwise(leaves))

    for group, _ in groups_of(result.merges, 7):
        start = min(result.leaves.index(i) for i in group)
        stop = start + len(group)
        leaves = list(result.leaves)
        turned = leaves[:start] + leaves[start:stop][::-1] + leaves[stop:]
        assert way(turned) >= way(leaves) - 1e-12


def test_many_models_are_not_put_in_the_best_order() -> None:
    matrix = cosines(501)
    result = tree(matrix, tuple(str(i) for i in range(501)))
    np.testing.assert_array_equal(result.merges, hierarchy.linkage(matrix, "single"))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 8), st.sampled_from(LINKAGES))
def test_clusters(seed: int, count: int, linkage: str) -> None:
    result = tree(cosines(seed=seed), NAMES, linkage)
    labels = clusters(result, count=count)
    assert set(labels) == {*range(1, count + 1)}
    # In the order of the leaves, and each group in one piece.
    along = [labels[leaf] for leaf in result.leaves]
    assert along == sorted(along)
    # The merges below the cut are inside groups, those above are not.
    for group, _ in groups_of(result.merges, 8)[: 8 - count]:
        assert len({labels[i] for i in group}) == 1


def test_clusters_by_height() -> None:
    matrix = np.kron(np.eye(2), np.ones((3, 3)))
    result = tree(matrix, NAMES[:6], "average")
    labels = clusters(result, height=0.5)
    assert labels[:3] in ([1] * 3, [2] * 3)
    assert labels[3:] == [3 - labels[0]] * 3
    assert clusters(result, height=10.0) == [1] * 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "by a number of groups or by a height"),
        ({"count": 2, "height": 1.0}, "by a number of groups or by a height"),
        ({"count": 0}, "`0` groups"),
        ({"count": 9}, "`9` groups cannot be made of `8` models"),
        ({"height": float("nan")}, "height of `nan`"),
    ],
)
def test_clusters_that_cannot_be_made(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        clusters(tree(cosines(), NAMES), **options)


def read_newick(text: str) -> tuple[dict[str, float], float]:
    """How far each leaf is from the root, and the sum of all branches."""
    depths: dict[str, float] = {}
    open_leaves: list[list[str]] = [[]]
    total = 0.0
    token = re.compile(r"\(|\)|,|;|'(?:[^']|'')*'|:[^,();]+|[^,();:']+")
    last: list[str] = []
    for part in token.findall(text):
        if part == "(":
            open_leaves.append([])
        elif part == ")":
            last = open_leaves.pop()
            open_leaves[-1] += last
        elif part.startswith(":"):
            total += float(part[1:])
            for leaf in last:
                depths[leaf] += float(part[1:])
        elif part not in ",;":
            name = part[1:-1].replace("''", "'") if part.startswith("'") else part
            depths[name] = 0.0
            last = [name]
            open_leaves[-1].append(name)
    return depths, total


@pytest.mark.parametrize("linkage", LINKAGES)
def test_newick(linkage: str) -> None:
    names = ("a", "b c", "d(e)", "f'g", "h,i:j;", "k-1.2", "ü", "[l]")
    result = tree(cosines(), names, linkage)
    text = newick(result)
    depths, total = read_newick(text)
    assert set(depths) == set(names)
    for name in names:
        # Half the way of the last merge from the root, for every leaf.
        assert depths[name] == pytest.approx(result.merges[-1, 2] / 2, rel=1e-4)
    assert total == pytest.approx(
        result.merges[:, 2].sum() / 2 + result.merges[-1, 2] / 2, rel=1e-4
    )
    assert text.endswith(");")
    assert "'f''g'" in text


def test_a_chain_of_models_is_no_recursion() -> None:
    matrix = np.zeros((3000, 1)) + np.cumsum(np.arange(3000.0))[:, None]
    merges = hierarchy.linkage(matrix, "single")
    result = type(tree(cosines(), NAMES))(
        tuple(str(i) for i in range(3000)), merges, tuple(range(3000)), "single"
    )
    assert newick(result).count(",") == 2999


class TestEmbedding:
    def test_points_in_the_plane_come_back(self) -> None:
        points = np.random.default_rng(0).normal(size=(7, 2))
        result = embedding(points @ points.T, NAMES[:7])
        np.testing.assert_allclose(pdist(result.points), pdist(points), atol=1e-10)
        assert sum(result.kept) == pytest.approx(1)
        assert result.kept[0] >= result.kept[1]
        np.testing.assert_allclose(result.points.mean(axis=0), 0, atol=1e-12)

    def test_what_is_kept_is_the_share_of_the_squared_distances(self) -> None:
        """From the distances alone, with Gower's double centring written out."""
        matrix = cosines()
        squared = np.array(
            [[matrix[i, i] + matrix[j, j] - 2 * matrix[i, j] for j in range(8)] for i in range(8)]
        )
        j = np.eye(8) - 1 / 8
        values = np.sort(np.linalg.eigvals(-0.5 * j @ squared @ j).real)[::-1]
        result = embedding(matrix, NAMES)
        np.testing.assert_allclose(result.kept, values[:2] / np.abs(values).sum(), atol=1e-10)
        full = embedding(matrix, NAMES, dimensions=8)
        np.testing.assert_allclose(squareform(pdist(full.points)) ** 2, squared, atol=1e-10)

    def test_what_no_points_can_show_counts_as_not_shown(self) -> None:
        matrix = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]])
        values = np.linalg.eigvalsh(
            matrix - matrix.mean(0) - matrix.mean(1)[:, None] + matrix.mean()
        )
        assert values.min() < -0.05
        assert sum(embedding(matrix, NAMES[:3], 3).kept) < 0.97

    def test_the_same_matrix_makes_the_same_picture(self) -> None:
        matrix = cosines()
        order = np.random.default_rng(0).permutation(8)
        first = embedding(matrix, NAMES)
        again = embedding(matrix + 1e-14 * np.random.default_rng(1).normal(size=(8, 8)), NAMES)
        np.testing.assert_allclose(first.points, again.points, atol=1e-9)
        moved = embedding(matrix[np.ix_(order, order)], tuple(NAMES[i] for i in order))
        np.testing.assert_allclose(np.abs(moved.points), np.abs(first.points[order]), atol=1e-9)

    def test_two_models_and_equal_models(self) -> None:
        two = embedding(np.array([[1.0, 0.5], [0.5, 1.0]]), NAMES[:2])
        np.testing.assert_allclose(two.points, [[0.5, 0.0], [-0.5, 0.0]], atol=1e-12)
        equal = embedding(np.ones((4, 4)), NAMES[:4])
        np.testing.assert_allclose(equal.points, 0, atol=1e-7)
        assert equal.kept == (0.0, 0.0)

    def test_a_directed_measure_is_to_be_made_symmetric(self) -> None:
        matrix = cosines()
        matrix[0, 1] += 0.3
        with pytest.raises(InputError, match="same in both directions") as caught:
            embedding(matrix, NAMES)
        assert caught.value.hint
        assert embedding(symmetrised(matrix), NAMES).points.shape == (8, 2)


@pytest.mark.parametrize("draw", [tree, embedding])
def test_what_cannot_be_drawn(draw) -> None:
    matrix = cosines()
    with pytest.raises(InputError, match="two models or more, not `1`"):
        draw(matrix[:1, :1], ("a",))
    with pytest.raises(InputError, match="`8` models are a matrix of `8×7`"):
        draw(matrix[:, :7], NAMES)
    matrix[2, 5] = np.nan
    with pytest.raises(InputError, match="`c` and `f` have no similarity"):
        draw(matrix, NAMES)


def test_an_unknown_linkage() -> None:
    with pytest.raises(UsageError, match="no linkage `singel`") as caught:
        tree(cosines(), NAMES, "singel")
    assert "did you mean `single`?" in caught.value.hint
