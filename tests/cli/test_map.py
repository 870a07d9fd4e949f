"""`onnxattr map`: what it shows, what stands in its directory, and what it refuses."""

import csv
import hashlib
import io
import json
import re
import threading
from xml.dom import minidom

import maps
import numpy as np
import pytest
from PIL import Image
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform
from small_models import chain, encoder, save

import onnxattr
from onnxattr.pipeline import job
from onnxattr.pipeline.map import _connected
from onnxattr.space import many
from onnxattr.types import Similarity

FILES = {
    "index.json", "similarity.csv", "distances.csv", "nearest.csv", "map.npz", "tree.nwk",
    "tree.svg", "tree.png", "plane.svg", "plane.png",
}  # fmt: skip


@pytest.fixture
def run_map(run):
    """Runs `map` on few probes."""

    def run_map(*arguments):
        return run("map", "--limit", 3, "--device", "cpu", *arguments)

    return run_map


@pytest.fixture
def five(tmp_path):
    folder = tmp_path / "five"
    for number in range(5):
        framework = "TensorFlow" if number % 2 else "PyTorch"
        proto = encoder(number // 2, nhwc=bool(number % 2), framework=framework)
        save(proto, folder / f"m{number}.onnx")
    return folder


def table(path):
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert [row[0] for row in rows[1:]] == rows[0][1:]
    return rows[0][1:], np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])


def parsed(text):
    """Newick as nested lists: (name or children, length to the parent)."""
    tokens = re.findall(r"'(?:[^']|'')*'|[(),:;]|[^(),:;']+", text.strip())

    def name(token):
        return token[1:-1].replace("''", "'") if token.startswith("'") else token

    def node():
        if tokens[0] == "(":
            tokens.pop(0)
            children = [node()]
            while tokens[0] == ",":
                tokens.pop(0)
                children.append(node())
            assert tokens.pop(0) == ")"
            what = children
        else:
            what = name(tokens.pop(0))
        length = 0.0
        if tokens[0] == ":":
            tokens.pop(0)
            length = float(tokens.pop(0))
        return what, length

    root = node()
    assert tokens == [";"]
    return root


def along(tree):
    """How far apart every two leaves are along a parsed tree: {(one, other): distance}."""
    found = {}

    def walk(node):
        what, length = node
        if isinstance(what, str):
            return {what: length}
        sides = [walk(child) for child in what]
        for i, one in enumerate(sides):
            for other in sides[i + 1 :]:
                for a, x in one.items():
                    for b, y in other.items():
                        found[frozenset((a, b))] = x + y
        return {leaf: far + length for side in sides for leaf, far in side.items()}

    walk(tree)
    return found


@pytest.mark.parametrize("linkage", ["single", "average", "ward"])
def test_from_files_to_scipys_tree(run_map, run, five, tmp_path, linkage):
    outcome = run_map(five, "-o", tmp_path / "out", "--linkage", linkage, "--clusters", 2)

    assert outcome.code == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    names, similarity = table(tmp_path / "out/similarity.csv")
    ranking = run("rank", five, "--limit", 3, "--device", "cpu", "-f", "json").json
    assert names == ranking["similarity"]["names"]
    np.testing.assert_array_equal(similarity, ranking["similarity"]["matrix"])
    _, distances = table(tmp_path / "out/distances.csv")
    np.testing.assert_allclose(distances, squareform(pdist(similarity)))
    merges = hierarchy.optimal_leaf_ordering(
        hierarchy.linkage(pdist(similarity), linkage), pdist(similarity)
    )
    with np.load(tmp_path / "out/map.npz", allow_pickle=False) as arrays:
        assert arrays["names"].tolist() == names
        np.testing.assert_array_equal(arrays["similarity"], similarity)
        np.testing.assert_allclose(arrays["merges"][:, 2:], merges[:, 2:])
        assert hierarchy.is_valid_linkage(arrays["merges"])
        assert arrays["leaves"].tolist() == hierarchy.leaves_list(merges).tolist()
        expected = hierarchy.fcluster(merges, 2, criterion="maxclust")
        assert len({*zip(expected, arrays["clusters"], strict=True)}) == 2
        gram = arrays["points"] @ arrays["points"].T
        assert gram.shape == (5, 5)
        nearest = arrays["nearest"][:, 0]
    order = similarity - 2 * np.eye(5)
    assert nearest.tolist() == order.argmax(axis=1).tolist()
    apart = squareform(hierarchy.cophenet(merges))
    found = along(parsed((tmp_path / "out/tree.nwk").read_text()))
    assert len(found) == 10
    for pair, distance in found.items():
        i, j = (names.index(name) for name in pair)
        assert distance == pytest.approx(apart[i, j], rel=1e-8)


