"""What is concluded: of networks that were trained here, and of every case of the rule."""

import dataclasses

import pytest
import torch
from disguised import weights
from trained import encoder, train

from onnxattr.lineage.finding import finding_of
from onnxattr.lineage.weights import match_weights
from onnxattr.types import LayerMatch, TensorMatch, WeightMatch


@pytest.fixture(scope="module")
def nets():
    """A victim, what is derived from it, and what only began where it did, or nowhere near."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    victim = train(encoder(0), 1, 200, seed=1)
    made = {
        "victim": victim,
        "tuned": train(victim, 1, 60, seed=2),
        "transferred": train(victim, 2, 60, seed=3),
        "same start": train(encoder(0), 2, 200, seed=4),
        "same start and task": train(encoder(0), 1, 200, seed=5),
        "twin": train(encoder(7), 1, 200, seed=6),
        "stranger": train(encoder(8), 2, 200, seed=7),
    }
    torch.set_num_threads(threads)
    x = torch.zeros(1, 3, 16, 16)
    return {name: weights(net, x) for name, net in made.items()}


def concluded(nets, name):
    independent = [
        match_weights(nets[a], nets[b])
        for a, b in (("twin", "victim"), ("stranger", "victim"), ("twin", "stranger"))
        if name not in (a, b)
    ]
    return finding_of(match_weights(nets[name], nets["victim"]), independent)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("victim", "identical"),
        ("tuned", "derived"),
        ("transferred", "derived"),
        ("same start", "shared initialisation"),
        ("same start and task", "shared initialisation"),
        ("twin", "no sign of derivation"),
        ("stranger", "no sign of derivation"),
    ],
)
def test_trained_networks_are_what_they_are(nets, name, kind):
    match = match_weights(nets[name], nets["victim"])
    assert concluded(nets, name).kind == kind, (match.late, match.marks, match.chance)


def test_first_layers_of_a_shared_start_are_near_and_never_decide(nets):
    match = match_weights(nets["same start"], nets["victim"])
    assert match.profile[0].similarity > 0.7
    near = dataclasses.replace(match.profile[0], similarity=1.0)
    changed = dataclasses.replace(match, profile=(near, *match.profile[1:]), early=1.0)
    assert finding_of(changed).kind == finding_of(match).kind == "shared initialisation"


def made(**changes) -> WeightMatch:
    layers = tuple(
        LayerMatch(f"s{i}", f"r{i}", "Conv", (8, 8, 3, 3), i + 1, s, 0.1)
        for i, s in enumerate(changes.pop("profile", (0.9, 0.5, 0.3, 0.3)))
    )
    match = WeightMatch(
        "s", "r", layers, 0.3, 0.9, 0.1, 0.2, covered=1.0, tensors=(), copied=0.0, identical=False
    )
    return dataclasses.replace(match, **changes)


def copy_of(place: int, parameters: int = 5000, similarity: float = 1.0) -> tuple[TensorMatch, ...]:
    exact = similarity == 1
    return (TensorMatch("s", f"r{place}", (8, 8), parameters, similarity, exact),)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"identical": True}, "identical"),
        ({"late": 0.9, "marks": 0.9}, "derived"),
        ({"late": 0.6, "marks": 0.5}, "derived"),
        ({"late": 0.55, "marks": 0.5}, "undecidable"),
        ({"late": 0.6, "marks": 0.2}, "shared initialisation"),
        ({"late": 0.6, "marks": 0.2, "profile": (0.3, 0.3, 0.6, 0.6)}, "undecidable"),
        ({"late": 0.95, "marks": None}, "derived"),
        ({"late": 0.7, "marks": None}, "undecidable"),
        ({"late": 0.2, "marks": 0.9}, "no sign of derivation"),
        ({"late": 0.9, "marks": 0.9, "covered": 0.3}, "partly copied"),
        ({"late": None, "reason": "none"}, "undecidable"),
        ({"late": None, "reason": "none", "tensors": copy_of(2)}, "partly copied"),
        ({"late": 0.15, "tensors": copy_of(2)}, "partly copied"),
        ({"late": 0.6, "marks": 0.2, "tensors": copy_of(2)}, "partly copied"),
        # The first layer, a small one, and one that training apart may have left alike.
        ({"late": 0.15, "tensors": copy_of(0)}, "no sign of derivation"),
        ({"late": 0.15, "tensors": copy_of(2, parameters=100)}, "no sign of derivation"),
        ({"late": 0.15, "tensors": copy_of(2, similarity=0.99)}, "no sign of derivation"),
    ],
)
def test_every_case_of_the_rule(changes, kind):
    found = finding_of(made(**changes), [made(late=0.15)] * 3)
    assert found.kind == kind
    assert all(found.evidence)


def test_no_more_alike_than_independent_pairs_is_no_sign():
    match = made(late=0.6, marks=0.9)
    assert finding_of(match).kind == "derived"
    assert finding_of(match, [made(late=0.61)]).kind == "no sign of derivation"


def test_p_values_are_conformal_and_know_no_order():
    null = [made(late=value) for value in (0.1, 0.5, 0.3, 0.3, None)]
    found = finding_of(made(late=0.3), null)
    assert (found.p_value, found.floor, found.independent) == (4 / 5, 1 / 5, 4)
    assert finding_of(made(late=0.3), null[::-1]) == found
    alone = finding_of(made(late=0.3))
    assert (alone.p_value, alone.floor, alone.independent) == (1.0, 1.0, 0)
    assert finding_of(made(late=None), null).p_value is None


def test_low_similarity_is_never_said_to_prove_independence():
    found = finding_of(made(late=0.12))
    assert "low similarity does not prove independence" in found.evidence
