"""The paper's evaluation, exactly, on the affinities that Taskonomy published."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import onnxattr
from onnxattr.scores import load_scores
from onnxattr.scores.pickled import read_pickle
from onnxattr.space.agreement import order
from onnxattr.types import Scores

#: Beside this checkout, or beside the folder that it is in.
PLACES = [folder / "shared/reference/taskonomy" for folder in Path(__file__).parents[3:]]
REFERENCE = next((place for place in PLACES if place.is_dir()), PLACES[0])

pytestmark = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="Taskonomy's published affinities are not at hand"
)

#: In the order of the paper's code.
TASKS = (
    "autoencoder", "curvature", "denoise", "edge2d", "edge3d", "keypoint2d", "keypoint3d",
    "colorization", "reshade", "rgb2depth", "rgb2mist", "rgb2sfnorm", "room_layout", "segment25d",
    "segment2d", "vanishing_point", "segmentsemantic", "class_1000", "class_places",
    "inpainting_whole",
)  # fmt: skip

#: Two are sources only.
TARGETS = tuple(t for t in TASKS if t not in ("colorization", "inpainting_whole"))


@pytest.fixture(scope="module")
def files():
    return {
        name: load_scores(REFERENCE / f"{name}.pkl")
        for name in ("all_affinities", "all_affinities_1k", "all_affinities_16k")
    }


@pytest.fixture(scope="module")
def result(files):
    return onnxattr.evaluate(files["all_affinities_16k"], files["all_affinities_1k"], only=TASKS)


def plain(name):
    """The affinities as pickle itself reads them, first order, by (source, target)."""
    with open(REFERENCE / f"{name}.pkl", "rb") as file:
        held = pickle.load(file, encoding="latin1")
    renamed = {
        "impainting_whole": "inpainting_whole",
        "vanishing_point_well_defined": "vanishing_point",
        "segmentsemantic_rb": "segmentsemantic",
    }
    pairs = ((k.split("__"), float(v)) for k, v in held.items())
    return {tuple(renamed.get(n, n) for n in k): v for k, v in pairs if len(k) == 2}


@pytest.mark.parametrize("name", ["all_affinities", "all_affinities_1k", "all_affinities_16k"])
def test_the_official_files_are_read_as_pickle_reads_them(files, name):
    scores, expected = files[name], plain(name)

    for i, source in enumerate(scores.sources):
        for j, target in enumerate(scores.targets):
            assert scores.values[i, j] == expected.pop((source, target))
    assert expected == {}
    data = (REFERENCE / f"{name}.pkl").read_bytes()
    assert read_pickle(data, name) == pickle.loads(data, encoding="latin1")


def test_the_relevant_sets_are_the_papers_on_18_of_18_targets(files):
    scores = files["all_affinities_16k"]
    published = np.load(REFERENCE / "sort_gt.npy")
    rows = [scores.sources.index(task) for task in TASKS]
    same = []
    for row, target in zip(published, TARGETS, strict=True):
        truth = scores.values[rows, scores.targets.index(target)]
        others = [i for i in range(20) if TASKS[i] != target]
        rebuilt = [others[i] for i in order(truth[others])]
        assert TASKS[row[0]] == target
        same.append(rebuilt == row[1:].tolist())
    assert sum(same) == len(same) == 18


def test_sources_and_targets_are_the_papers(result):
    assert result.sources == tuple(sorted(TASKS))
    assert result.targets == tuple(sorted(TARGETS))
    assert result.relevant == 5
    assert result.missing == ()
    assert result.failures == ()


def test_precision_and_recall_as_the_paper_pools_them(result):
    for one in (*result.measures, *result.references):
        for point in one.curve:
            assert point.precision == pytest.approx(point.hits / (18 * point.k), abs=1e-15)
            assert point.recall == pytest.approx(point.hits / 90, abs=1e-15)
            assert one.name == "random" or point.hits == int(point.hits)
        assert [p.k for p in one.curve] == list(range(1, 20))
        assert one.curve[4].precision == pytest.approx(one.curve[4].recall)
        assert one.curve[-1].hits == pytest.approx(90)


def test_oracle_random_and_ceiling(result):
    oracle, random, ceiling = result.references

    assert [p.hits for p in oracle.curve] == [18 * min(k, 5) for k in range(1, 20)]
    assert random.curve[4].precision == pytest.approx(5 / 19)
    assert random.curve[0].precision == pytest.approx(5 / 19)
    assert ceiling.curve[4].hits == 77  # .856


def test_affinities_of_a_thousand_images_predict_those_of_sixteen(result):
    (measured,) = result.measures
    assert measured.curve[4].hits == 79  # .878
    assert measured.figures["p_at_relevant"].value == pytest.approx(79 / 90)


def test_published_hits_are_below_the_oracles():
    """The published curves are of this evaluation: 5 relevant, 90 in all, whole hits that grow."""
    published = json.loads((REFERENCE / "published_pk_hit_counts.json").read_text())
    for name, curve in published.items():
        known = [(k, hits) for k, hits in enumerate(curve, 1) if hits is not None]
        for k, hits in known:
            assert hits <= 18 * min(k, 5), name
        assert [h for _, h in known] == sorted(h for _, h in known)


@pytest.mark.parametrize("method", ["grad*input"])
def test_scores_with_the_published_hits_have_the_published_precision(files, method):
    """Orders are made that gain relevant sources, place by place, as the published curve does."""
    published = json.loads((REFERENCE / "published_pk_hit_counts.json").read_text())
    curve = published[f"song19/taskonomy/{method}"]
    truth = files["all_affinities_16k"]
    values = np.full((20, 18), np.nan)
    relevant, others = {}, {}
    for target in TARGETS:
        affinity = truth.values[:, truth.targets.index(target)]
        ranked = [truth.sources[i] for i in order(affinity)]
        ranked = [s for s in ranked if s in TASKS and s != target]
        relevant[target], others[target] = ranked[:5], ranked[5:]
    for place, gained in enumerate(np.diff([0, *curve])):
        for t in sorted(TARGETS, key=lambda t: -len(relevant[t])):
            chosen = (relevant if gained > 0 else others)[t].pop()
            gained -= 1
            values[TASKS.index(chosen), TARGETS.index(t)] = -place

    made = Scores("made", TASKS, TARGETS, values)
    (measured,) = onnxattr.evaluate(truth, made, only=TASKS).measures

    assert [p.hits for p in measured.curve] == curve
    assert round(measured.figures["p_at_relevant"].value, 3) == 0.667


def test_the_protocol_of_rank_correlation(files):
    """17×17 tasks against the affinities of all images, with the diagonal and without it."""
    square = [task for task in TARGETS if task != "class_places"]
    truth, score = files["all_affinities"], files["all_affinities_16k"]

    result = onnxattr.evaluate(truth, score, only=square)

    (measured,) = result.measures
    assert (len(result.sources), len(result.targets)) == (17, 17)
    w, s = plain("all_affinities"), plain("all_affinities_16k")
    for figure, kept in (
        ("spearman_with_self", lambda source, target: True),
        ("spearman", lambda source, target: source != target),
    ):
        expected = []
        for t in square:
            sources = [source for source in square if kept(source, t)]
            ranks = [
                np.argsort(np.argsort([table[source, t] for source in sources])) for table in (w, s)
            ]
            expected.append(np.corrcoef(*ranks)[0, 1])
        assert measured.figures[figure].value == pytest.approx(np.mean(expected), abs=1e-12)
    assert measured.figures["spearman_with_self"].value > measured.figures["spearman"].value


def test_the_commands_own_words(files, tmp_path):
    """From the files as they are published to the figures of the paper's protocol."""
    from onnxattr.report.json import to_json

    result = onnxattr.evaluate(
        REFERENCE / "all_affinities_16k.pkl",
        {"1k": REFERENCE / "all_affinities_1k.pkl", "truth": files["all_affinities_16k"]},
        only=TASKS,
    )

    document = json.loads(to_json(result))
    assert [m["name"] for m in document["measures"]] == ["1k", "truth"]
    assert document["measures"][0]["curve"][4]["hits"] == 79
    assert document["measures"][1]["differences"]["p_at_relevant"]["value"] == pytest.approx(
        11 / 90
    )
    assert document["measures"][1]["differences"]["p_at_relevant"]["low"] > 0
