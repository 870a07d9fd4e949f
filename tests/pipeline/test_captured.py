"""Units on their way from workers into the store, and what is believed of them."""

import dataclasses

import numpy as np
import pytest
from test_examiner import DATA, Pool, Talk, attributed, described, probes

from onnxattr.attribution.units import MOST
from onnxattr.errors import UsageError, WorkerError
from onnxattr.pipeline import job
from onnxattr.pipeline.job import Examiner
from onnxattr.pipeline.messages import (
    Array,
    Attribute,
    Observe,
    Observed,
    Source,
    Units,
    pack,
    unpack,
)
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.units import parts_of
from onnxattr.store import Block, Store
from onnxattr.types import Representation

OPTIONS = Options(device="cpu", measure="attribution,predictability")
SAID = {"outputs": "logits"}


def units(count, *, shape=(2, 3, 3), seed=0, **changes):
    """Units that tell which chunk they are of: the first number is the count."""
    values = np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)
    values.reshape(count, -1)[:, 0] = count
    return Units(**{"values": pack(values), "whole": shape, **changes})


def both(count, **changes):
    made = {"representation": units(count, **changes), "outputs": units(count, shape=(5,))}
    return attributed(count, units=made)


def seen(count):
    found = {"representation": units(count), "outputs": units(count, shape=(5,))}
    return Observed(units=found, seconds={"observe": 0.1})


def examine(talk, store=None, count=20, options=OPTIONS):
    examiner = Examiner(probes(count), options, store)
    return examiner.examine("m", Source("m", data=DATA), talk, "cpu", Pool())


def asked(talk):
    kinds = (Attribute, Observe)
    return [(type(m).__name__, m.images.shape[0]) for m in talk.asked if isinstance(m, kinds)]


def test_what_measures_want():
    assert parts_of(["attribution"]) == ()
    assert parts_of(["attribution", "rsa"]) == ("representation",)
    assert parts_of(["predictability"]) == ("representation", "outputs")
    assert parts_of(["ensemble"]) == ("representation", "outputs")
    assert parts_of(["depara"]) == ("representation",)
    assert parts_of(["modelgif"]) == ("field",)
    assert parts_of(["modelgif", "cka"]) == ("representation", "field")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, True),
        ({"measure": "attribution,cka"}, True),
        ({"measure": "rsa,depara"}, True),
        ({"measure": "cka,ensemble,modelgif"}, False),
        ({"measure": "cka", "check_assumptions": True}, True),
    ],
)
def test_who_wants_maps(options, wanted):
    assert Options(**options).wants_maps is wanted


def test_units_come_with_the_maps_and_nothing_is_asked_twice(tmp_path):
    store = Store(tmp_path)
    talk = Talk(described(**SAID), both, both)
    first = examine(talk, store)
    assert talk.asked[0].units == ("representation", "outputs")
    assert asked(talk) == [("Attribute", 16), ("Attribute", 4)]
    assert first.units["representation"].shape == (20, 2, 3, 3)
    assert first.units["outputs"].shape == (20, 5)
    assert not first.stored

    talk = Talk(described(**SAID))
    again = examine(talk, store)
    assert again.stored
    assert asked(talk) == []
    for part in ("representation", "outputs"):
        np.testing.assert_array_equal(again.units[part], first.units[part])


def test_units_are_wanted_by_those_measures_only_that_compare_them():
    talk = Talk(described(), attributed, attributed)
    found = examine(talk, options=Options(device="cpu"))
    assert talk.asked[0].units == ()
    assert (found.units, found.lacking) == ({}, {})


def test_a_model_whose_representation_is_its_output_has_no_others():
    talk = Talk(described(), *[lambda n: attributed(n, units={"representation": units(n)})] * 2)
    found = examine(talk)
    assert list(found.units) == ["representation"]
    assert found.lacking == {}


def test_where_only_the_units_are_missing_no_map_is_made(tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(), attributed, attributed), store, options=Options(device="cpu"))
    talk = Talk(described(**SAID), seen, seen)
    found = examine(talk, store)
    assert asked(talk) == [("Observe", 16), ("Observe", 4)]
    assert not found.stored
    assert found.units["representation"].shape == (20, 2, 3, 3)
    assert examine(Talk(described(**SAID)), store).stored


def test_where_only_maps_are_missing_units_are_taken_from_the_store(tmp_path):
    """By another method: the representation is the same."""
    store = Store(tmp_path)
    examine(Talk(described(**SAID), both, both), store)
    options = dataclasses.replace(OPTIONS, method="elrp")
    talk = Talk(described(**SAID), lambda n: both(n, seed=7), lambda n: both(n, seed=7))
    found = examine(talk, store, options=options)
    np.testing.assert_array_equal(found.units["representation"][:16], unpack_units(units(16), 16))


def unpack_units(given, count):
    return unpack(given.values, np.float32, (count, *given.whole))


