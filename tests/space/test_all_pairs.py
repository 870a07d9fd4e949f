"""All pairs are the pairs, one after the other."""

import numpy as np
import pytest

from onnxattr.errors import InputError, ProbeError, UsageError
from onnxattr.space.measures import ensemble, predictability
from onnxattr.space.measures.all_pairs import all_pairs
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import MEASURES

NAMES = [*MEASURES]


def models(count: int = 4, probes: int = 12) -> list[Evidence]:
    rng = np.random.default_rng(0)
    world = rng.normal(size=(probes, 3, 4, 4))
    result = []
    for i in range(count):
        seen = np.einsum("ck,nkyx->ncyx", rng.normal(size=(5, 3)), world)
        outputs = seen.mean((2, 3)) @ rng.normal(size=(5, 2))
        maps = world.mean(1) + rng.normal(size=(probes, 4, 4))
        field = world.mean(1)[:, None] + rng.normal(size=(probes, 2, 4, 4))
        seen = seen + 0.3 * rng.normal(size=seen.shape)
        result.append(Evidence(f"m{i}", maps, seen, outputs, field))
    return result


def test_equals_the_measure_of_each_pair() -> None:
    given = models()
    found = all_pairs(NAMES, given)
    assert list(found) == NAMES
    for name, values in found.items():
        assert values.shape == (4, 4, 12)
        for i, source in enumerate(given):
            for j, target in enumerate(given):
                np.testing.assert_allclose(values[i, j], MEASURES[name](source, target), atol=1e-9)


def test_predictability_is_computed_once_and_let_go_of(monkeypatch) -> None:
    calls = []
    plain = predictability._errors
    monkeypatch.setattr(
        predictability, "_errors", lambda *args: (calls.append(args), plain(*args))[1]
    )
    all_pairs(["predictability", "predictability-representation", "ensemble"], models(3))
    # Three by three, of two parts.
    assert len(calls) == 18
    for source, target, _ in calls:
        for known in (source, target):
            assert not [key for key in known.kept if key[0] in ("patches", "splits")]


def test_the_ensemble_is_of_its_parts_and_these_are_not_told_unasked() -> None:
    given = models()
    found = all_pairs(["rsa", "ensemble"], given)
    assert list(found) == ["rsa", "ensemble"]
    parts = all_pairs([*ensemble.WEIGHTS], given)
    np.testing.assert_allclose(found["ensemble"], ensemble.combined(parts))


def test_a_map_that_is_none_costs_its_probe_alone() -> None:
    given = models()
    given[1].maps[3] = np.nan
    found = all_pairs(["attribution", "depara"], given)
    for values in found.values():
        assert np.isnan(values[1, :, 3]).all()
        assert np.isnan(values).sum() == 7


def test_who_is_to_blame() -> None:
    given = models()
    given[2].representation[0] = np.nan
    with pytest.raises(InputError) as caught:
        all_pairs(["cka"], given)
    assert caught.value.model == "m2"
    with pytest.raises(InputError, match="by their maps, and `x` has none"):
        all_pairs(["attribution"], [Evidence("x")])
    with pytest.raises(ProbeError, match="`12` probes and the other `11`"):
        all_pairs(["rsa"], [models()[0], models(probes=11)[0]])
    with pytest.raises(UsageError, match="no measure `rsaa`"):
        all_pairs(["rsaa"], given)


def test_no_models() -> None:
    assert all_pairs(["cka"], [])["cka"].size == 0
