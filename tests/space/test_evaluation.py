"""Every figure against a plain loop, and what must not change it."""

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxattr.errors import RankingError, ScoresError, UsageError
from onnxattr.space import agreement
from onnxattr.space.alignment import align
from onnxattr.space.evaluation import default_relevant, depth, evaluate, symmetrised, ties
from onnxattr.types import FIGURES, Scores


def table(values, names=None, targets=None, name="t"):
    values = np.asarray(values, float)
    names = names or [f"m{i:02}" for i in range(len(values))]
    return Scores(name, tuple(names), tuple(targets or names), values)


def judged(truth, *others, relevant=None, seed=0, only=()):
    """The measures and references of some tables."""
    aligned = align(truth, others, only)
    names = [f"s{i}" for i in range(len(others))]
    return evaluate(aligned, names, relevant=relevant or default_relevant(aligned), seed=seed)


def values(measured):
    return {name: figure.value for name, figure in measured.figures.items()}


# --- Oracles: plain loops over lists, from the definitions. -------------------------------------


def best_first(row):
    return sorted(range(len(row)), key=lambda i: (-row[i], i))


def slow_hits(truth, score, relevant, k):
    return len({*best_first(truth)[:relevant]} & {*best_first(score)[:k]})


def mean_ranks(row):
    return [sum(b < a for b in row) + (sum(b == a for b in row) + 1) / 2 for a in row]


def pearson(a, b):
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    return top / math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))


def sign(number):
    return int(number > 0) - int(number < 0)


def one_weighted_tau(x, y):
    """Vigna 2015 (equation 4): additive hyperbolic weights of the ranks by x, ties by y."""
    order = sorted(range(len(x)), key=lambda i: (-x[i], -y[i]))
    weight = {i: 1 / (rank + 1) for rank, i in enumerate(order)}

    def product(a, b):
        return sum(
            sign(a[i] - a[j]) * sign(b[i] - b[j]) * (weight[i] + weight[j])
            for i, j in combinations(range(len(x)), 2)
        )

    return product(x, y) / math.sqrt(product(x, x) * product(y, y))


def slow_tau(x, y):
    return (one_weighted_tau(x, y) + one_weighted_tau(y, x)) / 2


rows = st.integers(2, 9).flatmap(
    lambda n: st.tuples(
        *[st.lists(st.integers(-20, 20), min_size=n, max_size=n).filter(lambda r: len({*r}) > 1)]
        * 2
    )
)


@settings(deadline=None)
@given(rows)
def test_spearman_equals_a_plain_loop(pair):
    x, y = (np.array(row, float) for row in pair)

    assert agreement.spearman(x, y) == pytest.approx(
        pearson(mean_ranks(pair[0]), mean_ranks(pair[1])), abs=1e-12
    )


@settings(deadline=None)
@given(rows)
def test_weighted_tau_equals_a_plain_loop(pair):
    # Where a pair of numbers stands there twice, the ranks of the two are arbitrary.
    both = [*dict.fromkeys(zip(*pair, strict=True))]
    x, y = ([float(a) for a in row] for row in zip(*both, strict=True))
    if len({*x}) < 2 or len({*y}) < 2:
        return

    assert agreement.weighted_tau(np.array(x), np.array(y)) == pytest.approx(
        slow_tau(x, y), abs=1e-12
    )


@settings(deadline=None)
@given(rows, st.integers(1, 9))
def test_hits_equal_a_plain_loop(pair, relevant):
    x, y = (np.array(row, float) for row in pair)

    counted = agreement.hits(x, y, relevant)

    assert counted.tolist() == [
        slow_hits(pair[0], pair[1], relevant, k) for k in range(1, len(x) + 1)
    ]


def test_a_row_that_says_nothing_has_no_correlation():
    flat, row = np.ones(4), np.arange(4.0)
    for one, two in ((flat, row), (row, flat), (flat, flat)):
        assert agreement.spearman(one, two) == 0.0
        assert agreement.weighted_tau(one, two) == 0.0