def test_the_index_says_how_it_was_made(run_map, five, tmp_path):
    run_map(five, "-o", tmp_path / "out", "--clusters", 2, "--seed", 7, "--at", "r0")

    about = json.loads((tmp_path / "out/index.json").read_text())
    assert (about["schema_version"], about["kind"]) == (1, "map")
    assert {f["path"] for f in about["files"]} == FILES - {"index.json"}
    for file in about["files"]:
        data = (tmp_path / "out" / file["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert len(data) == file["bytes"]
    settings = about["settings"]
    assert (settings["linkage"], settings["clusters"], settings["seed"]) == ("single", 2, 7)
    assert settings["at"] == "r0"
    assert sorted(about["leaves"]) == sorted(about["clusters"]) == [f"m{i}" for i in range(5)]
    digest = hashlib.sha256((five / "m0.onnx").read_bytes()).hexdigest()
    assert about["models"][0]["sha256"] == digest
    assert "seconds" not in about


def test_the_same_input_gives_the_same_bytes(run_map, five, tmp_path):
    for number, options in enumerate(((), (), ("--no-store",))):
        assert run_map(five, "-o", tmp_path / f"{number}", *options).code == 0
    for name in FILES:
        first, *others = ((tmp_path / f"{i}" / name).read_bytes() for i in range(3))
        assert others == [first, first], name


def test_json_is_an_interface(run_map, five):
    document = run_map(five, "--clusters", 2, "-f", "json").json

    assert list(document) == [
        "schema_version", "kind", "models", "similarity", "distances", "joins", "leaves",
        "linkage", "clusters", "points", "kept", "nearest", "newick", "failures", "warnings",
        "settings", "versions", "unfinished", "stored", "seconds",
    ]  # fmt: skip
    assert (document["schema_version"], document["kind"]) == (1, "map")
    assert list(document["similarity"]) == ["names", "centred", "canvas", "matrix"]
    assert list(document["joins"][0]) == ["first", "second", "distance", "size"]
    assert list(document["nearest"][0][0]) == ["name", "similarity"]
    assert np.shape(document["distances"]) == (5, 5)
    assert np.shape(document["points"]) == (5, 2)
    assert sorted(document["leaves"]) == list(range(5))


def test_the_command_says_what_the_function_says(run_map, five):
    options = onnxattr.Options(limit=3, device="cpu")
    result = onnxattr.map_models(five, linkage="ward", groups=3, options=options)
    document = run_map(five, "--linkage", "ward", "--clusters", 3, "-f", "json").json
    said = json.loads(onnxattr.to_json(result))
    assert {**document, "seconds": 0, "stored": 0} == {**said, "seconds": 0, "stored": 0}


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "markdown"])
def test_rows_are_in_the_order_of_the_leaves(run_map, five, form):
    document = run_map(five, "-f", "json").json
    expected = [document["models"][leaf]["name"] for leaf in document["leaves"]]
    text = run_map(five, "-f", form).out
    if form == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        names = [row["model"] for row in rows]
        assert rows[0]["joined_at"] is None
        joined = sorted(row["joined_at"] for row in rows[1:])
        assert joined == sorted(join["distance"] for join in document["joins"])
    elif form == "markdown":
        names = [line.split(" ")[1] for line in text.splitlines()[2:]]
    else:
        rows = csv.DictReader(io.StringIO(text), delimiter="," if form == "csv" else "\t")
        names = [row["model"] for row in rows]
    assert names == expected


def test_one_model_left_out_costs_no_other(run_map, five):
    alone = run_map(five, "-f", "json").json
    (five / "bad.onnx").write_bytes(b"no model")

    outcome = run_map(five, "-f", "json")

    assert outcome.code == 1
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith("bad: ")
    for key in ("similarity", "joins", "leaves", "points", "newick"):
        assert outcome.json[key] == alone[key]
    assert run_map(five, "--exit-zero").code == 0


