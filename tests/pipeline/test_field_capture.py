"""Gradient fields on their way from workers into the store and into rankings."""

import dataclasses

import numpy as np
import onnx
import pytest
from test_black_box import SIZE as SIDE
from test_black_box import WITHOUT_A_GRADIENT, convolution
from test_captured import units
from test_examiner import DATA, Pool, Talk, attributed, described, probes

import onnxattr
from onnxattr.attribution.units import STEPS
from onnxattr.errors import RankingError, WorkerError
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.messages import (
    Attribute,
    Checked,
    Observe,
    Observed,
    Source,
    Trace,
    Units,
    unpack,
)
from onnxattr.pipeline.options import Options
from onnxattr.probes import hash_values
from onnxattr.space.measures.modelgif import references
from onnxattr.store import Block, Store
from onnxattr.types import GradientCheck

ALONE = Options(device="cpu", measure="modelgif")
BESIDE = Options(device="cpu", measure="attribution,modelgif,cka")
SHAPE = (2, 3, 3)


def checked(**changes):
    facts = {"batch": 8, "parity": 2e-7, "tolerance": 1e-4, "gradient": None, **changes}
    return Checked(**facts)


def traced(count, *, shape=SHAPE, measured=None, **changes):
    """A field beside the representation, as of a worker that could convert the model."""
    return Observed(
        units={"field": units(count, shape=shape, **changes), "representation": units(count)},
        seconds={"field": 0.1},
        checked=measured or checked(),
    )


def refused(count):
    return Observed(units={"field": Units(None, lacking="it has no \x1b[31mgradient")}, seconds={})


def maps(count):
    return attributed(count, units={"representation": units(count)})


def seen(count):
    return Observed(units={"representation": units(count)}, seconds={})


def examine(talk, store=None, count=20, options=ALONE, seed=0):
    options = dataclasses.replace(options, seed=seed)
    examiner = Examiner(probes(count), options, store)
    done = []
    found = examiner.examine("m", Source("m", data=DATA), talk, "cpu", Pool(), done.append)
    assert sum(done) == count
    return found


def asked(talk):
    kinds = (Attribute, Trace, Observe)
    return [(type(m).__name__, m.images.shape[0]) for m in talk.asked if isinstance(m, kinds)]


def test_fields_alone_take_no_maps():
    talk = Talk(described(), traced, traced)
    found = examine(talk)
    assert talk.asked[0].methods == ()
    assert talk.asked[0].units == ()
    assert asked(talk) == [("Trace", 16), ("Trace", 4)]
    assert [m.check for m in talk.asked if isinstance(m, Trace)] == [True, False]
    assert found.made is None
    assert list(found.units) == ["field"]
    assert found.units["field"].shape == (20, *SHAPE)
    assert found.summary.parity.error == 2e-7
    assert found.summary.batch == 8


def test_each_probe_has_its_reference_and_every_model_the_same():
    given = probes(20).images
    for _ in range(2):
        talk = Talk(described(), traced, traced)
        examine(talk, seed=3)
        sent = [m for m in talk.asked if isinstance(m, Trace)]
        images, others = (
            np.concatenate([unpack(part, np.uint8, (-1, 6, 6, 3)) for part in parts])
            for parts in ([m.images for m in sent], [m.references for m in sent])
        )
        np.testing.assert_array_equal(images, given)
        np.testing.assert_array_equal(others, given[references(20, 3)])


def test_a_second_run_asks_nothing_and_tells_the_same(tmp_path):
    store = Store(tmp_path)
    measured = checked(gradient=GradientCheck(1e-3, 0.1, 2))
    first = examine(Talk(described(), *[lambda n: traced(n, measured=measured)] * 2), store)
    talk = Talk(described())
    again = examine(talk, store)
    assert asked(talk) == []
    assert again.stored
    np.testing.assert_array_equal(again.units["field"], first.units["field"])
    assert again.summary == first.summary
    assert again.summary.gradient == GradientCheck(1e-3, 0.1, 2)


def test_a_field_is_kept_by_both_ends_of_its_way(tmp_path):
    """Another seed, or more probes, lead other ways; those that are the same are not gone again."""
    store = Store(tmp_path)
    examine(Talk(described(), traced, traced), store)
    one, two = references(20, 0), references(20, 1)
    new = int((one != two).sum())
    assert new > 0
    talk = Talk(described(), *[traced] * 2)
    examine(talk, store, seed=1)
    assert sum(count for _, count in asked(talk)) == new

    hashes = [hash_values(image) for image in probes(25).images]
    ways = {(hashes[k], hashes[other]) for k, other in enumerate(one)}
    ways |= {(hashes[k], hashes[other]) for k, other in enumerate(two)}
    more = [(hashes[k], hashes[other]) for k, other in enumerate(references(25, 0))]
    talk = Talk(described(), *[traced] * 2)
    examine(talk, store, count=25)
    assert sum(count for _, count in asked(talk)) == sum(way not in ways for way in more)


