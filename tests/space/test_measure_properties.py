"""What must hold of measures of any representation."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.table import EXACT, INFLUENCE, JACKKNIFE, MEASURES

SYMMETRIC = ("attribution", "cka", "svcca", "rsa", "dds", "depara", "modelgif")
seeds = st.integers(0, 2**32 - 1)


def model(seed: int, probes: int = 12, units: int = 7) -> Evidence:
    """A model that shares something with every other."""
    world = np.random.default_rng(0).normal(size=(probes, 4))
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-6, 6)
    noise = rng.uniform(0, 3)
    return Evidence(
        f"m{seed}",
        maps=rng.normal(size=(probes, 4, 4)) * scale,
        representation=scale
        * (world @ rng.normal(size=(4, units)) + noise * rng.normal(size=(probes, units))),
        outputs=rng.normal(size=(probes, 2)),
        field=rng.normal(size=(probes, 3, 16)) * scale,
    )


def changed(evidence: Evidence, **parts: np.ndarray) -> Evidence:
    return Evidence(**{**vars(evidence), **parts})


def test_every_measure_is_tried_here() -> None:
    assert {name for name, m in MEASURES.items() if not m.directed} == set(SYMMETRIC)
    assert all(name.startswith("predictability") for name, m in MEASURES.items() if m.directed)
    assert {m.spread for m in MEASURES.values()} == {EXACT, JACKKNIFE, INFLUENCE}
    assert all(m.about for m in MEASURES.values())


def test_names_are_known_without_loading_numpy() -> None:
    code = (
        "import sys, onnxattr.space.measures.table as t; "
        "print([*t.MEASURES], 'numpy' in sys.modules, t.MEASURES['cka'].prepare, "
        "'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'cka'" in done.stdout
    assert "] False <function" in done.stdout
    assert done.stdout.strip().endswith("True")


@pytest.mark.parametrize("name", SYMMETRIC)
@settings(deadline=None, max_examples=20)
@given(seeds, seeds, st.integers(6, 14))
def test_symmetric_and_one_at_most(name: str, one: int, other: int, probes: int) -> None:
    measure = MEASURES[name]
    a, b = model(one, probes), model(other, probes)
    values = measure(a, b)
    assert values.shape == (probes,)
    np.testing.assert_allclose(values, measure(b, a), atol=1e-9)
    assert values.mean() <= 1 + 1e-9
    assert measure(a, a).mean() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", sorted(MEASURES))
@settings(deadline=None, max_examples=10)
@given(seeds, seeds)
def test_a_positive_scale_changes_nothing(name: str, one: int, other: int) -> None:
    a, b = model(one), model(other)
    scaled = changed(
        a,
        maps=a.maps * 3.7,
        representation=a.representation * 3.7,
        outputs=a.outputs * 3.7,
        field=a.field * 3.7,
    )
    for pair, expected in (((scaled, b), (a, b)), ((b, scaled), (b, a))):
        np.testing.assert_allclose(MEASURES[name](*pair), MEASURES[name](*expected), atol=1e-6)


@pytest.mark.parametrize("name", sorted(MEASURES))
@settings(deadline=None, max_examples=10)
@given(seeds, seeds)
def test_the_order_of_units_changes_nothing(name: str, one: int, other: int) -> None:
    a, b = model(one), model(other)
    order = np.random.default_rng(one).permutation(a.representation.shape[1])
    shuffled = changed(a, representation=a.representation[:, order])
    np.testing.assert_allclose(MEASURES[name](shuffled, b), MEASURES[name](a, b), atol=1e-6)


@pytest.mark.parametrize("name", ["cka", "svcca"])
@settings(deadline=None, max_examples=20)
@given(seeds, seeds)
def test_orthogonal_transforms_change_nothing(name: str, one: int, other: int) -> None:
    a, b = model(one), model(other)
    turn, _ = np.linalg.qr(np.random.default_rng(one).normal(size=(7, 7)))
    turned = changed(a, representation=a.representation @ turn)
    np.testing.assert_allclose(MEASURES[name](turned, b), MEASURES[name](a, b), atol=1e-8)


@pytest.mark.parametrize("name", SYMMETRIC)
@settings(deadline=None, max_examples=10)
@given(seeds, seeds)
def test_the_order_of_probes_changes_the_order_of_the_numbers_only(
    name: str, one: int, other: int
) -> None:
    a, b = model(one), model(other)
    order = np.random.default_rng(one).permutation(12)
    moved = [
        changed(
            e,
            maps=e.maps[order],
            representation=e.representation[order],
            field=e.field[order],
        )
        for e in (a, b)
    ]
    np.testing.assert_allclose(MEASURES[name](*moved), MEASURES[name](a, b)[order], atol=1e-8)


@pytest.mark.parametrize("name", ["rsa", "dds"])
def test_an_offset_of_each_unit_or_of_all(name: str) -> None:
    """RSA does not see one number added to all units; z-scores remove one number a unit."""
    a, b = model(1), model(2)
    offset = 5.0 if name == "rsa" else np.arange(7.0)
    size = np.abs(a.representation).max()
    moved = changed(a, representation=a.representation + size * offset)
    np.testing.assert_allclose(MEASURES[name](moved, b), MEASURES[name](a, b), atol=1e-8)
