"""Predictability against plain regressions, and what it promises."""

import numpy as np
import oracles
import pytest

from onnxattr.errors import InputError
from onnxattr.space.measures import ensemble, kernel_ridge, patch_ridge, predictability
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import MEASURES, OUTPUTS

RNG = np.random.default_rng(0)
#: What a world of 60 probes holds, as numbers and as maps.
WORLD, PLACES = RNG.normal(size=(60, 5)), RNG.normal(size=(60, 3, 6, 6))


def known(representation: np.ndarray, outputs: np.ndarray | None = None) -> predictability.Known:
    return predictability.prepare(Evidence("m", representation=representation, outputs=outputs))


def net(seed: int, units: int = 12, noise: float = 0.5) -> np.ndarray:
    """A representation of the world, [probe, unit]."""
    rng = np.random.default_rng(seed)
    seen = WORLD @ rng.normal(size=(5, units)) + rng.normal(size=units)
    return np.maximum(seen, 0) + noise * rng.normal(size=seen.shape)


def conv(seed: int, channels: int = 4, noise: float = 0.5) -> np.ndarray:
    """A map of the world's places, [probe, channel, y, x]."""
    rng = np.random.default_rng(seed)
    seen = np.einsum("ck,nkyx->ncyx", rng.normal(size=(channels, 3)), PLACES)
    seen = seen + 0.5 * np.roll(seen, 1, axis=3)
    return np.maximum(seen, 0) + noise * rng.normal(size=seen.shape) + rng.normal(size=(6, 6))


def z_scored(values: np.ndarray) -> np.ndarray:
    axes = (0, *range(2, values.ndim))
    return (values - values.mean(axes, keepdims=True)) / values.std(axes, keepdims=True)


@pytest.mark.parametrize("units", [4, 30, 90])
def test_units_against_units_is_a_ridge_regression(units: int) -> None:
    x, y = net(1, units), net(2, 7)
    expected = oracles.r2(y, *oracles.kernel_predictions(z_scored(x), y))
    values = predictability.explained(known(x), known(y))
    assert values.mean() == pytest.approx(expected, abs=1e-9)
    assert 0.1 < expected < 1


def test_a_map_predicts_units_by_its_places_and_by_their_means() -> None:
    x, y = conv(1), net(2)
    x[:, :, 0, 0] += WORLD[:, :4]
    scaled = z_scored(x)
    both = []
    for rows in (scaled.reshape(60, -1), scaled.mean((2, 3))):
        rows = rows - rows.mean(0)
        both.append(rows / np.sqrt((rows**2).sum()))
    expected = oracles.r2(y, *oracles.kernel_predictions(np.concatenate(both, axis=1), y))
    values = predictability.explained(known(x), known(y))
    assert values.mean() == pytest.approx(expected, abs=1e-9)
    assert expected > 0.05


def test_patches_against_places_is_a_ridge_regression() -> None:
    x, y = conv(1)[:25], conv(2, 2)[:25]
    expected = oracles.r2(y, *oracles.patch_predictions(z_scored(x), y))
    values = predictability.explained(known(x), known(y))
    assert values.mean() == pytest.approx(expected, abs=1e-9)
    assert 0.2 < expected < 1


@pytest.mark.parametrize("make", [net, conv])
def test_the_mean_of_the_numbers_is_the_measure_and_their_spread_its_spread(make) -> None:
    source, target = known(make(1)), known(make(2))
    values = predictability.explained(source, target)
    squares, around = predictability._errors(source, target, "representation")
    # The ratio of two sums over resampled probes.
    draws = np.random.default_rng(0).multinomial(60, [1 / 60] * 60, size=4000)
    ratios = 1 - (draws @ squares) / (draws @ around)
    assert values.mean() == pytest.approx(1 - squares.sum() / around.sum())
    assert values.std() / np.sqrt(60) == pytest.approx(ratios.std(), rel=0.1)