def test_maps_and_units_come_beside_fields_and_nothing_twice(tmp_path):
    store = Store(tmp_path)
    talk = Talk(described(), maps, maps, traced, traced)
    found = examine(talk, store, options=BESIDE)
    assert talk.asked[0].units == ("representation",)
    assert asked(talk) == [("Attribute", 16), ("Attribute", 4), ("Trace", 16), ("Trace", 4)]
    assert set(found.units) == {"representation", "field"}
    assert found.summary.parity.error == 2e-7
    assert examine(Talk(described()), store, options=BESIDE).stored


def test_units_that_come_on_the_way_are_not_asked_for():
    options = Options(device="cpu", measure="modelgif,cka")
    talk = Talk(described(), traced, traced)
    assert set(examine(talk, options=options).units) == {"representation", "field"}
    assert asked(talk) == [("Trace", 16), ("Trace", 4)]


def test_a_model_without_a_gradient_keeps_its_units():
    options = Options(device="cpu", measure="modelgif,cka")
    talk = Talk(described(), refused, seen, seen)
    found = examine(talk, options=options)
    assert asked(talk) == [("Trace", 16), ("Observe", 16), ("Observe", 4)]
    assert list(found.units) == ["representation"]
    assert found.lacking["field"].startswith("it has no ")
    assert "\x1b" not in found.lacking["field"]
    assert found.summary.parity is None


def test_measures_of_units_take_one_pass_and_no_map():
    talk = Talk(described(), seen, seen)
    found = examine(talk, options=Options(device="cpu", measure="cka,rsa"))
    assert asked(talk) == [("Observe", 16), ("Observe", 4)]
    assert talk.asked[0].methods == ()
    assert (found.made, found.summary.parity, found.summary.batch) == (None, None, 0)


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: traced(n, measured=checked(parity=1.0)),
        lambda n: traced(n, measured=checked(parity=None)),
        lambda n: traced(n, measured=checked(batch=0)),
        lambda n: traced(n, measured=checked(settings={str(i): i for i in range(100)})),
        lambda n: traced(n, whole=(2, 3)),
        lambda n: Observed(units={"field": units(n)}, seconds={}),
    ],
)
def test_a_worker_whose_fields_make_no_sense(answer, tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(WorkerError, match="make no sense"):
        examine(Talk(described(), answer), store)
    assert store.entries() == []


@pytest.mark.parametrize(
    "facts",
    [
        {"whole": list(SHAPE)},
        {"whole": list(SHAPE), "checked": {}},
        {"whole": list(SHAPE), "checked": 3},
        {"whole": list(SHAPE), "checked": {"batch": 8, "parity": 0.5, "tolerance": 1e-4}},
        {"checked": {"batch": 8, "parity": 0.0, "tolerance": 1e-4, "gradient": None}},
    ],
)
def test_what_somebody_else_has_put_into_the_store_is_not_believed(facts, tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(), traced, traced), store)
    (entry,) = store.entries()
    (block,) = [b for b in store.blocks(entry.key) if len(b.probes) == 16]
    store.prune(older_than=-1)
    store.put(entry.key, Block(block.values, block.probes, facts), entry.about)
    talk = Talk(described(), traced, traced)
    examine(talk, store)
    assert asked(talk) == [("Trace", 16), ("Trace", 4)]


CHANGES = {
    "reduction": Options(device="cpu", measure="modelgif", reduction="abs"),
    "precision": Options(device="cpu", measure="modelgif", precision="bf16"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_decides_a_field_is_in_its_key(what, tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(), traced, traced), store)
    talk = Talk(described(), traced, traced)
    assert not examine(talk, store, options=CHANGES[what]).stored


def test_the_way_maps_are_made_does_not_decide_a_field(tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(), traced, traced), store)
    other = dataclasses.replace(ALONE, method="elrp", paper=True, batch_size=3)
    assert examine(Talk(described()), store, options=other).stored


def test_one_probe_has_no_way_to_it():
    found = examine(Talk(described()), count=1)
    assert found.units == {}


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("a", "b")):
        onnx.save(convolution(seed), tmp_path / f"{name}.onnx")
    return tmp_path