def test_a_map_can_be_evaluated(run_map, run, five, tmp_path):
    run_map(five, "-o", tmp_path / "out")
    (tmp_path / "map.json").write_text(run_map(five, "-f", "json").out)
    names, values = table(tmp_path / "out/similarity.csv")
    truth = "\n".join(
        [",".join(["source", *names])]
        + [",".join([n, *map(str, row)]) for n, row in zip(names, values, strict=True)]
    )
    (tmp_path / "truth.csv").write_text(truth + "\n")
    for measure in ("out/similarity.csv", "map.json"):
        outcome = run(
            "evaluate", "--truth", tmp_path / "truth.csv", "--similarity", tmp_path / measure,
            "-f", "json",
        )  # fmt: skip
        figures = outcome.json["measures"][0]["figures"]
        assert figures["spearman"]["value"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--linkage", "centroid"), 2, "there is no linkage `centroid`"),
        (("--clusters", "0"), 2, "`0` groups cannot be made"),
        (("--clusters", "6"), 2, "`6` groups cannot be made of `5` models"),
        (("-f", "xml"), 2, "there is no format `xml`"),
        (("-o", "{five}/m0.onnx"), 2, "cannot be written: it is no directory"),
        (("-o", "{five}"), 2, "is not empty"),
        (("--limit", "1"), 2, "centred maps need at least two probes"),
        (("--method", "saliency,grad-input"), 2, "are 2 methods, and one compares models"),
    ],
)
def test_wrong_usage_is_one_line(run_map, five, arguments, code, message):
    outcome = run_map(five, *(a.format(five=five) for a in arguments))
    assert outcome.code == code
    assert outcome.out == ""
    assert len(outcome.errors) == 1
    assert message in outcome.errors[0]


def test_fewer_than_three_models(run_map, good, tmp_path):
    outcome = run_map(good)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.errors == ["2 models are given, and a map needs three"]
    assert outcome.hints == ["`onnxattr compare` takes two"]
    save(chain(["Nothing"]), good / "odd.onnx")
    outcome = run_map(good)
    assert outcome.code == 3
    assert outcome.errors[-1] == "2 of 3 models usable, and a map needs three"


def test_models_that_share_no_probe_are_left_out_one_by_one():
    matrix = np.ones((5, 5))
    for i, j in ((0, 1), (0, 2), (3, 4)):
        matrix[i, j] = matrix[j, i] = np.nan
    similarity = Similarity(tuple("abcde"), matrix, np.empty((5, 5, 0)), True, (1, 1), (0,) * 5)
    # `a` lacks two; of `d` and `e`, which lack each other, the last goes.
    assert _connected(similarity) == [1, 2, 3]


def test_more_models_than_are_drawn(run_map, five, tmp_path, monkeypatch):
    full = run_map(five, "-f", "json").json
    monkeypatch.setattr(many, "COSINES", 0)
    streamed = run_map(five, "-f", "json").json
    monkeypatch.setattr(many, "MODELS", 4)

    outcome = run_map(five, "-o", tmp_path / "out", "-f", "json")

    np.testing.assert_allclose(
        streamed["similarity"]["matrix"], full["similarity"]["matrix"], atol=1e-12
    )
    document = outcome.json
    assert outcome.code == 0
    assert (document["similarity"]["matrix"], document["joins"], document["leaves"]) == ([], [], [])
    assert any("5 models are too many for a matrix and a tree" in line for line in outcome.warnings)
    for ours, theirs in zip(document["nearest"], full["nearest"], strict=True):
        assert [n["name"] for n in ours] == [n["name"] for n in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-12)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "index.json",
        "nearest.csv",
        "map.npz",
        "plane.svg",
        "plane.png",
    }
    # By sketches that are not far off, up to the sign of each dimension.
    np.testing.assert_allclose(np.abs(document["points"]), np.abs(full["points"]), atol=0.2)
    shown = run_map(five).out
    assert shown.splitlines()[0].split() == ["model", "nearest", "models", "cosine"]
    assert len(run_map(five, "-f", "csv").out.splitlines()) == 1 + 5 * 4