@pytest.mark.parametrize("shape", [(60, 7), (60, 300), (60, 3, 5, 5), (60, 4, 2, 2), (60, 9, 7)])
def test_a_model_predicts_itself_perfectly(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    model = known(rng.normal(size=shape), rng.normal(size=(60, 3)))
    assert MEASURES["predictability"].compare(model, model).mean() == pytest.approx(1, abs=1e-9)


def test_of_fewer_units_than_probes_itself_is_explained_to_the_last_digits() -> None:
    for values in (net(1, 5, noise=1.0), conv(1, noise=1.0)):
        assert predictability.explained(known(values), known(values)).mean() > 1 - 1e-6


def test_directed() -> None:
    """Half of what a model represents predicts less of the whole than the whole of the half."""
    whole, half = known(WORLD), known(WORLD[:, :2])
    down = predictability.of_representation(whole, half).mean()
    up = predictability.of_representation(half, whole).mean()
    assert down > 0.99
    assert 0.1 < up < 0.6


@pytest.mark.parametrize("make", [net, conv])
def test_noise_features_do_not_help(make) -> None:
    target = known(make(2))
    plain = predictability.of_representation(known(make(1)), target).mean()
    for seed in range(5):
        noise = np.random.default_rng(100 + seed).normal(size=make(1).shape)
        noisy = known(np.concatenate([make(1), noise], axis=1))
        assert predictability.of_representation(noisy, target).mean() < plain + 0.005


def test_noise_alone_predicts_nothing() -> None:
    rng = np.random.default_rng(5)
    for target in (net(2), conv(2)):
        noise = known(rng.normal(size=(60, *target.shape[1:])))
        assert predictability.of_representation(noise, known(target)).mean() < 0.05


def test_constant_features_score_zero() -> None:
    for constant, other in ((np.ones((60, 4)), net(1)), (np.ones((60, 4, 6, 6)), conv(1))):
        still, model = known(constant, constant), known(other, other)
        for pair in ((still, model), (model, still), (still, still)):
            for part in ("", "-representation", "-outputs"):
                values = MEASURES[f"predictability{part}"].compare(*pair)
                assert values.tolist() == [0.0] * 60


def test_the_same_map_on_every_probe_predicts_nothing_and_is_no_feat_to_predict() -> None:
    """The imprint of borders: a model of nothing else is not a good source."""
    imprint = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).repeat(60, axis=0)
    target = conv(2)
    assert predictability.of_representation(known(imprint), known(target)).mean() == 0
    with_imprint = predictability.explained(known(conv(1) + 10 * imprint), known(target))
    without = predictability.explained(known(conv(1)), known(target))
    assert with_imprint.mean() == pytest.approx(without.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((60, 3, 4, 4), (60, 5, 8, 8)),
        ((60, 5, 8, 8), (60, 3, 4, 4)),
        ((60, 2, 7, 7), (60, 3, 5, 6)),
        ((60, 2, 12, 20), (60, 3, 3, 5)),
        ((60, 9), (60, 3, 5, 5)),
        ((60, 3, 5, 5), (60, 9)),
        ((60, 3, 1, 1), (60, 3, 5, 5)),
        ((60, 10, 6), (60, 3, 5, 5)),
        ((60,), (60, 2)),
    ],
)
def test_sizes_may_differ(source: tuple[int, ...], target: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=source), rng.normal(size=target)
    values = predictability.compare(known(one), known(other, other[:, 0]))
    assert values.shape == (60,)
    assert np.isfinite(values).all()
    assert 0 <= round(values.mean(), 12) < 0.2


@pytest.mark.parametrize("make", [net, conv])
def test_scales_offsets_and_orders_do_not_matter(make) -> None:
    rng = np.random.default_rng(0)
    x, y = make(1), make(2)
    values = predictability.explained(known(x), known(y))
    channels = x.shape[1]
    shape = (1, channels) + (1,) * (x.ndim - 2)
    other = x * rng.uniform(0.1, 9, shape) + rng.normal(size=shape)
    other = other[:, rng.permutation(channels)]
    moved = -3 * y[:, rng.permutation(y.shape[1])] + 1
    np.testing.assert_allclose(
        predictability.explained(known(other), known(moved)), values, atol=1e-6
    )


@pytest.mark.parametrize("make", [net, conv])
def test_the_target_may_be_turned(make) -> None:
    x, y = make(1), make(2)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(y.shape[1],) * 2))
    turned = np.moveaxis(np.tensordot(y, turn, axes=(1, 0)), -1, 1)
    np.testing.assert_allclose(
        predictability.explained(known(x), known(turned)),
        predictability.explained(known(x), known(y)),
        atol=1e-6,
    )


def test_no_probe_helps_to_predict_itself() -> None:
    """A target that is different on one probe alone changes no weight that predicts this probe."""
    x, y = net(1), net(2)
    (first, *_) = kernel_ridge.folds(60)
    kernel = predictability._kernel(x)
    odd = y.copy()
    odd[first[0]] += 7.0
    for target in (y, odd):
        split = kernel_ridge.splits(kernel)[0]
        assert first[0] not in split.rest
        squares, _ = kernel_ridge.errors([split], target @ target.T)
        # The other probes of the fold are predicted as before.
        if target is y:
            before = squares[first[1:]]
    np.testing.assert_allclose(squares[first[1:]], before, rtol=1e-9)


