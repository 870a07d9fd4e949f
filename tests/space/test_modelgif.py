"""The cosine of gradient fields, and from where the ways to probes lead."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxattr.errors import InputError, ProbeError
from onnxattr.space.canvas import to_canvas
from onnxattr.space.measures.evidence import Evidence
from onnxattr.space.measures.modelgif import references
from onnxattr.space.measures.table import MEASURES

modelgif = MEASURES["modelgif"]


def fields(*shape: int, count: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Fields that have something in common."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=shape)
    return [shared + rng.normal(size=shape) for _ in range(count)]


def seen(field: np.ndarray, name: str = "a") -> Evidence:
    return Evidence(name, field=field)


@pytest.mark.parametrize("shape", [(5, 4, 3, 2), (5, 4, 6)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_mean_of_all_cosines(shape: tuple[int, ...], dtype: type) -> None:
    one, other = (field.astype(dtype) for field in fields(*shape))
    slow = np.zeros(5)
    for k in range(5):
        for t in range(4):
            a, b = (v[k, t].astype(np.float64).ravel() for v in (one, other))
            slow[k] += (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) / 4
    np.testing.assert_allclose(modelgif(seen(one), seen(other)), slow, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-38, 1e30])
def test_faint_and_strong_fields(scale: float) -> None:
    one, other = (field.astype(np.float32) for field in fields(4, 3, 2, 2))
    plain = modelgif(seen(one), seen(other))
    scaled = modelgif(seen((one * scale).astype(np.float32)), seen(other))
    np.testing.assert_allclose(scaled, plain, atol=1e-5)
    wide = modelgif(seen(one.astype(np.float64) * scale**4), seen(other))
    np.testing.assert_allclose(wide, plain, atol=1e-12)


def test_a_step_where_a_field_is_zero_is_left_out() -> None:
    (field,) = fields(3, 2, 5, count=1)
    field[0, 0] = 0.0
    field[1] = 0.0
    np.testing.assert_allclose(modelgif(seen(field), seen(field)), [1.0, np.nan, 1.0])


def test_images_of_two_sizes_meet_on_the_larger_one() -> None:
    small, large = fields(3, 2, 2, 4, count=1)[0], fields(3, 2, 6, 2, count=1, seed=1)[0]
    both = [
        np.stack([to_canvas(each, 6, 4) for each in field.astype(np.float32)])
        for field in (small, large)
    ]
    found = modelgif(seen(small.astype(np.float32)), seen(large.astype(np.float32)))
    np.testing.assert_allclose(found, modelgif(*map(seen, both)), atol=1e-12)
    # Whole pixels repeated change no cosine.
    twice = small.repeat(2, axis=2).repeat(3, axis=3)
    np.testing.assert_allclose(modelgif(seen(small), seen(twice)), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ((4, 2, 3), (4, 2, 5), "2×3 and 2×5"),
        ((4, 2, 3), (4, 3, 3), "2×3 and 3×3"),
        ((4, 2, 3, 1), (4, 2, 3), "2×3×1 and 2×3"),
    ],
)
def test_fields_that_do_not_fit(one: tuple[int, ...], other: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"fields of {message} cannot be compared"):
        modelgif(seen(np.ones(one)), seen(np.ones(other)))


def test_what_is_no_field() -> None:
    good = seen(np.ones((4, 2, 3)))
    with pytest.raises(InputError, match="by their field, and `x` has none"):
        modelgif(Evidence("x"), good)
    with pytest.raises(InputError, match="the field of `x` has 2 axes"):
        modelgif(seen(np.ones((4, 2)), "x"), good)
    bad = np.ones((4, 2, 3))
    bad[1, 1, 1] = np.nan
    with pytest.raises(InputError, match="not finite in its field, on `1` of `4`"):
        modelgif(seen(bad, "x"), good)
    with pytest.raises(ProbeError, match="`1` probes are too few for `modelgif`"):
        modelgif(seen(np.ones((1, 2, 3))), good)
    with pytest.raises(ProbeError, match="`4` probes and the other `5`"):
        modelgif(good, seen(np.ones((5, 2, 3))))


@given(st.integers(2, 300), st.integers(0, 2**32 - 1))
def test_all_probes_are_in_one_ring(count: int, seed: int) -> None:
    """Each is the end of one way and the start of another, and of none that leads to itself."""
    found = references(count, seed)
    np.testing.assert_array_equal(found, references(count, seed))
    here, visited = 0, []
    for _ in range(count):
        visited.append(here)
        here = int(found[here])
    assert here == 0
    assert sorted(visited) == [*range(count)]


def test_the_seed_decides_the_ways() -> None:
    assert not np.array_equal(references(64, 0), references(64, 1))
