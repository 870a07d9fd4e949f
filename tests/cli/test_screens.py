"""What people see, at the narrowest and at a usual width; rewritten by `pytest --overwrite`."""

import io
import re
from dataclasses import replace
from pathlib import Path

import audits
import evaluations
import maps
import numpy as np
import pytest
from rich.console import Console

from onnxattr.report import methods, ranked, table
from onnxattr.report.pictures import Look
from onnxattr.report.preview import preview
from onnxattr.types import (
    Attributions,
    Comparison,
    GradientCheck,
    InputSpec,
    Inspection,
    MapFile,
    Maps,
    Origin,
    Pairs,
    PairScore,
    Parity,
    ProbeCosine,
    Probes,
    Ranking,
    Refused,
    Representation,
    Score,
    Similarity,
    Source,
    Summary,
    Survey,
    TailNode,
    Target,
    Unsupported,
)

GOLDEN = Path(__file__).parent / "golden"

GRAPH = "graph: the first Conv reads axis {} as channels"

FACTS = (
    ("edge2d-torch", "PyTorch", "NCHW", 64, 88_400, "/encoder/encoder.9/Relu_output_0"),
    ("edge2d-keras", "TensorFlow", "NHWC", 64, 88_400, "model/re_lu_9/Relu:0"),
    ("denoise-torch", "PyTorch", "NCHW", 64, 88_400, "/encoder/encoder.9/Relu_output_0"),
    ("normals-keras", "TensorFlow", "NHWC", 64, 88_412, "model/re_lu_9/Relu:0"),
    ("resnet50-v1-12", "MATLAB", "NCHW", 224, 25_557_032, "flatten_473"),
    ("mobilenet", "unknown", "NCHW", 224, 3_504_872, "/avgpool/GlobalAveragePool_output_0"),
)


def summary(name, framework, layout, size, parameters, value):
    return Summary(
        name=name,
        path=f"models/{name}.onnx",
        sha256=f"{sum(map(ord, name)):064x}",
        origin=Origin(framework, f"{framework.lower()} 1.0"),
        opset=17,
        parameters=parameters,
        spec=InputSpec(
            "input",
            layout,
            size,
            size,
            sources={"range": "option" if framework == "JAX" else "assumed"},
        ),
        representation=Representation(value, "the output: the graph ends without a head"),
        parity=Parity(3.2e-7, 1e-4, 8),
        gradient=GradientCheck(2.1e-3, 0.1, 2),
        batch=8,
        unusable=0,
    )


MODELS = tuple(summary(*facts) for facts in FACTS)


def ranking(models=MODELS, *, target=None, centred=True):
    """Cosines that fall with the place in the list; the second twin is the first, byte for byte."""
    names = [m.name for m in models]
    targets = []
    for one in models if target is None else [m for m in models if m.name == target]:
        here = names.index(one.name)
        others = sorted(
            (n for n in names if n != one.name), key=lambda n: abs(names.index(n) - here)
        )
        sources = []
        for rank, name in enumerate(others, start=1):
            cosine = 1.0 if {name, one.name} == {*names[:2]} else 0.83 - 0.21 * rank
            sources.append(
                Source(
                    name=name,
                    rank=2 if rank == 3 else rank,
                    tied=rank in (2, 3),
                    similarity=cosine,
                    low=cosine - 0.04,
                    high=min(cosine + 0.05, 1.0),
                    distance=1 / cosine if not centred and cosine > 0 else None,
                    duplicate=cosine == 1.0,
                )
            )
        targets.append(Target(one.name, tuple(sources)))
    eye = np.eye(len(models))
    return Ranking(
        targets=tuple(targets),
        models=tuple(models),
        failures=(),
        similarity=Similarity(
            tuple(names), eye, eye[..., None], centred, (64, 64), (0,) * len(models)
        ),
        warnings=(),
        settings=settings(target=target, centred=centred),
        versions={},
        unfinished=(),
        stored=(),
        seconds={},
    )


def several(*, target=None, centred=True):
    """Three measures that agree on the second model, and on little else."""
    base = ranking(target=target, centred=centred)
    names = tuple(m.name for m in MODELS)
    count = len(names)
    targets = []
    for one in base.targets:
        sources = []
        for place, source in enumerate(one.sources):
            turned = len(one.sources) - place
            measures = {
                "attribution": Score(
                    source.similarity, source.low, source.high, source.rank, False
                ),
                "predictability": Score(0.7 - place / 9, 0.6 - place / 9, 0.8, 1 + place, False),
            }
            if place:
                cka = 0.1 * place
                measures["cka"] = Score(cka, cka - 0.3, cka + 0.2, turned, False)
            sources.append(replace(source, measures=measures, disputed=place in (1, 4)))
        targets.append(replace(one, sources=tuple(sources)))
    eye = np.eye(count)
    pairs = [
        Pairs(name, names, eye, eye[..., None], directed=name == "predictability")
        for name in ("attribution", "predictability", "cka")
    ]
    return replace(base, targets=tuple(targets), measures=tuple(pairs))