def test_all_figures_equal_plain_loops():
    rng = np.random.default_rng(0)
    truth, score = rng.random((9, 7)), rng.random((9, 7))
    names = [f"m{i}" for i in range(9)]
    measures, _ = judged(table(truth, names, names[:7]), table(score, names, names[:7]), relevant=3)

    expected = {name: [] for name in FIGURES}
    pooled = np.zeros(8)
    for t in range(7):
        others = [i for i in range(9) if i != t]
        w, s = [truth[i, t] for i in others], [score[i, t] for i in others]
        pooled += [slow_hits(w, s, 3, k) for k in range(1, 9)]
        full_w, full_s = truth[:, t].tolist(), score[:, t].tolist()
        chosen = w[best_first(s)[0]]
        expected["p_at_1"].append(slow_hits(w, s, 3, 1))
        expected["p_at_relevant"].append(slow_hits(w, s, 3, 3) / 3)
        expected["spearman"].append(pearson(mean_ranks(w), mean_ranks(s)))
        expected["spearman_with_self"].append(pearson(mean_ranks(full_w), mean_ranks(full_s)))
        expected["tau"].append(slow_tau(w, s))
        expected["tau_with_self"].append(slow_tau(full_w, full_s))
        expected["regret"].append(max(w) - chosen)
        expected["relative_regret"].append((max(w) - chosen) / (max(w) - min(w)))
    for name, per_target in expected.items():
        assert values(measures[0])[name] == pytest.approx(np.mean(per_target), abs=1e-12), name
    curve = measures[0].curve
    assert [p.k for p in curve] == list(range(1, 9))
    assert [p.hits for p in curve] == pooled.tolist()
    assert [p.precision for p in curve] == [n / (7 * k) for k, n in enumerate(pooled, 1)]
    assert [p.recall for p in curve] == [n / (7 * 3) for n in pooled]


def test_intervals_and_paired_differences_equal_a_slow_loop_over_the_same_draws():
    rng = np.random.default_rng(1)
    truth, one, two = rng.random((3, 8, 8))
    measures, _ = judged(table(truth), table(one), table(two), relevant=3, seed=7)
    first, second = ([o.hits / 3 for o in m.outcomes] for m in measures)
    draws = np.random.default_rng(7).multinomial(8, [1 / 8] * 8, size=2000)
    means, gaps = [], []
    for counts in draws:
        drawn = [t for t, n in enumerate(counts) for _ in range(n)]
        means.append(sum(first[t] for t in drawn) / 8)
        gaps.append(sum(second[t] - first[t] for t in drawn) / 8)

    figure, gap = measures[0].figures["p_at_relevant"], measures[1].differences["p_at_relevant"]

    assert (figure.low, figure.high) == pytest.approx(np.quantile(means, [0.025, 0.975]))
    assert gap.value == pytest.approx(np.mean(second) - np.mean(first))
    assert (gap.low, gap.high) == pytest.approx(np.quantile(gaps, [0.025, 0.975]))
    assert measures[0].differences == {}


def test_a_difference_is_paired():
    """Two measures that spread far over targets are told apart if one is always a little better."""
    rng = np.random.default_rng(2)
    truth = rng.random((12, 12))
    noise = rng.normal(size=(12, 12)) * np.linspace(0.01, 3, 12)
    measures, _ = judged(table(truth), table(truth + 1.3 * noise), table(truth + noise))

    one, two = (m.figures["spearman"] for m in measures)
    gap = measures[1].differences["spearman"]

    assert one.low < two.value < one.high
    assert 0 < gap.low < gap.value < gap.high


# --- The references. ----------------------------------------------------------------------------


def test_the_oracle_is_perfect_and_chance_is_what_it_is():
    truth = table(np.random.default_rng(3).random((12, 12)))
    _, (oracle, random, ceiling) = judged(truth, truth)

    assert [oracle.name, random.name, ceiling.name] == ["oracle", "random", "symmetric ceiling"]
    assert values(oracle) == pytest.approx(
        {**dict.fromkeys(FIGURES, 1.0), "regret": 0.0, "relative_regret": 0.0}
    )
    assert [p.precision for p in oracle.curve] == [min(5, k) / k for k in range(1, 12)]
    assert values(random)["p_at_1"] == pytest.approx(5 / 11)
    assert values(random)["p_at_relevant"] == pytest.approx(5 / 11)
    assert all(p.precision == pytest.approx(5 / 11) for p in random.curve)
    assert values(random)["spearman"] == values(random)["tau"] == 0.0


def test_chance_is_the_mean_over_all_orders():
    """Of four models, each target has three sources: all six orders of them are tried."""
    rng = np.random.default_rng(4)
    truth = rng.random((4, 4))
    _, (_, random, _) = judged(table(truth), table(truth), relevant=1)
    seen = {name: [] for name in ("p_at_1", "spearman", "tau", "regret", "relative_regret")}
    for order in permutations([1.0, 2.0, 3.0]):
        score = np.zeros((4, 4))
        for t in range(4):
            score[[i for i in range(4) if i != t], t] = order
        ((measured, *_), _) = judged(table(truth), table(score), relevant=1)
        for name in seen:
            seen[name].append(values(measured)[name])
    for name, tried in seen.items():
        assert values(random)[name] == pytest.approx(np.mean(tried), abs=1e-12), name


