"""Results as they come from the pipeline, of maps that are made up: everything behind is real."""

import numpy as np

from onnxattr.lineage.behaviour import MEASURES, headroom
from onnxattr.lineage.finding import finding_of
from onnxattr.lineage.policy import judge, parse_condition
from onnxattr.lineage.verdict import decide, order
from onnxattr.pipeline.figures import drawn_of, extremes, gallery_of, layout_of
from onnxattr.space import many, ranking, stability
from onnxattr.space.similarity import similarity
from onnxattr.types import (
    Assumption,
    Attributions,
    Audit,
    BehaviourEvidence,
    Comparison,
    Failure,
    Finding,
    GradientCheck,
    Identity,
    InputSpec,
    LayerMatch,
    Maps,
    ModelMap,
    Neighbour,
    Origin,
    Otherwise,
    Pairs,
    Parity,
    ProbeCosine,
    Probes,
    Ranking,
    Relation,
    Representation,
    Summary,
    Suspect,
    TensorMatch,
    Twin,
    WeightMatch,
)

ORIGINS = ("PyTorch", "TensorFlow", "JAX")

#: Names that would do harm, or disorder, wherever they were taken as they are.
HOSTILE = (
    "<script>document.title='broken'</script>",
    '"><img src=x onerror="document.title=\'broken\'">',
    "' onmouseover='document.title=1",
    "{{ 7 * 7 }}{% raw %}",
    "</script><!--<script>",
    "\u202egnp.exe\u202c",
    "עברית-مرحبا",
    "a\x1b[31m\x00\u2028b",
    "&lt;b&gt;&amp;",
    "x" * 10_000,
    "模" * 10_000,
)


def summary(name, number=0):
    origin = ORIGINS[number % 3]
    return Summary(
        name=name,
        path=f"models/{name}.onnx",
        sha256=f"{number % 19:064x}",
        origin=Origin(origin, f"{origin} 1.0"),
        opset=17,
        parameters=88_400 + number,
        spec=InputSpec(
            "input", "NCHW", 64, 64,
            sources={
                "layout": "graph: the first Conv", "range": "assumed" if number % 2 else "option",
            },
        ),
        representation=Representation(f"relu_{name}", "the output"),
        parity=Parity(3e-7, 1e-4, 8),
        gradient=GradientCheck(2e-4, 0.1, 2),
        batch=8,
        unusable=0,
    )  # fmt: skip


