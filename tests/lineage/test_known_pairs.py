"""Tiny nets whose history is known, through all that an audit computes, in one process."""

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from audited_nets import onnx_of, probes, trained, tuned, turned

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.limits import Limits
from onnxattr.lineage import behaviour
from onnxattr.lineage.behaviour import Traces
from onnxattr.lineage.identity import identity_of
from onnxattr.lineage.layers import weights_of_model
from onnxattr.lineage.twins import assign, likeness
from onnxattr.lineage.verdict import decide
from onnxattr.pipeline.input_search import candidates
from onnxattr.pipeline.messages import Place, Source, Watch, pack
from onnxattr.pipeline.relations import Matches, Pairs, relations, same_function
from onnxattr.pipeline.watch import _seen
from onnxattr.pipeline.watching import watch
from onnxattr.types import IMAGE, Weighed
from onnxattr.types.audit import CLOSER, DERIVED, INDEPENDENT, UNDECIDABLE

PROBES = probes()
OWN = InputOptions()


@functools.cache
def models():
    """The reference, two trained apart, what comes of it, and one from its own initial weights."""
    victim = trained("edges", 0)
    return {
        "victim": onnx_of(victim),
        "twin-1": onnx_of(trained("edges", 1)),
        "twin-2": onnx_of(trained("edges", 2)),
        "apart": onnx_of(trained("edges", 3)),
        "same-start": onnx_of(trained("edges", 4, initial=0)),
        "other-task": onnx_of(trained("greens", 5)),
        "re-exported": onnx_of(victim, "other_", opset=13),
        "turned": onnx_of(turned(victim)),
        "tuned": onnx_of(tuned(victim, "edges")),
        "swapped": onnx_of(victim, swapped=True),
    }


def seen(data, inputs=(OWN,), layers=True):
    place = Place("cpu", 1, 2**32, Limits(), b".")
    request = Watch(place, Source("m", data=data), None, inputs, IMAGE, pack(PROBES), layers)
    return [_seen(way, len(PROBES), "m") for way in watch(load(data), request, 1).ways]


def traces_of(name, data, options=OWN):
    (one,) = seen(data, (options,))
    network = to_network(load(data), options=options)
    engine = Engine(network, methods=[parse("whitened")], background=PROBES)
    return Traces(
        name=name,
        gradients=engine.maps(PROBES)[0],
        representation=one.units["representation"],
        outputs=one.units.get("outputs"),
        early=one.layers("early"),
        late=one.layers("late"),
    )


@functools.cache
def traces():
    return {name: traces_of(name, data) for name, data in models().items()}


@functools.cache
def weighed():
    return {
        name: Weighed(name, identity_of(load(data), len(data)), weights_of_model(load(data)))
        for name, data in models().items()
    }


def audited(suspect, twins=("twin-1", "twin-2"), references=("victim", "other-task")):
    known = traces()
    own = {name: known[name] for name in references}
    others = {(r, n): known[n] for r in references for n in (suspect, *twins)}
    alike = {
        (r, t): likeness({"rsa": behaviour.representations(known[r], known[t])})
        for r in references
        for t in twins
    }
    found, of = assign(alike, list(references), list(twins))
    made = relations(
        suspect, references, of, Pairs(own, others), Matches(weighed()), {}, {}, independent=twins
    )
    return made, found, decide(made, found)


def about(made, reference="victim"):
    return next(r for r in made if r.reference == reference)


def test_twins_count_for_the_reference_of_their_task():
    _, found, _ = audited("apart")
    assert [(twin.name, twin.reference) for twin in found] == [
        ("twin-1", "victim"),
        ("twin-2", "victim"),
    ]


@pytest.mark.parametrize("copy", ["re-exported", "turned", "tuned"])
def test_what_carries_the_weights_is_derived(copy):
    made, _, verdict = audited(copy)
    assert (verdict.kind, verdict.reference) == (DERIVED, "victim")
    least = 0.999 if copy != "tuned" else 0.8
    assert about(made).match.late > least
    assert about(made).score > (0.99 if copy != "tuned" else 0.5)


@pytest.mark.parametrize("innocent", ["apart", "same-start", "other-task"])
def test_what_was_trained_apart_is_not_accused(innocent):
    references = ("victim",) if innocent == "other-task" else ("victim", "other-task")
    made, _, verdict = audited(innocent, references=references)
    assert verdict.kind in (INDEPENDENT, UNDECIDABLE)
    assert not about(made).p < about(made).floor  # NaN of one that does not do the same at all.


@pytest.mark.parametrize("name", ["apart", "same-start", "tuned", "re-exported", "turned"])
def test_without_independent_models_behaviour_accuses_nobody(name):
    made, _, _ = audited(name, twins=())
    blind = [replace(each, match=None, finding=None) for each in made]
    assert decide(blind).kind not in (DERIVED, CLOSER)


def test_the_same_function_is_told_from_one_that_is_nearly_the_same():
    known = traces()
    assert same_function(known["victim"], known["re-exported"])
    assert not same_function(known["victim"], known["tuned"])
    assert not same_function(known["victim"], known["apart"])


@pytest.mark.parametrize(
    ("values", "same"),
    [
        (np.eye(10)[np.arange(200) % 10], False),  # Classes.
        (np.arange(200.0)[:, None] % 3, False),
        (np.zeros((200, 4)), False),
        (np.arange(6.0)[:, None], False),
        (np.random.default_rng(0).normal(size=(12, 1)), True),
        (np.maximum(0, np.random.default_rng(0).normal(size=(6, 16)) - 1), True),
        (np.random.default_rng(0).integers(0, 255, (64, 100)), True),
    ],
)
def test_agreement_on_few_values_is_no_identity(values, same):
    one, other = (Traces(name, representation=values.astype(np.float32)) for name in "ab")
    assert same_function(one, other) == same


def test_other_colours_are_found():
    ways = candidates(OWN)
    made = seen(models()["swapped"], ways, layers=False)
    victim = traces()["victim"].representation
    equal = [
        ways[i].color
        for i, way in enumerate(made)
        if way.units and np.abs(way.units["representation"] - victim).max() < 1e-5
    ]
    assert equal == ["BGR"]
    # What comes to the same as an earlier way is not run twice.
    assert [i for i, way in enumerate(made) if not way.units] == [1]


def test_the_order_of_references_changes_nothing():
    verdicts = set()
    for references in itertools.permutations(("victim", "other-task", "twin-1")):
        _, _, verdict = audited("tuned", twins=("twin-2",), references=references)
        verdicts.add(verdict)
    assert len(verdicts) == 1