def test_the_symmetrised_truth_is_the_mean_of_both_directions_on_one_scale():
    rng = np.random.default_rng(5)
    truth = rng.random((6, 6)) * np.arange(1, 7)
    aligned = align(table(truth), [table(truth)])

    score = symmetrised(aligned)

    scaled = np.empty((6, 6))
    for t in range(6):
        others = [truth[s, t] for s in range(6) if s != t]
        for s in range(6):
            scaled[s, t] = (truth[s, t] - min(others)) / (max(others) - min(others))
    assert score == pytest.approx((scaled + scaled.T) / 2)
    assert score == pytest.approx(score.T)


def test_a_pair_measured_one_way_keeps_that_way_and_no_pair_makes_no_ceiling():
    truth = np.random.default_rng(6).random((5, 2))
    names = ["a", "b", "c", "d", "e"]
    both, neither = table(truth, names, ["a", "b"]), table(truth, names, ["x", "y"])

    score = symmetrised(align(both, [both]))

    assert score[0, 1] == score[1, 0]
    others = truth[1:, 0]
    assert score[2:, 0] == pytest.approx(
        (truth[2:, 0] - others.min()) / (others.max() - others.min())
    )
    assert symmetrised(align(neither, [neither])) is None
    assert [r.name for r in judged(neither, neither)[1]] == ["oracle", "random"]


def test_of_a_truth_that_is_symmetric_on_one_scale_the_ceiling_is_perfect():
    """Models on a circle: every one has neighbours as near, and opposites as far, as the others."""
    place = np.arange(8)
    apart = np.abs(place[:, None] - place[None, :])
    truth = -np.minimum(apart, 8 - apart).astype(float)

    _, (*_, ceiling) = judged(table(truth), table(truth), relevant=2)

    assert values(ceiling)["spearman"] == pytest.approx(1.0)
    assert values(ceiling)["p_at_relevant"] == 1.0


# --- What must not change anything. -------------------------------------------------------------

matrices = st.integers(4, 8).flatmap(
    lambda n: st.tuples(
        *[
            st.lists(st.integers(-50, 50), min_size=n * n, max_size=n * n).map(
                lambda flat, n=n: np.array(flat, float).reshape(n, n)
            )
        ]
        * 2,
        st.permutations(range(n)),
    )
)


def usable(truth):
    """No target has the same truth for all of its sources."""
    n = len(truth)
    return all(len({*truth[np.arange(n) != t, t]}) > 1 for t in range(n))


@settings(deadline=None, max_examples=20)
@given(matrices)
def test_the_order_of_the_models_changes_nothing(drawn):
    truth, score, order = drawn
    if not usable(truth):
        return
    names = [f"m{i}" for i in range(len(truth))]
    shuffled = [names[i] for i in order]
    both = np.ix_(order, order)

    plain = judged(table(truth, names), table(score, names))

    assert judged(table(truth[both], shuffled), table(score, names)) == plain
    assert judged(table(truth, names), table(score[both], shuffled)) == plain


@settings(deadline=None, max_examples=20)
@given(matrices, st.sampled_from([np.exp, np.cbrt, lambda x: 2 * x + 1, np.arctan]))
def test_monotone_transforms_of_scores_change_nothing(drawn, transform):
    truth, score, _ = drawn
    if not usable(truth):
        return

    assert judged(table(truth), table(transform(score / 25))) == judged(table(truth), table(score))


@settings(deadline=None, max_examples=20)
@given(matrices)
def test_hits_are_whole_and_precision_is_recall_at_the_relevant(drawn):
    truth, score, _ = drawn
    if not usable(truth):
        return
    (measured,), references = judged(table(truth), table(score))
    relevant = 5 if len(truth) > 6 else (len(truth) - 1) // 2

    for one in (measured, *references):
        point = one.curve[relevant - 1]
        assert point.precision == pytest.approx(point.recall, abs=1e-12)
        assert one.figures["p_at_relevant"].value == pytest.approx(point.precision, abs=1e-12)
        assert one.curve[-1].recall == pytest.approx(1.0)
        if one.name != "random":
            assert all(p.hits == int(p.hits) for p in one.curve)
    assert all(0 <= o.relative_regret <= 1 and o.regret >= 0 for o in measured.outcomes)


def test_self_is_dropped_by_identity_not_by_score():
    """A measure that finds itself a poor source is judged like one that finds itself the best."""
    rng = np.random.default_rng(8)
    truth, score = rng.random((2, 8, 8))
    low, high = (np.where(np.eye(8, dtype=bool), fill, score) for fill in (-9.0, 9.0))

    one, two = (judged(table(truth), table(s))[0][0] for s in (low, high))

    without = [f for f in FIGURES if not f.endswith("with_self")]
    assert [one.figures[f] for f in without] == [two.figures[f] for f in without]
    assert one.curve == two.curve
    assert one.figures["spearman_with_self"] != two.figures["spearman_with_self"]