def stated():
    """A model of which everybody says something, and some of it makes no sense."""
    sources = {
        "layout": "metadata: denotations of its axes", "size": "graph", "color": "sidecar",
        "range": "metadata: Image.NominalPixelRange; metadata: ignored, `onnxattr.range` is "
        "`0..255`: those are not numbers",
        "mean": "metadata: OpenVINO", "std": "option", "gamma": "default",
        "resize": "metadata: Ultralytics", "input": "sidecar",
        "metadata": "ignored, there is no key `onnxattr.comment`",
    }  # fmt: skip
    spec = InputSpec(
        "images", "NCHW", 640, 640, range=(0.0, 255.0), resize="letterbox", sources=sources
    )
    chosen = Representation("/head/Relu_output_0", "named, by sidecar")
    (usable, _) = inspection().models
    return Survey((replace(usable, spec=spec, representation=chosen, tail=()),), ())


def settings(**more):
    probes = {"source": "built-in", "count": 64, "sha256": "0" * 64}
    return {
        "method": "saliency",
        "at": "feature",
        "centred": True,
        "resamples": 2000,
        "confidence": 0.95,
        "target": None,
        "probes": probes,
        **more,
    }


def comparison(**more):
    cosines = [0.91, 0.85, 0.8, 0.77, 0.7, 0.61, 0.5, 0.3, 0.1, -0.0004, -0.05, -0.2]
    base = Comparison(
        models=(MODELS[0], MODELS[3]),
        similarity=0.4407,
        low=0.2213,
        high=0.641,
        distance=None,
        duplicate=False,
        probes=tuple(ProbeCosine(f"{i:03}.webp", c) for i, c in enumerate(cosines)),
        failures=(),
        warnings=(),
        settings=settings(),
        versions={},
        stored=(),
        seconds={},
    )
    return replace(base, **more)


def inspection():
    sources = {
        "layout": GRAPH.format(1), "size": "assumed: the graph is free",
        "color": "assumed", "range": "assumed", "mean": "option", "std": "option",
        "gamma": "default", "resize": "default",
    }  # fmt: skip
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    spec = InputSpec("input", "NCHW", 224, 224, mean=mean, std=std, sources=sources)
    usable = Inspection(
        name="resnet50-v1-12",
        path="models/vendor/resnet50-v1-12.onnx",
        sha256="5f3c" * 16,
        origin=Origin("PyTorch", "pytorch 2.9.0"),
        opset=18,
        parameters=25_557_032,
        inputs=("input float32[batch,3,height,width]",),
        outputs=("logits float32[batch,1000]",),
        spec=spec,
        representation=Representation(
            "/layer4/layer4.2/relu_2/Relu_output_0", "the input of the head, Gemm `/fc/Gemm`"
        ),
        unsupported=(),
        problems=(),
    )
    usable = replace(
        usable,
        tail=(
            TailNode(
                "Relu", "/layer4/layer4.2/relu_2/Relu", "/layer4/layer4.2/relu_2/Relu_output_0",
                "float32[1,2048,7,7]", chosen=True, output=False,
            ),
            TailNode("Gemm", "", "logits", "float32[1,1000]", chosen=False, output=True, skipped=3),
        ),
    )  # fmt: skip
    missing = (
        Unsupported("GridSample", ("/sample/GridSample", "/sample_1/GridSample")),
        Unsupported("NonMaxSuppression", ("",)),
    )
    return Survey(
        (
            usable,
            replace(
                usable,
                name="detector",
                path="models/detector.onnx",
                inputs=("image uint8[1,480,640,3]", "scale float32[2]"),
                outputs=("boxes float32[?,4]", "scores float32[?]"),
                spec=None,
                unsupported=missing,
                tail=(),
                refused=(
                    Refused("Resize", "Resize with mode `bilinear`", ("/up/Resize", "")),
                    Refused("Crop", "a crop beyond the image", ("/crop",), certain=False),
                ),
                unchecked=(Unsupported("NonZero", ("/keep/NonZero",)),),
                problems=(
                    "it takes 2 inputs, and a probe can be fed to one only: `image` "
                    "uint8[1,480,640,3], `scale` float32[2]",
                    "no converter for `GridSample`, `NonMaxSuppression`",
                    "the converted network cannot be run: Resize: Resize with mode `bilinear`",
                ),
            ),
        ),
        (),
    )