def plain_modelgif(models, images, seed=0):
    """By finite differences through ONNX Runtime, [probe]: x goes in as it is, in [0, 1]."""
    import onnxruntime

    places, weights = np.polynomial.legendre.leggauss(STEPS)
    images = images.transpose(0, 3, 1, 2).astype(np.float64) / 255
    others = images[references(len(images), seed)]
    made = []
    for proto in models:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )

        def total(x, session=session):
            (units,) = session.run(None, {"x": x.astype(np.float32)})
            return units.astype(np.float64).sum((1, 2, 3))

        step = 1e-3
        moves = step * np.eye(images[0].size).reshape(-1, *images[0].shape)
        rows = []
        for x, x0 in zip(images, others, strict=True):
            sums, found = 0.0, []
            for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
                here = x0 + place * (x - x0)
                slope = (total(here + moves) - total(here - moves)) / (2 * step)
                sums = sums + weight * slope.reshape(x.shape)
                found.append(((x - x0) * sums).mean(0).ravel())
            rows.append(found)
        made.append(np.array(rows))
    one, other = made
    norms = np.sqrt((one**2).sum(2) * (other**2).sum(2))
    return ((one * other).sum(2) / norms).mean(1)


def test_a_ranking_agrees_with_finite_differences(folder):
    """Tanh, since across a kink a difference is no gradient."""
    models = [convolution(seed, "y = Tanh(z)") for seed in (0, 1)]
    for name, proto in zip("ab", models, strict=True):
        onnx.save(proto, folder / f"{name}.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    given = dataclasses.replace(onnxattr.load_probes(limit=3), values=images)
    options = Options(device="cpu", measure="modelgif", seed=2, at="output", store=None)
    result = onnxattr.rank(folder, probes=given, options=options)
    (pairs,) = result.measures
    expected = plain_modelgif(models, images, seed=2)
    np.testing.assert_allclose(pairs.per_probe[0, 1], expected, atol=2e-3)
    assert np.abs(expected).max() > 0.01
    assert result.similarity is None
    assert result.settings["method"] is None
    assert all(m.parity is not None for m in result.models)
    (source,) = result.targets[0].sources
    assert source.similarity == pairs.matrix[0, 1]
    assert source.distance is None


@pytest.mark.parametrize("name", WITHOUT_A_GRADIENT)
def test_a_model_that_no_gradient_passes_has_a_line(name, folder):
    onnx.save(WITHOUT_A_GRADIENT[name], folder / "odd.onnx")
    options = Options(device="cpu", limit=6, measure="modelgif,cka")
    result = onnxattr.rank(folder, options=options)
    assert [m.name for m in result.models] == ["a", "b", "odd"]
    field, cka = result.measures
    assert np.isfinite(field.matrix[:2, :2]).all()
    assert np.isnan(field.matrix[2]).all()
    lines = [line for line in result.warnings if "modelgif" in line]
    assert len(lines) == 1
    assert "odd" in lines[0]
    # By what can be had of it, it is ranked still.
    assert name in ("trees", "integers") or np.isfinite(cka.matrix).all()


def test_black_box_maps_stand_beside_fields_of_those_that_have_them(folder):
    onnx.save(WITHOUT_A_GRADIENT["trees"], folder / "trees.onnx")
    options = Options(
        device="cpu", limit=6, method="occlusion:grid=2", measure="attribution,modelgif"
    )
    result = onnxattr.rank(folder, options=options)
    maps, field = result.measures
    assert np.isfinite(maps.matrix).all()
    assert np.isfinite(field.matrix[:2, :2]).all()
    assert np.isnan(field.matrix[2]).all()
    assert all(m.parity is None for m in result.models)


def test_where_no_model_has_a_field_it_is_said_why(tmp_path):
    for name in ("a", "b"):
        onnx.save(WITHOUT_A_GRADIENT["trees"], tmp_path / f"{name}.onnx")
    options = Options(device="cpu", limit=6, measure="modelgif")
    with pytest.raises(RankingError, match="nothing to compare the models by: `modelgif`") as one:
        onnxattr.rank(tmp_path, options=options)
    assert "`modelgif` is left out" in one.value.hint
    assert "a has no `modelgif`" in one.value.hint


def test_a_comparison_without_maps_has_no_probes_to_show(folder):
    options = Options(device="cpu", limit=6, measure="cka,modelgif")
    result = onnxattr.compare(folder / "a.onnx", folder / "b.onnx", options=options)
    assert result.probes == ()
    assert [m.measure for m in result.measures] == ["cka", "modelgif"]
    assert result.similarity == result.measures[0].value
    assert (result.low, result.high) == (result.measures[0].low, result.measures[0].high)