def test_more_probes_extend_what_is_stored(tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(**SAID), both, both), store)
    talk = Talk(described(**SAID), both)
    found = examine(talk, store, count=25)
    assert asked(talk) == [("Attribute", 5)]
    assert found.units["outputs"].shape == (25, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": Array((16, 2, 3, 3), bytes(16 * 18 * 4 - 1))},
        {"values": Array((15, 2, 3, 3), bytes(15 * 18 * 4))},
        {"values": Array((16, -2, -3, 3), bytes(16 * 18 * 4))},
        {"values": Array((16, 0), b""), "whole": (0,)},
        {"values": Array((16,), bytes(64)), "whole": ()},
        {"values": Array((16, 1, 1, 1, 1), bytes(64)), "whole": (1, 1, 1, 1)},
        {"values": Array((16, MOST + 1), bytes(64)), "whole": (MOST + 1,)},
        {"values": Array((2**40, 2**40), b""), "whole": (2**40,)},
        {"values": pack(np.full((16, 2, 3, 3), np.nan, np.float32))},
        {"values": pack(np.full((16, 2, 3, 3), np.inf, np.float32))},
        {"whole": (2, 3)},
        {"whole": (2, 3, 2)},
        {"whole": (2, 3, -3)},
        {"whole": (2, 3, 2**40)},
    ],
    ids=str,
)
def test_a_worker_whose_units_make_no_sense(changes, tmp_path):
    store = Store(tmp_path / "store")

    def lie(count):
        return attributed(count, units={"representation": units(count, **changes)})

    with pytest.raises(WorkerError, match=r"make no sense|of another shape"):
        examine(Talk(described(), lie, lie), store)
    assert not any(entry.about.get("part") for entry in store.entries())


def test_a_worker_whose_units_change_their_shape():
    with pytest.raises(WorkerError, match="of another shape than before"):
        examine(Talk(described(), both, lambda count: both(count, shape=(3, 3, 3))))


def test_a_worker_whose_seconds_make_no_sense(tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(), attributed, attributed), store, options=Options(device="cpu"))
    lie = Observed(units={"representation": units(16)}, seconds={"observe": float("nan")})
    with pytest.raises(WorkerError, match="make no sense"):
        examine(Talk(described(), lie), store)


@pytest.mark.parametrize("given", [{}, {"representation": Units(None, (), "they are \x1b[31mred")}])
def test_why_there_are_no_units_costs_no_maps(given):
    found = examine(Talk(described(), *[lambda n: attributed(n, units=given)] * 2))
    assert found.maps.values.shape[0] == 20
    assert found.units == {}
    assert found.lacking["representation"]
    assert "\x1b" not in found.lacking["representation"]


def test_what_somebody_else_has_put_into_the_store_is_not_believed(tmp_path):
    """Of another shape than the worker's it goes, and what makes no sense is not read."""
    store = Store(tmp_path)
    examine(Talk(described(**SAID), both, both), store)
    (key,) = [e.key for e in store.entries() if e.about.get("part") == "representation"]
    (about,) = [e.about for e in store.entries() if e.key == key]
    (block,) = [b for b in store.blocks(key) if len(b.probes) == 16]
    store.prune(older_than=-1)
    for facts, values, answers in (
        ({"whole": [9]}, np.ones((16, 9), np.float32), (both, both, seen)),
        ({"whole": "x"}, block.values, (both, both)),
        ({"whole": [2, 3, 3], "more": 1}, block.values, (both, both)),
        ({"whole": [2, 3, 3]}, block.values * np.float32(np.nan), (both, both)),
    ):
        store.put(key, Block(values, block.probes, facts), about)
        found = examine(Talk(described(**SAID), *answers), store)
        np.testing.assert_array_equal(
            found.units["representation"][:16], unpack_units(units(16), 16)
        )
        store.prune(older_than=-1)


def test_units_that_this_process_cannot_hold(monkeypatch):
    monkeypatch.setattr(job, "MAX_MAPS", 20 * 4 * 17)  # The maps are 16 numbers, the units 18.
    found = examine(Talk(described(), both, both))
    assert "would take more than" in found.lacking["representation"]


def test_units_that_were_pooled_are_told():
    found = examine(Talk(described(), *[lambda n: both(n, whole=(2, 300, 300))] * 2))
    assert found.notes == (
        "its representation, 2×300×300, is compared as 2×3×3: places are averaged",
    )


def test_units_of_another_tensor_are_others(tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(**SAID), both, both), store)
    for changes, answer in (
        ({"representation": Representation("z", "named")}, both),
        ({"outputs": "other"}, seen),
    ):
        talk = Talk(described(**{**SAID, **changes}), answer, answer)
        assert not examine(talk, store).stored


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("predictabilty", "there is no measure `predictabilty`"),
        ("", "there is no measure ``"),
        ("cka,,rsa", "there is no measure ``"),
        ("cka,cka", "asked for twice"),
    ],
)
def test_measures_that_there_are_not(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        Options(measure=text or ",")
    if text == "predictabilty":
        assert "did you mean `predictability`?" in caught.value.hint


def test_measures_keep_their_order_and_blanks_do_not_count():
    assert Options(measure=" rsa, attribution ").measures == ("rsa", "attribution")
    assert Options().measures == ("attribution",)