def maps_of(names, *, probes=24, side=64, signed=False, groups=4, seed=0):
    """Maps of models in groups: those of one group are alike on every probe."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, probes, side, side))
    found = []
    for number, name in enumerate(names):
        values = centres[number % groups] + rng.normal(size=centres.shape[1:]) * (1 + number / 20)
        values = (values if signed else np.abs(values)).astype(np.float32)
        labels = tuple(f"probe-{i:02d}.png" for i in range(probes))
        method = "grad-input" if signed else "saliency"
        found.append(Maps(values, labels, method, name, 8, "cpu", signed=(signed,)))
    return found


def probes_of(maps, seed=0):
    count = len(maps[0].probes)
    images = np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3)).astype(np.uint8)
    return Probes(images, maps[0].probes, "0" * 64, "built-in")


def settings(count, **more):
    return {
        "measures": ["attribution"], "method": "saliency", "method_options": {},
        "reduction": "sum", "precision": "float32", "at": "feature", "centred": True,
        "device": "cpu", "seed": 0, "resamples": 2000, "confidence": 0.95, "input": {},
        "probes": {"source": "built-in", "kind": "image", "count": count, "sha256": "0" * 64},
        **more,
    }  # fmt: skip


def common(count, failures=(), **more):
    return {
        "failures": failures,
        "warnings": ("input range [0, 1] is assumed for some; --range says otherwise",),
        "settings": settings(count, **more),
        "versions": {"onnxattr": "0", "torch": "2"},
        "stored": (),
        "seconds": {"total": 1.5},
    }


def names_of(count):
    return tuple(f"task{i % 4}-{ORIGINS[i % 3].lower()}-{i}" for i in range(count))


def rank(names=None, *, target=None, several=False, **made):
    """A ranking of all models, or of the sources of one."""
    names = names_of(20) if names is None else names
    maps = maps_of(names, **made)
    compared = similarity([one.values for one in maps], names)
    measures = [ranking.of_similarity(compared)]
    if several:
        rng = np.random.default_rng(1)
        other = compared.per_probe + rng.normal(size=compared.per_probe.shape) * 0.2
        matrix = other.mean(axis=2)
        measures.append(Pairs("predictability", tuple(names), matrix, other, directed=True))
    wanted = list(range(len(names))) if target is None else [names.index(target)]
    summaries = tuple(summary(name, i) for i, name in enumerate(names))
    hashes = [one.sha256 for one in summaries]
    return Ranking(
        targets=tuple(
            ranking.rank_by(measures, compared, i, hashes=hashes) for i in wanted
        ),
        models=summaries,
        similarity=compared,
        unfinished=(),
        assumptions=(
            Assumption(names[1], "range", "0 to 255", (f"{names[0]}: {names[-1]}",), ""),
        ),
        measures=tuple(measures),
        stability=(
            *stability.by_probes(measures[0], wanted), *stability.by_measures(measures, wanted),
        ),
        layout=layout_of(compared),
        gallery=gallery_of(maps, probes_of(maps)),
        **common(
            len(maps[0].probes),
            (Failure("broken", "it is no ONNX file", "`onnxattr inspect` says more"),
             Failure("", "`a.png` is no image", "")),
            target=target,
        ),
    )  # fmt: skip


def compare(names=("one", "two"), **made):
    maps = maps_of(names, groups=1, **made)
    compared = similarity([one.values for one in maps], names)
    cosines = compared.per_probe[0, 1]
    row = ranking.rank_sources(compared, 0).sources[0]
    order = np.argsort(-cosines)
    return Comparison(
        models=(summary(names[0]), summary(names[1], 1)),
        similarity=row.similarity,
        low=row.low,
        high=row.high,
        distance=None,
        duplicate=False,
        probes=tuple(ProbeCosine(maps[0].probes[i], float(cosines[i])) for i in order),
        measures=ranking.pair_scores(ranking.of_similarity(compared)),
        gallery=gallery_of(maps, probes_of(maps), extremes(cosines)),
        **common(len(cosines)),
    )


def map_models(names=None, *, groups=None, **made):
    names = names_of(20) if names is None else names
    maps = maps_of(names, **made)
    compared = similarity([one.values for one in maps], names)
    near = many._from(compared.matrix, 10)
    return ModelMap(
        models=tuple(summary(name, i) for i, name in enumerate(names)),
        similarity=compared,
        **drawn_of(compared.matrix, tuple(names), "average", groups),
        nearest=tuple(
            tuple(Neighbour(names[i], float(v)) for i, v in zip(row, values, strict=True))
            for row, values in zip(near.models, near.similarity, strict=True)
        ),
        unfinished=(),
        gallery=gallery_of(maps, probes_of(maps)),
        **common(len(maps[0].probes), linkage="average", clusters=groups),
    )


def attribute(names=None, **made):
    names = names_of(3) if names is None else names
    maps = maps_of(names, **made)
    probes = probes_of(maps)
    return Attributions(
        models=tuple(summary(name, i) for i, name in enumerate(names)),
        maps=tuple(maps),
        unusable=((0,),) * len(names),
        probes=probes,
        unfinished=(),
        galleries=(gallery_of(maps, probes),),
        **common(len(probes.names)),
    )


def match(suspect, reference, late, layers):
    """Weights that agree less and less over depth, down to `late`; a third of the layers are so."""
    falls = np.linspace(0.3, 0.0, layers - layers // 3).tolist() + [0.0] * (layers // 3)
    profile = tuple(
        LayerMatch(f"{suspect}.{i}", f"{reference}.{i}", "Conv", (64, 64, 3, 3), i + 1,
                   min(1.0, late + fall), 0.1, late / 2, 64)
        for i, fall in enumerate(falls)
    )  # fmt: skip
    same = TensorMatch(f"{suspect}.0", f"{reference}.0", (64, 64, 3, 3), 36_864, 1.0, True)
    copied = late > 0.9
    return WeightMatch(
        suspect, reference, profile, late, profile[0].similarity, 0.1, late / 2, 1.0,
        (same,) * copied, copied / layers, False,
    )  # fmt: skip


def relation(suspect, reference, number, twins, layers):
    """The closer, the lower its number; of one in five the weights could not be compared."""
    alike = 0.95 / (1 + number)
    made = None if number % 5 == 4 else match(suspect, reference, alike, layers)
    apart = [match(reference, twin, 0.12, layers) for twin in twins]
    independent = twins if not number else ()
    best = 0.4 if independent else float("nan")
    behaviour = tuple(
        BehaviourEvidence(name, alike - i / 50, best, headroom(alike - i / 50, best), one.decides)
        for i, (name, one) in enumerate(MEASURES.items())
    )
    judged = {"score": 0.9, "p": 1 / 3, "floor": 1 / 3} if independent else {}
    return Relation(
        reference, "", made, finding_of(made, apart) if made else None, behaviour,
        twins=independent,
        fed="BGR, 0 to 255" if number % 2 else "", **judged,
    )  # fmt: skip


def audit(names=None, *, layers=6, signed=False, **made):
    """An audit of the first model against the others; the second is what it is derived from."""
    names = names_of(21) if names is None else names
    maps = maps_of(names, signed=signed, **made)
    summaries = tuple(summary(name, i) for i, name in enumerate(names))
    compared = similarity([one.values for one in maps], names)
    hashes = [one.sha256 for one in summaries]
    independent = f"{names[1]}-seed2", f"{names[1]}-seed3"
    twins = (
        *(Twin(name, names[1], 0.9) for name in independent),
        Twin("stranger", "", 0.1, "it does something else"),
    )
    relations = tuple(
        order(relation(names[0], name, i, independent, layers) for i, name in enumerate(names[1:]))
    )
    verdict = decide(relations, twins)
    nearest = ranking.rank_by([ranking.of_similarity(compared)], compared, 0, hashes=hashes)
    first = summaries[0]
    suspect = Suspect(
        name=first.name,
        path=first.path,
        identity=Identity(
            "a1" * 32, "b2" * 32, "c3" * 32, "PyTorch", "pytorch 2.9.1", {"": 20}, {"Conv": 20},
            88_400, {"float": 88_400}, 353_600, 47, {"description": names[-1]},
        ),
        inputs=("input float32[batch,3,64,64]",),
        outputs=("logits float32[batch,10]",),
        findings=(Finding("suspicious name", names[-1]),),
        spec=first.spec,
        representation=first.representation,
        parity=first.parity,
        gradient=first.gradient,
        deterministic=True,
    )  # fmt: skip
    gates = [parse_condition(text) for text in ("derived", "similarity>0.99")]
    count = len(maps[0].probes)
    return Audit(
        suspect=suspect,
        verdict=verdict,
        relations=relations,
        twins=twins,
        nearest=nearest,
        sensitivity=(
            Otherwise("", 1.0, names[1], 0.9),
            Otherwise("BGR, 0 to 255", 0.4, names[-1], 0.5),
        ),
        gates=judge(gates, verdict, relations, nearest),
        models=summaries,
        gallery=gallery_of(maps, probes_of(maps)),
        **common(
            count,
            (Failure("broken", "it is no ONNX file", "`onnxattr inspect` says more"),),
            suspect=names[0],
            search=True,
        ),
    )


ALL = {
    "rank": rank, "compare": compare, "map": map_models, "attribute": attribute, "audit": audit,
}  # fmt: skip