def test_a_truth_of_itself_may_be_missing():
    truth, score = np.random.default_rng(9).random((2, 6, 6))
    np.fill_diagonal(truth, np.nan)
    (measured,), _ = judged(table(truth), table(score))

    assert math.isnan(measured.figures["spearman_with_self"].value)
    assert not math.isnan(measured.figures["spearman"].value)


# --- What stands in the way. --------------------------------------------------------------------


def test_models_are_matched_by_name_and_the_rest_is_named():
    truth = table(np.random.default_rng(0).random((5, 5)), ["a", "b", "c", "d", "e"])
    score = table(np.random.default_rng(1).random((5, 5)), ["e", "x", "d", "c", "a"])

    aligned = align(truth, [score])

    assert aligned.sources == aligned.targets == ("a", "c", "d", "e")
    assert aligned.truth[1, 3] == truth.values[2, 4]
    assert aligned.scores[0][1, 3] == score.values[3, 0]
    assert (aligned.missing, aligned.unknown) == (("b",), ("x",))
    chosen = align(truth, [score], only=["a", "c", "e"])
    assert (chosen.sources, chosen.missing, chosen.unknown) == (("a", "c", "e"), (), ())


def test_a_target_without_any_truth_is_none():
    values = np.random.default_rng(0).random((5, 5))
    values[:, 2] = np.nan
    values[2, 2] = 1.0  # Of itself only.
    aligned = align(table(values), [table(np.eye(5))])

    assert aligned.targets == ("m00", "m01", "m03", "m04")
    assert "m02" in aligned.sources


def test_a_missing_number_is_one_line():
    values = np.random.default_rng(0).random((5, 5))
    holed = values.copy()
    holed[1, 3] = holed[2, 4] = np.nan
    with pytest.raises(ScoresError, match="the truth `t` has no number for source `m01` and target "
                                          "`m03`, nor for 1 other pairs"):  # fmt: skip
        align(table(holed), [table(values)])
    with pytest.raises(ScoresError, match="the similarity `t` has no number for source `m01`"):
        align(table(values), [table(holed)])
    assert align(table(holed), [table(values)], only=["m00", "m01", "m02"]).sources


@pytest.mark.parametrize("names", [["a", "b"], ["a"], []])
def test_fewer_than_three_models(names):
    truth = table(np.random.default_rng(0).random((3, 3)), ["a", "b", "c"])
    others = [*names, "x", "y", "colour"]
    score = table(np.ones((len(others), len(others))), others)

    with pytest.raises(RankingError, match=f"needs 3 models, and {len(names)} ") as caught:
        align(truth, [score])
    assert "the truth has no `colour` and 2 other names" in caught.value.hint


def test_an_unknown_name_of_only():
    truth = table(np.random.default_rng(0).random((3, 3)), ["depth", "edges", "normals"])
    with pytest.raises(UsageError, match="no model `normal` in the truth") as caught:
        align(truth, [truth], only=["depth", "normal"])
    assert "did you mean `normals`?" in caught.value.hint


def test_a_target_that_all_sources_suit_alike_is_left_out():
    values = np.random.default_rng(0).random((5, 5))
    values[:, 1] = [0.5, 0.9, 0.5, 0.5, 0.5]
    aligned = align(table(values), [table(values)])
    assert (aligned.flat, len(aligned.targets), len(aligned.sources)) == (("m01",), 4, 5)
    with pytest.raises(ScoresError, match="the same for all sources of every target"):
        align(table(np.ones((4, 4))), [table(values)])


def test_ties_are_counted_and_broken_by_name():
    truth = np.random.default_rng(0).random((8, 8))
    truth[:, 2] = [1, 1, 9, 1, 1, 1, 1, 0]
    score = np.ones((8, 8))
    aligned = align(table(truth), [table(score), table(truth)])

    assert ties(aligned, 3) == (1, [8, 1])
    (measured, _), _ = evaluate(aligned, ["flat", "truth"], relevant=3)
    assert [o.chosen for o in measured.outcomes] == ["m01", *["m00"] * 7]


@pytest.mark.parametrize(("models", "relevant"), [(3, 1), (4, 1), (5, 2), (6, 2), (7, 5), (20, 5)])
def test_how_many_are_relevant(models, relevant):
    truth = table(np.random.default_rng(0).random((models, models)))
    aligned = align(truth, [truth])
    assert depth(aligned) == models - 1
    assert default_relevant(aligned) == relevant


def test_a_single_target_has_no_interval():
    values = np.random.default_rng(0).random((6, 1))
    names = [f"m{i}" for i in range(6)]
    (measured,), _ = judged(table(values, names, ["task"]), table(-values, names, ["task"]))
    figure = measured.figures["spearman"]
    assert figure.value == pytest.approx(-1.0)
    assert math.isnan(figure.low)
    assert math.isnan(figure.high)
