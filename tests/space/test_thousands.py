"""Thousands of models: what is asked of them is what all pairs would say, without all pairs."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial import procrustes

from onnxattr.errors import InputError, ScoresError
from onnxattr.scores.ranked import from_pairs, from_similarity
from onnxattr.space import blocks, many
from onnxattr.space import embedding as embedding_module
from onnxattr.space.embedding import embedding, embedding_of_vectors
from onnxattr.space.nearest import nearest, search, sketch
from onnxattr.space.ranking import column, rank_by, rank_columns, rank_sources
from onnxattr.space.similarity import similarity


def families(models, probes, pixels, size=10, seed=0, spread=0.8):
    """Models in families of `size` that are alike, float32 [model, probe, pixel]."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((models // size, 1, probes, pixels), np.float32)
    own = rng.standard_normal((models // size, size, probes, pixels), np.float32)
    # Each model of a family has more of its own than the one before.
    own *= np.linspace(spread / 2, spread, size, dtype=np.float32)[:, None, None]
    return (shared + own).reshape(models, probes, pixels)


def units_of(maps, centred=True):
    """All maps of a model as one vector, so that products are mean cosines; plain NumPy."""
    rows = maps.astype(np.float64)
    rows /= np.sqrt((rows**2).sum(axis=2, keepdims=True))
    if centred:
        rows -= rows.mean(axis=1, keepdims=True)
        rows /= np.sqrt((rows**2).sum(axis=2, keepdims=True))
    return rows.reshape(len(maps), -1) / np.sqrt(maps.shape[1])


def broken(maps):
    maps = maps.copy()
    maps[1, 2] = 0.0
    maps[4, 0, 0] = np.nan
    return maps


@pytest.mark.parametrize("block", [1, 2**12, 2**28])
@pytest.mark.parametrize("centred", [True, False])
def test_a_row_and_the_gaps_are_those_of_all_cosines(centred, block):
    maps = broken(families(20, 5, 12, size=5))
    expected = similarity([m[:, None] for m in maps], [str(i) for i in range(20)], centred=centred)
    row = blocks.row(maps, 4, centred=centred, block=block)
    np.testing.assert_allclose(row, expected.per_probe[4], rtol=0, atol=1e-12)
    gaps = blocks.gaps(maps, centred=centred, block=block)
    assert tuple(gaps) == expected.unusable
    assert tuple(blocks.streamed_with_gaps(maps, centred=centred, block=block)[1]) == tuple(gaps)


@pytest.mark.parametrize("centred", [True, False])
def test_a_target_among_too_many_models_has_the_same_ranking(monkeypatch, centred):
    maps = [m.reshape(8, 3, 4) for m in broken(families(20, 8, 12, size=5))]
    names = [f"m{i:02}" for i in range(20)]
    full = similarity(maps, names, centred=centred)
    monkeypatch.setattr(many, "COSINES", 0)
    lean = many.compare(maps, names, centred=centred, whole=False)
    assert (lean.matrix.shape, lean.per_probe.shape) == ((0, 0), (0, 0, 0))
    assert lean.unusable == full.unusable
    pairs = many.column(lean, maps, 4)
    assert (pairs.matrix.shape, pairs.per_probe.shape) == ((20, 1), (20, 1, 8))
    ours, theirs = rank_by([pairs], lean, 4, seed=1), rank_sources(full, 4, seed=1)
    assert [s.name for s in ours.sources] == [s.name for s in theirs.sources]
    for one, other in zip(ours.sources, theirs.sources, strict=True):
        assert (one.rank, one.tied) == (other.rank, other.tied)
        for part in ("similarity", "low", "high", "distance"):
            assert getattr(one, part) == pytest.approx(getattr(other, part), abs=1e-12)
    assert from_pairs(pairs).targets == ("m04",)
    np.testing.assert_array_equal(from_pairs(pairs).values, pairs.matrix)


@pytest.mark.parametrize("models", [20, 5])
@pytest.mark.parametrize("centred", [True, False])
def test_the_closest_of_each_are_the_first_of_its_ranking(monkeypatch, models, centred):
    """With a matrix, and of more models than have one."""
    maps = [m.reshape(8, 3, 4) for m in broken(families(20, 8, 12, size=5))]
    names = [f"m{i:02}" for i in range(20)]
    full = similarity(maps, names, centred=centred)
    monkeypatch.setattr(many, "COSINES", 0)
    monkeypatch.setattr(many, "MODELS", models)
    lean = many.compare(maps, names, centred=centred)
    near = many.neighbours(lean, maps, 6)
    found = [
        rank_columns([each], names, place, seed=2)
        for place, each in enumerate(many.shortlists(lean, maps, near))
    ]
    assert len(found) == 20
    for place, ours in enumerate(found):
        theirs = rank_sources(full, place, seed=2).sources[:6]
        assert [s.name for s in ours.sources] == [s.name for s in theirs]
        assert [s.rank for s in ours.sources] == [s.rank for s in theirs]
        for one, other in zip(ours.sources, theirs, strict=True):
            for part in ("similarity", "low", "high"):
                assert getattr(one, part) == pytest.approx(getattr(other, part), abs=1e-12)


def test_two_thousand_models_without_their_cosines_on_each_probe():
    """The cosines of all pairs would take 2000² × 24 × 8 bytes, 768 MB."""
    maps = families(2000, 24, 64)
    listed = [m.reshape(24, 8, 8) for m in maps]
    names = [f"m{i:04}" for i in range(2000)]
    tracemalloc.start()
    result = many.compare(listed, names)
    near = many.neighbours(result, listed, 10)
    ranked = {}
    for place, each in enumerate(many.shortlists(result, listed, near)):
        if place % 400 == 7:
            ranked[place] = rank_columns([each], names, place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6
    rows = units_of(maps)
    for place, target in ranked.items():
        exact = rows @ rows[place]
        np.testing.assert_allclose(result.matrix[place], exact, rtol=0, atol=1e-12)
        order = [i for i in np.argsort(-exact) if i != place][:10]
        assert [s.name for s in target.sources] == [names[i] for i in order]
        assert all(s.low < s.similarity < s.high for s in target.sources)


def test_the_nearest_of_six_thousand_models_without_a_matrix():
    """The matrix would take 288 MB, in single precision 144."""
    maps = families(6000, 6, 48)
    tracemalloc.start()
    found = nearest(maps, 5, dimensions=512, block=2**24)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert not found.crowded.any()
    rows = units_of(maps)
    for place in range(0, 6000, 611):
        exact = rows @ rows[place]
        order = [i for i in np.argsort(-exact) if i != place][:5]
        assert found.models[place].tolist() == order
        np.testing.assert_allclose(found.similarity[place], exact[order], rtol=0, atol=1e-12)


def test_only_vectors_that_chance_may_have_put_behind_are_looked_at(monkeypatch):
    looked = []
    plain = blocks.pair_means
    monkeypatch.setattr(
        blocks, "pair_means", lambda maps, one, *rest, **how: (
            looked.append(len(one)), plain(maps, one, *rest, **how)
        )[1],
    )  # fmt: skip
    maps = families(200, 6, 40, spread=0.3)
    found = nearest(maps, 4, dimensions=4096)
    # 45 pairs a family; of all that are found there would be some 200 × 32 / 2.
    assert looked == [20 * 45]
    rows = units_of(maps)
    exact = rows @ rows.T
    np.fill_diagonal(exact, -2)
    np.testing.assert_array_equal(found.models, np.argsort(-exact, axis=1)[:, :4])


def test_models_that_are_all_as_near_are_said_to_be_crowded():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((300, 4, 30)).astype(np.float32)
    assert nearest(maps, 2, dimensions=64, margin=4).crowded.all()
    # Every one is looked at.
    assert not nearest(maps, 2, dimensions=64, margin=150).crowded.any()
    assert not search(rng.standard_normal((9, 4)).astype(np.float32), 3).crowded.any()


@pytest.mark.parametrize("size", [8, 50, 80])
def test_points_of_vectors_are_those_of_their_products(size, monkeypatch):
    monkeypatch.setattr(embedding_module, "_ROWS", 16)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50, size)) * np.linspace(3, 0.2, size) + 0.5
    vectors = vectors.astype(np.float32)
    exact = vectors.astype(np.float64)
    names = tuple(str(i) for i in range(50))
    found = embedding_of_vectors(vectors, names)
    expected = embedding(exact @ exact.T, names)
    np.testing.assert_allclose(found.points, expected.points, atol=1e-4)
    # And those of a singular value decomposition, which both are.
    sides, lengths, _ = np.linalg.svd(exact - exact.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.points), np.abs(sides * lengths)[:, :2], atol=1e-4)
    np.testing.assert_allclose(found.kept, (lengths**2 / (lengths**2).sum())[:2], atol=1e-6)
    again = embedding_of_vectors(vectors, names)
    np.testing.assert_array_equal(again.points, found.points)


