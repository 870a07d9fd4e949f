"""Measures beside what published libraries compute of the same features."""

import numpy as np
import pytest
from scipy import stats

from onnxattr.space.measures import cka, dds, svcca
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.kernel_ridge import folds
from onnxattr.space.measures.predictability import explained, prepare
from onnxattr.space.measures.table import MEASURES

pytest.importorskip("sklearn", reason="scikit-learn comes with the extra `sklearn` alone")


def features(probes: int = 40, units: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(probes, units)) + 0.5


def related(probes: int = 40, units: int = 5, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return features(probes) @ rng.normal(size=(6, units)) + 2 * rng.normal(size=(probes, units))


def seen(values: np.ndarray) -> Evidence:
    return Evidence("a", representation=values)


def test_biased_cka_is_the_alignment_of_centred_kernels() -> None:
    from sklearn.metrics.pairwise import linear_kernel
    from sklearn.preprocessing import KernelCenterer

    k, m = (KernelCenterer().fit_transform(linear_kernel(v)) for v in (features(), related()))
    expected = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    ours = cka.compare(*(cka.prepare(seen(v), unbiased=False) for v in (features(), related())))
    assert ours.mean() == pytest.approx(expected, abs=1e-12)


def test_svcca_is_pca_and_then_cca() -> None:
    from sklearn.cross_decomposition import CCA
    from sklearn.decomposition import PCA

    one, other = (PCA(0.99, svd_solver="full").fit_transform(v) for v in (features(), related()))
    count = min(one.shape[1], other.shape[1])
    x, y = CCA(count, max_iter=20_000, tol=1e-12).fit_transform(one, other)
    expected = np.mean([stats.pearsonr(a, b).statistic for a, b in zip(x.T, y.T, strict=True)])
    ours = svcca.compare(*(svcca.prepare(seen(v)) for v in (features(), related())))
    assert ours.mean() == pytest.approx(expected, abs=1e-6)
    assert 0.1 < expected < 0.95


def test_rsa_of_correlation_distances() -> None:
    from sklearn.metrics import pairwise_distances

    below = np.tril_indices(40, -1)
    pairs = [pairwise_distances(v, metric="correlation")[below] for v in (features(), related())]
    expected = stats.spearmanr(*pairs).statistic
    ours = MEASURES["rsa"](seen(features()), seen(related())).mean()
    assert ours == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(dds.DISTANCES))
def test_distances_and_kernels_of_dds(name: str) -> None:
    """The authors take theirs from scikit-learn."""
    from sklearn.metrics import pairwise, pairwise_distances

    rows = features()
    squared = pairwise_distances(rows, metric="sqeuclidean")
    expected = {
        "pearson": lambda: pairwise_distances(rows, metric="correlation"),
        "euclidean": lambda: pairwise_distances(rows, metric="euclidean"),
        "cosine": lambda: pairwise.cosine_distances(rows),
        "linear": lambda: pairwise.linear_kernel(rows),
        "rbf": lambda: pairwise.rbf_kernel(rows, gamma=1 / (0.5 * np.median(squared))),
        "laplacian": lambda: pairwise.laplacian_kernel(rows),
    }
    np.testing.assert_allclose(dds.DISTANCES[name](rows), expected[name](), atol=1e-7)


def test_predictability_is_a_cross_validated_ridge_regression() -> None:
    """Of a target that a few units decide, whatever small penalty is chosen."""
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    x = features(60)
    y = x @ np.random.default_rng(2).normal(size=(6, 3))
    number = np.empty(60, int)
    for fold, held in enumerate(folds(60)):
        number[held] = fold
    guess = cross_val_predict(Ridge(1e-6), x, y, cv=PredefinedSplit(number))
    ours = explained(prepare(seen(x)), prepare(seen(y))).mean()
    expected = r2_score(y, guess, multioutput="variance_weighted")
    assert ours == pytest.approx(expected, abs=1e-5)
    assert expected > 0.9999
