"""Audits for screens and formats, made up."""

from dataclasses import replace

from onnxattr.lineage.behaviour import MEASURES, headroom
from onnxattr.lineage.verdict import decide, order
from onnxattr.types import (
    Audit,
    BehaviourEvidence,
    Failure,
    Finding,
    Gate,
    GradientCheck,
    Identity,
    InputSpec,
    LayerMatch,
    Origin,
    Otherwise,
    Parity,
    Relation,
    Representation,
    Score,
    Source,
    Suspect,
    Target,
    Twin,
    WeightFinding,
    WeightMatch,
)

IDENTITY = Identity(
    file="a1" * 32,
    weights="b2" * 32,
    structure="c3" * 32,
    framework=Origin("PyTorch", "pytorch 2.9.1").framework,
    exporter="pytorch 2.9.1",
    opsets={"": 20, "com.microsoft": 1},
    operators={"Conv": 20, "Relu": 17, "Add": 8, "GlobalAveragePool": 1, "Gemm": 1},
    parameters=11_689_512,
    by_type={"float": 11_689_512},
    size=46_758_003,
    nodes=47,
    metadata={"graph.name": "main_graph", "description": "Our own network"},
)

SUSPECT = Suspect(
    name="vendor",
    path="in/vendor.onnx",
    identity=IDENTITY,
    inputs=("input float32[batch,3,224,224]",),
    outputs=("logits float32[batch,1000]",),
    findings=(
        Finding("external data", "weights are in a second file beside it"),
        Finding("operator domain", "`com.microsoft`, outside of the standard: 2 nodes"),
    ),
    spec=InputSpec("input", "NCHW", 224, 224, sources={"range": "assumed: nobody says"}),
    representation=Representation("pool", "the input of the head, Gemm `fc`", "logits"),
    parity=Parity(3e-7, 1e-4, 4),
    gradient=GradientCheck(2e-3, 0.1, 2),
    deterministic=True,
)


def match(reference, late):
    profile = tuple(
        LayerMatch(
            f"w{i}", f"conv{i}.weight", "Conv", (64, 64, 3, 3), i, late + 0.02 * (5 - i), 0.1
        )
        for i in range(1, 6)
    )
    return WeightMatch(
        suspect="vendor",
        reference=reference,
        profile=profile,
        late=late,
        early=late,
        chance=0.1,
        marks=0.0,
        covered=1.0,
        tensors=(),
        copied=0.0,
        identical=False,
    )


def relation(reference, late, kind, value, twins=(), **changes):
    values = {name: value - 0.03 * i for i, name in enumerate(MEASURES)}
    baseline = 0.42 if twins else float("nan")
    evidence = tuple(
        BehaviourEvidence(name, v, baseline, headroom(v, baseline), MEASURES[name].decides)
        for name, v in values.items()
    )
    made = Relation(
        reference=reference,
        match=match(reference, late),
        finding=WeightFinding(kind, 0.05, 0.05, 19, (f"the last layers agree by {late:.2f}",)),
        behaviour=evidence,
        twins=twins,
    )
    return replace(made, **changes)


TWINS = (
    Twin("resnet18-seed1", "resnet18-ours", 0.91),
    Twin("resnet18-seed2", "resnet18-ours", 0.9),
    Twin("depth-net", "", 0.31, "it does not look like a model of the same task as any reference"),
)


def scores(value):
    return {
        name: Score(value, value - 0.1, value + 0.1, 1, tied=False)
        for name in ("attribution", "predictability", "cka", "rsa")
    }


NEAREST = Target(
    "vendor",
    tuple(
        Source(name, i, False, 0.9 / i, 0.1, 0.95, None, False, scores(0.9 / i))
        for i, name in enumerate(("resnet18-ours", "mobilenet-ours"), 1)
    ),
)


OTHERWISE = (
    Otherwise("", 1.0, "resnet18-ours", 0.95),
    Otherwise("BGR, 0 to 255", 0.41, "mobilenet-ours", 0.6),
)


def audit(relations, twins=TWINS, suspect=SUSPECT, **changes):
    ordered = tuple(order(relations))
    made = Audit(
        suspect=suspect,
        verdict=decide(ordered, twins),
        relations=ordered,
        twins=twins,
        nearest=NEAREST,
        sensitivity=OTHERWISE,
        gates=(Gate("derived", False, "the verdict is: consistent with independent"),),
        failures=(Failure("broken", "the file is empty", "export it again"),),
        warnings=("8 probes are too few for the behaviour of models to be told apart",),
        settings={
            "suspect": suspect.name,
            "search": True,
            "device": "cpu",
            "probes": {"source": "built-in", "kind": "image", "count": 64, "sha256": "0"},
        },
        versions={"onnxattr": "0"},
        seconds={"total": 1.0},
    )
    return replace(made, **changes)


KNOWN = ("resnet18-seed1", "resnet18-seed2")

DERIVED = audit(
    [
        relation("resnet18-ours", 0.93, "derived", 0.95, KNOWN, score=0.9, p=0.05, floor=0.05),
        relation("mobilenet-ours", 0.12, "no sign of derivation", 0.3),
    ],
    gates=(Gate("derived", True, "the verdict is: weight-derived (resnet18-ours)"),),
)

CLOSER = audit(
    [
        relation(
            "resnet18-ours",
            0.2,
            "no sign of derivation",
            0.9,
            KNOWN,
            score=0.8,
            p=0.04,
            floor=0.04,
            fed="BGR, 0 to 255",
        ),
        relation("mobilenet-ours", 0.12, "no sign of derivation", 0.3),
    ]
)

BARE = audit(
    [Relation("trees-ours", finding=None)],
    twins=(),
    suspect=Suspect("trees", "trees.onnx", None, findings=(Finding("refused", "it is a tree"),)),
    nearest=None,
    sensitivity=(),
    gates=(),
)

NASTY = "<script>alert(1)</script>`|*_\u202e[/bold]\x1b[31m\"'&"

HOSTILE = audit(
    [relation(NASTY, 0.93, "derived", 0.95, KNOWN, score=0.9, p=0.05, floor=0.05)],
    twins=(Twin(NASTY, "", 0.1, NASTY),),
    suspect=replace(
        SUSPECT,
        name=NASTY,
        findings=(Finding("suspicious name", NASTY),),
        identity=replace(IDENTITY, metadata={NASTY: NASTY}),
    ),
    warnings=(NASTY,),
)