def test_points_of_sketches_show_what_is_true_of_many_models():
    """Three groups of 200: the picture is that of the exact cosines."""
    maps = families(600, 6, 60, size=200)
    names = tuple(str(i) for i in range(600))
    found = embedding_of_vectors(sketch(maps, 1024), names)
    exact = embedding(blocks.streamed(maps), names)
    assert procrustes(exact.points, found.points)[2] < 0.01
    assert sum(found.kept) == pytest.approx(sum(exact.kept), abs=0.02)


def test_points_of_vectors_that_are_all_the_same():
    found = embedding_of_vectors(np.ones((5, 3), np.float32), tuple("abcde"))
    np.testing.assert_allclose(found.points, 0, atol=1e-5)
    assert found.kept == (0.0, 0.0)
    # One number a model: what there is of a second dimension is zero.
    flat = embedding_of_vectors(np.arange(5, dtype=np.float32)[:, None], tuple("abcde"))
    np.testing.assert_allclose(flat.points, [[2, 0], [1, 0], [0, 0], [-1, 0], [-2, 0]], atol=1e-6)
    assert flat.kept == pytest.approx((1, 0))
    with pytest.raises(InputError, match="not `2`"):
        embedding_of_vectors(np.ones((2, 3), np.float32), ("a", "b"))


def test_no_matrix_is_no_table(monkeypatch):
    maps = [m.reshape(4, 3, 2) for m in families(10, 4, 6)]
    monkeypatch.setattr(many, "COSINES", 0)
    lean = many.compare(maps, tuple("abcdefghij"), whole=False)
    with pytest.raises(ScoresError, match="ranking of `10` models keeps no matrix"):
        from_similarity(lean, "attribution")


def test_a_column_of_all_targets_is_one_of_theirs():
    maps = [m.reshape(4, 3, 2) for m in families(10, 4, 6)]
    full = similarity(maps, tuple("abcdefghij"))
    from onnxattr.space.ranking import of_similarity

    one = column(of_similarity(full), 3)
    np.testing.assert_array_equal(one.values, full.matrix[:, 3])
    np.testing.assert_array_equal(one.per_probe, full.per_probe[:, 3])
    assert one.sources.tolist() == [*range(10)]