def attributions():
    """Two methods on six probes: a disc of which each model sees another part."""
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    disc = (x**2 + y**2 < 0.6).astype(np.float32)
    turned = np.stack([np.cos(k / 2) * x + np.sin(k / 2) * y for k in range(6)]).astype(np.float32)
    images = np.repeat(
        (255 * (1 - disc * (0.2 + 0.1 * np.arange(6)[:, None, None])))[..., None], 3, -1
    )
    names = tuple(f"{i:03}.webp" for i in range(6))
    probes = Probes(images.astype(np.uint8), names, "0" * 64, "built-in")
    methods = ("saliency", "lrp:composite=epsilon-plus")
    found = [
        Maps(
            np.stack([np.abs(turned) * disc, turned * disc]), names, ",".join(methods), model.name,
            8, "cpu", signed=(False, True),
        )
        for model in MODELS[:3]
    ]  # fmt: skip
    return Attributions(
        models=MODELS[:3],
        maps=tuple(found),
        unusable=((0, 0), (0, 2), (6, 0)),
        probes=probes,
        failures=(),
        warnings=(),
        settings={
            "at": "feature",
            "reduction": "sum",
            "probes": {"source": "built-in", "count": 6, "sha256": "0" * 64},
        },
        versions={},
        unfinished=(),
        stored=(),
        seconds={},
    )


def files(result):
    """What was written of `attributions`."""
    numbers = [
        MapFile(
            f"{maps.model}/{method.replace(':', '_')}.npy", "maps", maps.model, (method,), "", "", 9
        )
        for maps in result.maps
        for method in maps.methods
    ]
    return [
        *numbers,
        *(MapFile("x.png", "picture", "m", ("saliency",), "p", "", 9) for _ in range(36)),
        MapFile("contact-saliency.png", "sheet", "", ("saliency",), "", "", 9),
    ]


def attribute_screen(console):
    result = attributions()
    table.render_attributions(result, files(result), console)


def preview_screen(console):
    looks = [Look("saliency", False), Look("lrp:composite=epsilon-plus", True)]
    console.print(preview(attributions(), looks, console))


METHODS = (
    {
        "name": "saliency", "kind": "gradient", "about": "|∂T/∂x| at the probe x",
        "cost": "1 forward, 1 backward", "signed": False, "seeded": False,
        "source": "Simonyan et al. 2014", "options": [],
    },
    {
        "name": "smoothgrad", "kind": "gradient",
        "about": "the mean of ∂T/∂x over copies of the probe with noise",
        "cost": "samples × (1 forward, 1 backward)", "signed": True, "seeded": True,
        "source": "Smilkov et al. 2017",
        "options": [
            {
                "name": "samples", "default": 25, "least": 1, "most": 10_000, "choices": [],
                "about": "copies of each probe",
            },
            {
                "name": "noise", "default": 0.15, "least": 0, "most": None, "choices": [],
                "about": "standard deviation of the noise, as a share of the range of each probe",
            },
            {
                "name": "kind", "default": "normal", "least": None, "most": None,
                "choices": ["normal", "uniform"], "about": "of the noise",
            },
            {
                "name": "magnitude", "default": False, "least": None, "most": None, "choices": [],
                "about": "whether gradients are squared first",
            },
        ],
    },
)  # fmt: skip


def methods_screen(console):
    reductions = {"sum": "Σ u, as in the paper", "unit:I": "the unit I, counted from 0"}
    methods.print_all(METHODS, reductions, console)


def method_screen(console):
    methods.print_one(METHODS[1], console)


TWO = (MODELS[0].name, MODELS[3].name)

#: Results, or what draws them.
SCREENS = {
    "attribute": attribute_screen,
    "attribute-preview": preview_screen,
    "methods": methods_screen,
    "methods-one": method_screen,
    "audit": audits.DERIVED,
    "audit-closer": audits.CLOSER,
    "audit-bare": audits.BARE,
    "rank": ranking(),
    "rank-target": ranking(target="edge2d-torch"),
    "rank-measures": several(),
    "rank-measures-target": several(target="edge2d-torch"),
    "rank-paper": ranking(MODELS[:4], centred=False),
    "rank-paper-target": ranking(target="edge2d-torch", centred=False),
    "compare": comparison(),
    "compare-paper": comparison(
        similarity=1.0, low=1.0, high=1.0, distance=1.0, duplicate=True,
        models=MODELS[:2], settings=settings(centred=False),
    ),
    "compare-one-probe": comparison(probes=(ProbeCosine("a.png", 0.44),)),
    "compare-measures": comparison(
        measures=(
            PairScore("predictability", *TWO, True, 0.0312, -0.01, 0.07),
            PairScore("predictability", *TWO[::-1], True, 0.52, 0.5, 0.54),
            PairScore("cka", *TWO, False, 0.66, 0.58, 0.74),
        )
    ),
    "evaluate": evaluations.one(),
    "evaluate-several": evaluations.several(),
    "inspect": inspection(),
    "inspect-stated": stated(),
    "map": maps.model_map(maps.cosines(6), MODELS, groups=3),
    "map-twenty": maps.twenty(linkage="single"),
    "map-long-names": maps.model_map(
        maps.cosines(3),
        [replace(m, name=f"{m.name}-{'-'.join(['of-a-vendor'] * 4)}") for m in MODELS[:3]],
        unfinished=("late",),
    ),
    "map-nearest": maps.model_map(maps.cosines(6), MODELS, drawn=False),
}  # fmt: skip


