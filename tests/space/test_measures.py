"""Measures against the papers' formulas, written out slowly."""

from collections.abc import Callable

import numpy as np
import oracles
import pytest

from onnxattr.errors import InputError, ProbeError, UsageError
from onnxattr.space.measures import cka, dds, depara, svcca
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.spread import bootstrap, jackknife
from onnxattr.space.measures.table import MEASURES


def features(probes: int = 9, units: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(probes, units)) + 0.5


def related(probes: int = 9, units: int = 5, seed: int = 1) -> np.ndarray:
    """Features that share something with `features`."""
    rng = np.random.default_rng(seed)
    return features(probes) @ rng.normal(size=(6, units)) + 2 * rng.normal(size=(probes, units))


def seen(values: np.ndarray, name: str = "a") -> Evidence:
    return Evidence(name, representation=values)


def without_each(measure: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    """A measure of `features` and `related` without each probe."""
    x, y = features(), related()
    return np.array(
        [measure(np.delete(x, k, axis=0), np.delete(y, k, axis=0)) for k in range(len(x))]
    )


def check_jackknife(values: np.ndarray, without: np.ndarray) -> None:
    whole, count = values.mean(), len(values)
    expected = -(count - 1) * (without - without.mean())
    np.testing.assert_allclose(values - whole, expected, atol=1e-10)


def test_biased_cka() -> None:
    def ours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return cka.compare(*(cka.prepare(seen(v), unbiased=False) for v in (x, y)))

    values = ours(features(), related())
    assert values.mean() == pytest.approx(oracles.biased_cka(features(), related()), abs=1e-12)
    check_jackknife(values, without_each(oracles.biased_cka))


def test_unbiased_cka_is_the_u_statistic() -> None:
    def slow(x: np.ndarray, y: np.ndarray) -> float:
        return oracles.unbiased_cka(x @ x.T, y @ y.T)

    values = MEASURES["cka"](seen(features()), seen(related()))
    assert values.mean() == pytest.approx(slow(features(), related()), abs=1e-12)
    check_jackknife(values, without_each(slow))


def test_the_unbiased_estimator_is_about_zero_for_strangers_and_the_biased_one_is_not() -> None:
    unbiased, biased = [], []
    for seed in range(30):
        pair = [seen(features(20, 200, seed=s)) for s in (seed, seed + 1000)]
        unbiased.append(MEASURES["cka"](*pair).mean())
        biased.append(MEASURES["cka"](*pair, unbiased=False).mean())
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / np.sqrt(30)
    assert np.mean(biased) > 0.8


@pytest.mark.parametrize("directions", [1.0, 0.4])
def test_svcca(directions: float) -> None:
    x, y = features(30, 12), related(30, 8)
    one, other = (svcca.prepare(seen(v), directions=directions) for v in (x, y))
    expected = oracles.svcca(x, y, 0.99, int(directions * 29))
    values = svcca.compare(one, other)
    assert values.mean() == pytest.approx(expected, abs=1e-10)
    assert 0 < expected < 1


def test_svcca_keeps_the_directions_of_most_variance() -> None:
    x = features(40, 6) * np.array([100.0, 50, 20, 1, 0.1, 0.1])
    assert svcca.prepare(seen(x)).basis.shape == (40, 3)
    assert svcca.prepare(seen(features(40, 60))).basis.shape == (40, 9)


def test_svcca_spreads_as_its_influences_say() -> None:
    """The mean of many draws of probes, against the influences of one."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 4))

    def draw() -> np.ndarray:
        shared = rng.normal(size=(80, 3))
        noisy = [shared @ mixing + 0.7 * rng.normal(size=(80, 4)) for _ in range(2)]
        return MEASURES["svcca"](*(seen(v) for v in noisy))

    draws = [draw() for _ in range(300)]
    actual = np.std([d.mean() for d in draws])
    stated = np.mean([d.std() / np.sqrt(80) for d in draws])
    assert stated == pytest.approx(actual, rel=0.2)


def test_rsa() -> None:
    values = MEASURES["rsa"](seen(features()), seen(related()))
    assert values.mean() == pytest.approx(oracles.rsa(features(), related()), abs=1e-12)


def test_rsa_spreads_as_it_does_when_ranked_anew() -> None:
    """Ranks are not made again without a probe; at 60 probes it hardly shows."""
    x, y = features(60), related(60)
    quick = MEASURES["rsa"](seen(x), seen(y))
    slow = jackknife(lambda k: float(MEASURES["rsa"](seen(x[k]), seen(y[k])).mean()), len(x))
    assert quick.mean() == pytest.approx(slow.mean(), abs=1e-12)
    assert np.corrcoef(quick, slow)[0, 1] > 0.99
    assert quick.std() == pytest.approx(slow.std(), rel=0.03)


@pytest.mark.parametrize("normalisation", sorted(dds.NORMALISATIONS))
@pytest.mark.parametrize("distance", sorted(dds.DISTANCES))
def test_dds(normalisation: str, distance: str) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 7, 4, 3, 2)) + 0.3
    y = 2 * x + y
    # Divided by the largest, as `laplacian` alone can tell.
    x, y = (v / np.abs(v).max() for v in (x, y))
    options = {"normalisation": normalisation, "distance": distance}
    values = MEASURES["dds"](seen(x), seen(y), **options)
    assert values.mean() == pytest.approx(oracles.dds(x, y, normalisation, distance), abs=1e-10)


def test_dds_with_nothing_in_front_of_a_linear_kernel_is_cka() -> None:
    pair = seen(features()), seen(related())
    np.testing.assert_allclose(
        MEASURES["dds"](*pair, normalisation="none", distance="linear"),
        MEASURES["cka"](*pair),
        atol=1e-12,
    )


def test_depara() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 9, 4, 4))
    one = Evidence("a", maps=maps[0], representation=features())
    other = Evidence("b", maps=maps[1] + maps[0], representation=related())
    nodes = [
        (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
        for a, b in zip(one.maps, other.maps, strict=True)
    ]
    x, y = (v - v.mean(0) for v in (features(), related()))
    pairs = [(i, j) for i in range(9) for j in range(i)]
    cosines = [
        [v[i] @ v[j] / np.sqrt((v[i] @ v[i]) * (v[j] @ v[j])) for i, j in pairs] for v in (x, y)
    ]
    edges = oracles.stats.spearmanr(*cosines).statistic
    graphs = depara.prepare(one), depara.prepare(other)
    np.testing.assert_allclose(depara.nodes(*graphs), nodes, atol=1e-12)
    assert depara.edges(*graphs).mean() == pytest.approx(edges, abs=1e-12)
    assert depara.compare(*graphs).mean() == pytest.approx((np.mean(nodes) + edges) / 2)
    assert depara.compare(*graphs, weight=0.0).mean() == pytest.approx(np.mean(nodes))


def test_half_samples_spread_as_the_measure_does() -> None:
    """The mean of n numbers has a standard error that everybody knows."""
    numbers = np.random.default_rng(0).normal(size=101)
    draws = bootstrap(lambda k: float(numbers[k].mean()), 101, resamples=2000, seed=1)
    assert draws.mean() == pytest.approx(numbers.mean())
    assert draws.std() == pytest.approx(numbers.std(ddof=1) / np.sqrt(101), rel=0.06)
    again = bootstrap(lambda k: float(numbers[k].mean()), 101, resamples=2000, seed=1)
    np.testing.assert_array_equal(draws, again)


def test_jackknife_of_a_mean_is_the_numbers_themselves() -> None:
    numbers = np.random.default_rng(0).normal(size=20)
    np.testing.assert_allclose(jackknife(lambda k: float(numbers[k].mean()), 20), numbers)


FEATURES = ("cka", "svcca", "rsa", "dds", "predictability")


@pytest.mark.parametrize("name", FEATURES)
class TestHostileInput:
    def test_not_finite(self, name: str) -> None:
        bad = features()
        bad[2, 3], bad[4, 0] = np.nan, np.inf
        with pytest.raises(
            InputError, match=r"`x` has values .* representation, on `2` of `9`"
        ) as caught:
            MEASURES[name](seen(bad, "x"), seen(features()))
        assert caught.value.model == "x"
        assert caught.value.hint

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_too_few_probes(self, name: str, count: int) -> None:
        few = seen(features()[:count])
        with pytest.raises(ProbeError, match=f"`{count}` probes are too few for `{name}`"):
            MEASURES[name](few, few)

    def test_as_few_as_it_takes(self, name: str) -> None:
        few = seen(features()[: MEASURES[name].least]), seen(related()[: MEASURES[name].least])
        assert MEASURES[name](*few).shape == (MEASURES[name].least,)

    def test_other_probes(self, name: str) -> None:
        with pytest.raises(ProbeError, match="`9` probes and the other `8`"):
            MEASURES[name](seen(features()), seen(features()[:8]))

    def test_nothing_given(self, name: str) -> None:
        with pytest.raises(InputError, match="representation, and `x` has none"):
            MEASURES[name](Evidence("x"), seen(features()))

    def test_no_units(self, name: str) -> None:
        with pytest.raises(InputError, match="`x` has no units"):
            MEASURES[name](seen(features()[:, :0], "x"), seen(features()))

    @pytest.mark.parametrize("value", [0.0, 0.1, -3e30])
    def test_a_representation_that_never_changes(self, name: str, value: float) -> None:
        constant = seen(np.full((9, 6), value))
        for pair in ((constant, seen(features())), (seen(features()), constant)):
            values = MEASURES[name](*pair)
            if name == "predictability":
                assert values.tolist() == [0.0] * 9
            else:
                assert np.isnan(values).all()

    @pytest.mark.parametrize("scale", [1e-40, 1e30])
    def test_faint_and_strong(self, name: str, scale: float) -> None:
        plain = MEASURES[name](seen(features()), seen(related()))
        scaled = MEASURES[name](seen(features() * scale), seen(related() / scale))
        np.testing.assert_allclose(scaled, plain, atol=1e-7)

    def test_some_units_that_never_change(self, name: str) -> None:
        dead = np.concatenate([features(), np.zeros((9, 3))], axis=1)
        if name in ("rsa", "dds"):
            # Pearson over the units sees them.
            assert np.isfinite(MEASURES[name](seen(dead), seen(related()))).all()
        else:
            np.testing.assert_allclose(
                MEASURES[name](seen(dead), seen(related())),
                MEASURES[name](seen(features()), seen(related())),
                atol=1e-9,
            )


def test_a_probe_that_moves_no_unit_has_no_correlation() -> None:
    dead = features()
    dead[3] = 0.5
    assert np.isfinite(MEASURES["rsa"](seen(dead), seen(related()))).all()


def test_unknown_names_say_the_closest() -> None:
    with pytest.raises(UsageError, match="no measure `cca`") as caught:
        MEASURES["cca"]
    assert "did you mean" in caught.value.hint
    with pytest.raises(UsageError, match="no normalisation `zscore`"):
        dds.prepare(seen(features()), normalisation="zscore")
    with pytest.raises(UsageError, match="no distance `euclid`"):
        dds.prepare(seen(features()), distance="euclid")


def test_least_probes_are_as_the_table_says() -> None:
    for name, measure in MEASURES.items():
        if measure.least == 1 or not set(measure.needs) <= {"representation"}:
            continue
        few = seen(features()[: measure.least - 1])
        with pytest.raises(ProbeError, match=f"it takes|{measure.least - 1}"):
            measure(few, few)
        assert name
