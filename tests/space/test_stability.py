"""How far orders of other probes, or by other measures, agree: SciPy, and cases that are known."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from onnxattr.space import stability
from onnxattr.types import Pairs


def pairs(per_probe, name="attribution", directed=False):
    names = tuple(f"m{i}" for i in range(len(per_probe)))
    return Pairs(name, names, np.nanmean(per_probe, axis=2), per_probe, directed)


def cosines(models=6, probes=16, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(models, models, 1)) + noise * rng.normal(size=(models, models, probes))
    return rows + np.zeros((1, 1, probes))


def test_an_order_that_every_probe_gives_does_not_depend_on_them():
    found = stability.by_probes(pairs(cosines()), range(6))

    assert [one.what for one in found] == ["2 probes", "4 probes", "8 probes"]
    assert [one.spearman for one in found] == pytest.approx([1.0] * 3)
    assert [one.same_first for one in found] == [1.0] * 3


def test_orders_of_pure_noise_have_nothing_in_common():
    values = np.random.default_rng(0).normal(size=(12, 12, 40))

    found = stability.by_probes(pairs(values), range(12))

    assert found[-1].what == "20 probes"
    assert all(abs(one.spearman) < 0.15 for one in found)
    assert all(one.same_first < 0.3 for one in found)


def test_more_probes_agree_more():
    found = stability.by_probes(pairs(cosines(probes=32, noise=2.0)), range(6))

    values = [one.spearman for one in found]
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.2


def test_halves_are_those_that_are_drawn_and_the_correlation_is_scipys():
    values = cosines(noise=1.5, probes=8)

    found = stability.by_probes(pairs(values), [2], seed=3)[-1]

    rng, expected, same = np.random.default_rng(3), [], []
    for size in (2, 4):
        for _ in range(stability.DRAWS):
            order = rng.permutation(8)
            if size == 4:
                one, other = (
                    np.delete(values[:, 2, part].mean(axis=1), 2) for part in (order[:4], order[4:])
                )
                expected.append(spearmanr(one, other).statistic)
                same.append(one.argmax() == other.argmax())
    assert found.spearman == pytest.approx(np.mean(expected))
    assert found.same_first == pytest.approx(np.mean(same))


def test_measures_are_compared_by_target_and_what_has_no_value_does_not_count():
    one, other = cosines(seed=1), cosines(seed=2)
    other[3] = np.nan
    first, second = pairs(one), Pairs("cka", ("m",) * 6, other[:, :, 0], other, directed=True)

    (found,) = stability.by_measures([first, second], range(6))

    assert (found.measure, found.what) == ("attribution", "cka")
    expected = []
    for target in range(6):
        kept = [i for i in range(6) if i not in (3, target)]
        expected.append(spearmanr(one[kept, target, 0], other[kept, target, 0]).statistic)
    assert found.spearman == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("shape", [(2, 16), (6, 3), (101, 8)])
def test_too_little_says_nothing(shape):
    models, probes = shape

    assert stability.by_probes(pairs(cosines(models, probes)), range(models)) == ()