def test_folds_are_the_same_for_all_and_hold_each_probe_once() -> None:
    for count in (5, 7, 200):
        assert sorted(np.concatenate(kernel_ridge.folds(count)).tolist()) == [*range(count)]
        assert len(kernel_ridge.folds(count)) == 5


def test_a_finer_map_loses_no_place() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 8, 12))
    cells = patch_ridge.on_grid(values, 4, 6)
    assert cells.shape == (4, 12, 4, 6)
    for c, i, j, u, v in np.ndindex(3, 4, 6, 2, 2):
        np.testing.assert_array_equal(
            cells[:, c * 4 + u * 2 + v, i, j], values[:, c, 2 * i + u, 2 * j + v]
        )


def test_many_channels_become_their_main_directions() -> None:
    rng = np.random.default_rng(0)
    values = np.einsum("nkyx,kc->ncyx", rng.normal(size=(9, 20, 4, 4)), rng.normal(size=(20, 90)))
    few = patch_ridge.on_grid(values, 4, 4)
    assert few.shape == (9, 64, 4, 4)
    centred = values - values.mean((0, 2, 3), keepdims=True)
    assert (few**2).sum() == pytest.approx((centred**2).sum())


def test_grids() -> None:
    assert [patch_ridge.side(n, 99) for n in (1, 3, 5, 7, 8, 13, 14, 16, 56)] == [
        1, 3, 5, 7, 8, 8, 7, 8, 8,
    ]  # fmt: skip


def test_outputs_that_their_own_model_does_not_predict_do_not_count() -> None:
    rng = np.random.default_rng(0)
    y, noise = net(2), rng.normal(size=(60, 3))
    source = known(net(1))
    np.testing.assert_array_equal(
        predictability.compare(source, known(y, noise)),
        predictability.of_representation(source, known(y)),
    )
    outputs = y @ rng.normal(size=(12, 3))
    parts = [
        f(source, known(y, outputs))
        for f in (predictability.of_representation, predictability.of_outputs)
    ]
    np.testing.assert_allclose(
        predictability.compare(source, known(y, outputs)), np.mean(parts, axis=0)
    )
    own = predictability.explained(known(y), known(y, outputs), OUTPUTS).mean()
    raw = predictability.explained(source, known(y, outputs), OUTPUTS)
    np.testing.assert_allclose(parts[1], raw / own)


def test_without_outputs_there_is_nothing_to_say_of_them() -> None:
    assert np.isnan(predictability.of_outputs(known(net(1)), known(net(2)))).all()


def test_outputs_not_finite() -> None:
    outputs = np.ones((60, 2))
    outputs[3] = np.nan
    with pytest.raises(InputError, match="not finite in its outputs, on `1` of `60` probes"):
        known(net(1), outputs)


class TestEnsemble:
    def scores(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {name: rng.normal(size=(5, 5, 8)) for name in ensemble.WEIGHTS}

    def test_equals_a_plain_loop(self) -> None:
        scores, weights = self.scores(), ensemble.WEIGHTS
        expected = np.zeros((5, 5))
        for name, weight in weights.items():
            means = scores[name].mean(2)
            for target in range(5):
                others = np.delete(means[:, target], target)
                z = (means[:, target] - others.mean()) / others.std()
                expected[:, target] += weight * z / sum(weights.values())
        np.testing.assert_allclose(ensemble.combined(scores).mean(axis=2), expected, atol=1e-12)

    def test_what_is_missing_does_not_count(self) -> None:
        scores = self.scores()
        scores["rsa"][2] = np.nan
        without = {name: scores[name] for name in scores if name != "rsa"}
        weights = {name: ensemble.WEIGHTS[name] for name in without}
        both = ensemble.combined(scores)
        np.testing.assert_allclose(both[2], ensemble.combined(without, weights)[2])
        assert np.isfinite(both).all()

    def test_equal_sources_are_at_zero(self) -> None:
        assert (ensemble.standardised(np.full((4, 4, 3), 0.3)) == 0).all()

    def test_a_measure_that_is_missing(self) -> None:
        with pytest.raises(InputError, match="lacks `rsa`"):
            ensemble.combined({k: v for k, v in self.scores().items() if k != "rsa"})