def screen(result, width, encoding="utf-8"):
    """What `result` looks like on a terminal of `width`, without colours."""
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(
        file=buffer, width=width, force_terminal=True, color_system=None, highlight=False
    )
    if callable(result):
        result(console)
    else:
        table.render(result, console)
    text = buffer.buffer.getvalue().decode(encoding)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", SCREENS)
def test_screen(name, width, overwrite):
    shown = screen(SCREENS[name], width)
    file = GOLDEN / f"{name}-{width}.txt"
    if overwrite:
        file.write_text(shown, encoding="utf-8")

    assert shown == file.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_screen():
    assert {f.name for f in GOLDEN.iterdir()} == {
        f"{name}-{width}.txt" for name in SCREENS for width in (80, 160)
    }


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 240])
@pytest.mark.parametrize("name", SCREENS)
def test_nothing_is_cut_and_nothing_sticks_out(name, width):
    shown = screen(SCREENS[name], width)

    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("name", [n for n in SCREENS if n.startswith("rank")])
def test_names_stay_whole_at_the_narrowest_usual_width(name):
    shown = screen(SCREENS[name], 80)

    for source in SCREENS[name].targets[0].sources[: ranked.CLOSEST]:
        assert source.name in shown


def test_names_too_long_for_a_line_are_folded_and_whole():
    long = "vit_base_patch16_clip_quickgelu_384.laion2b_ft_in12k_in1k"
    models = (replace(MODELS[0], name=long), replace(MODELS[1], name=long[::-1]))

    shown = screen(ranking(models), 80)

    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    columns = [line[:23].strip() for line in shown.splitlines()]
    assert long.startswith(columns[1])


@pytest.mark.parametrize("name", SCREENS)
def test_a_terminal_that_knows_ascii_only(name):
    shown = screen(SCREENS[name], 80, encoding="ascii")

    assert shown.isascii()
    assert "\\x" not in shown
    assert "?" not in shown.replace("float32[?", "")


def test_colour_is_never_the_only_signal():
    """What is coloured says the same in words or in figures."""
    shown = screen(SCREENS["rank-target"], 160)
    assert "(duplicate)" in shown
    shown = screen(SCREENS["inspect"], 160)
    assert "problem        " in shown
    assert "cannot be ranked" in shown


def test_a_minus_zero_is_a_zero():
    shown = screen(SCREENS["compare"], 80)

    assert "-0.000" not in shown
    assert re.search(r"^009\.webp +0\.000$", shown, re.MULTILINE)


def test_a_bar_is_as_long_as_its_cosine():
    for encoding, bars in (
        ("utf-8", ["█" * 27 + "▎", "█" * 25 + "▌", "█" * 24, "█" * 23 + "▏", "█" * 21]),
        ("ascii", [("#" * length).ljust(30, ".") for length in (27, 26, 24, 23, 21)]),
    ):
        lines = screen(SCREENS["compare"], 80, encoding).splitlines()
        assert [line.split()[2] for line in lines if re.match(r"00[0-4]", line)] == bars


def test_a_target_without_sources():
    """No probe left a usable map: there is still a screen, and it says so by being empty."""
    result = ranking(target="edge2d-torch")
    (target,) = result.targets

    shown = screen(replace(result, targets=(replace(target, sources=()),)), 80)

    assert shown.startswith("Sources for edge2d-torch, closest first\n")


def test_ties_beyond_the_closest_are_counted():
    result = ranking()
    (first, *others) = result.targets
    tied = Target(first.name, tuple(replace(s, rank=1, tied=True) for s in first.sources))
    shown = screen(replace(result, targets=(tied, *others)), 80)
    assert f"and {len(first.sources) - 3} more of this rank" in shown
    assert "more of this rank" not in screen(result, 80)