HOSTILE = (
    "it's \x1b[31mred\x1b]0;t\x07", "=1+1", "safe\u202egnp", "one\ntwo", "(a,b):1;",
    "<script>alert(1)</script>&\"]]>", "[bold]x[/bold]", "größe-模型",
)  # fmt: skip


def test_hostile_names_reach_no_file_raw(tmp_path):
    from onnxattr.cli.map_folder import fill

    summaries = [maps.summary(name) for name in HOSTILE]
    result = maps.model_map(maps.cosines(len(HOSTILE)), summaries, groups=2)
    written = fill(tmp_path / "out", result)

    for file in written:
        data = (tmp_path / "out" / file.path).read_bytes()
        if file.path.endswith((".png", ".npz")):
            continue
        text = data.decode()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\x07" not in text
    found = along(parsed((tmp_path / "out/tree.nwk").read_text()))
    leaves = {name for pair in found for name in pair}
    assert len(leaves) == len(HOSTILE)
    assert {"=1+1", "(a,b):1;", "one\\ntwo", "größe-模型"} <= leaves
    assert "it's \\x1b[31mred\\x1b]0;t\\x07" in leaves
    for name in ("tree", "plane"):
        document = minidom.parseString((tmp_path / f"out/{name}.svg").read_text())
        assert not document.getElementsByTagName("script")
        with Image.open(tmp_path / f"out/{name}.png") as image:
            image.load()
    rows = list(csv.reader(io.StringIO((tmp_path / "out/similarity.csv").read_text())))
    assert "'=1+1" in rows[0]
    assert len(rows) == 1 + len(HOSTILE)
    assert all(len(row) == 1 + len(HOSTILE) for row in rows)


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_that_nobody_wants(run_map, five, monkeypatch, variable):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv(*variable)
    outcome = run_map(five, "--clusters", 2)
    assert not re.search(r"\x1b\[[\d;]*3\dm", outcome.out + outcome.err)


def test_a_pipe_gets_the_whole_tree_plain(run_map, tmp_path):
    names = ["long-" * 20 + str(number) for number in range(3)]
    for number, name in enumerate(names):
        save(encoder(number), tmp_path / f"{name}.onnx")
    outcome = run_map(tmp_path)
    assert "\x1b" not in outcome.out
    # Each as a line of the tree, and as somebody's nearest or not.
    assert all(name in outcome.out for name in names)
    assert "distance" in outcome.out.splitlines()[0]


def test_more_groups_than_the_tree_tells_apart(run_map, tmp_path):
    for number in range(4):
        save(encoder(0), tmp_path / f"m{number}.onnx")
    outcome = run_map(tmp_path, "--clusters", 3)
    assert outcome.code == 0
    (line,) = [line for line in outcome.warnings if "made and not" in line]
    assert line == "1 group is made and not 3: some groups are equally far apart"


def test_what_was_interrupted_is_partial(five, monkeypatch):
    """The models that are finished make a map, and the others are named."""
    stop = threading.Event()
    examine = job.Examiner.examine
    seen = []

    def examine_some(self, name, *arguments):
        outcome = examine(self, name, *arguments)
        seen.append(name)
        if len(seen) == 3:
            stop.set()
        return outcome

    monkeypatch.setattr(job.Examiner, "examine", examine_some)
    options = onnxattr.Options(limit=3, device="cpu")
    result = onnxattr.map_models(five, options=options, stop=stop)
    assert len(result.models) + len(result.unfinished) == 5
    assert len(result.models) >= 3
    assert result.unfinished
    assert result.warnings[0].startswith("the map is partial: ")


def test_the_papers_arithmetic(run_map, run, five):
    document = run_map(five, "--paper", "-f", "json").json
    ranking = run("rank", five, "--limit", 3, "--device", "cpu", "--paper", "-f", "json").json
    assert document["similarity"]["matrix"] == ranking["similarity"]["matrix"]
    assert document["settings"]["centred"] is False
    assert "the paper's arithmetic" in run_map(five, "--paper").out


def test_a_map_is_drawn_of_attribution_alone():
    with pytest.raises(onnxattr.UsageError, match="not by `attribution,cka`"):
        onnxattr.map_models("models", options=onnxattr.Options(measure="attribution,cka"))
