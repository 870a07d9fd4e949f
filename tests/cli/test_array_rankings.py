"""Arrays, token ids and models of several inputs, from the command line."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import onnxattr


def save(path, text, **weights):
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {text}')
    for name, array in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    onnx.save(proto, path)
    return path


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tabular(path, seed, width=6):
    text = f"(float[N,{width}] x) => (float[N,3] y) {{ h = MatMul(x, v) r = Tanh(h) "
    return save(path, text + "y = MatMul(r, w) }", v=draw(width, 8, seed=seed), w=draw(8, 3))


def language(path, seed, mask=False):
    inputs = "int64[batch,len] ids" + (", float[batch,len] mask" if mask else "")
    text = f"({inputs}) => (float[batch,3] y) {{ z = Gather(t, ids) r = Tanh(z) "
    if mask:
        text += "two = Constant<value = int64[1] {2}>() u = Unsqueeze(mask, two) s = Mul(r, u) "
    text += f"h = MatMul({'s' if mask else 'r'}, v) g = Relu(h) "
    text += "m = ReduceMean<axes = [1], keepdims = 0>(g) y = MatMul(m, w) }"
    weights = {"t": draw(20, 6, seed=seed), "v": draw(6, 8, seed=seed + 9), "w": draw(8, 3)}
    return save(path, text, **weights)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "numbers.npy", draw(12, 6))
    np.save(tmp_path / "ids.npy", np.random.default_rng(0).integers(0, 20, (12, 5)))
    for seed in (1, 2):
        tabular(tmp_path / f"tabular{seed}.onnx", seed)
        language(tmp_path / f"language{seed}.onnx", seed, mask=seed == 2)
    return tmp_path


def rank(run, folder, probes, *options):
    return run(
        "rank", folder, "-f", "json", "--device", "cpu", "--probes", folder / probes, *options
    )


def test_numbers(run, folder):
    outcome = rank(run, folder, "numbers.npy")

    assert outcome.ranked == ["tabular1", "tabular2"]
    assert outcome.code == 1
    (one, two) = outcome.errors
    assert one == (
        "language1: the probes are [6], and no input takes such; its inputs: `ids` int64[batch,len]"
    )
    assert two.startswith("language2: it takes 2 inputs, and a probe can be fed to one only")
    assert outcome.hints[0].startswith("token ids are whole numbers, int64 [probe, length]")
    assert outcome.hints[1] == "--input NAME=VALUE feeds a number to each of the others"
    assert outcome.json["settings"]["probes"]["kind"] == "array"
    assert outcome.json["similarity"]["canvas"] == [6]
    spec = outcome.json["models"][0]["spec"]
    assert (spec["kind"], spec["axes"], spec["range"], spec["color"]) == ("array", [6], None, None)
    # Nothing is assumed of numbers that are fed as they are.
    assert not [line for line in outcome.warnings if "assumed" in line]


def test_the_order_follows_the_weights(run, folder):
    """Of three linear models: the second is nearly the first."""
    base = draw(6, 4)
    text = "(float[N,6] x) => (float[N,4] y) { h = MatMul(x, v) y = Tanh(h) }"
    near, far = base + 0.05 * draw(6, 4, seed=1), draw(6, 4, seed=2)
    for name, v in (("a", base), ("b", near), ("c", far)):
        save(folder / f"linear-{name}.onnx", text, v=v)
    outcome = rank(run, folder / "linear-*.onnx", folder / "numbers.npy", "--at", "y")
    closest = {t["name"]: t["sources"][0]["name"] for t in outcome.json["targets"]}
    assert (closest["linear-a"], closest["linear-b"]) == ("linear-b", "linear-a")


def test_token_ids(run, folder):
    outcome = rank(run, folder, "ids.npy", "--input", "mask=1")

    assert outcome.ranked == ["language1", "language2"]
    assert [line.partition(",")[0] for line in outcome.errors] == [
        "tabular1: the probes are token ids",
        "tabular2: the probes are token ids",
    ]
    one, two = (model["spec"] for model in outcome.json["models"])
    assert (one["kind"], one["axes"], one["at"], one["fixed"]) == ("tokens", [5], "z", [])
    assert two["fixed"] == [{"name": "mask", "value": 1.0, "shape": [None, 5], "dtype": "float32"}]
    assert all(model["gradient"]["error"] < 0.1 for model in outcome.json["models"])


def test_a_second_run_is_stored_and_another_number_is_not(run, folder):
    for number, stored in (("1", []), ("1", ["language1", "language2"]), ("0.5", ["language1"])):
        outcome = rank(
            run, folder, "ids.npy", "--input", f"mask={number}", "--store", folder / "store"
        )
        assert outcome.json["stored"] == stored


def test_other_numbers_are_other_probes(run, folder):
    """Not even where the bytes are the same."""
    np.save(folder / "same.npy", np.zeros((12, 6), np.float32) + draw(12, 1))
    first = rank(run, folder, "numbers.npy", "--store", folder / "store").json
    second = rank(run, folder, "same.npy", "--store", folder / "store").json
    assert second["stored"] == []
    assert first["settings"]["probes"]["sha256"] != second["settings"]["probes"]["sha256"]


def test_an_archive_with_the_array_of_an_input(run, folder):
    mask = np.ones((12, 5), np.float32)
    np.savez(folder / "both.npz", ids=np.load(folder / "ids.npy"), mask=mask)
    outcome = rank(run, folder, "both.npz", "--input-name", "ids", "--input", "mask=1")
    assert outcome.ranked == ["language1", "language2"]


def test_the_table(run, folder):
    outcome = run("rank", folder / "language*.onnx", "-p", folder / "ids.npy", "--input", "mask=1")
    assert outcome.code == 0
    assert "tokens 5  as it is" in outcome.out


@pytest.mark.parametrize("form", ["csv", "jsonl", "markdown"])
def test_rows(run, folder, form):
    outcome = run("rank", folder / "t*.onnx", "-p", folder / "numbers.npy", "-f", form)
    assert outcome.code == 0
    if form == "jsonl":
        row = json.loads(outcome.out.splitlines()[0])
        assert (row["kind"], row["shape"], row["range"]) == ("array", "6", "as it is")


def test_inspect(run, folder):
    outcome = run("inspect", folder / "language2.onnx", "--input", "mask=1", "--check-gradient")
    assert outcome.code == 0
    for line in (
        "tokens         16  (assumed: the graph is free)",
        "maps of        z  (graph: Gather makes it of the ids)",
        "input 2        mask = 1 [batch, 16]",
        "can be ranked",
    ):
        assert line in outcome.out
    rows = json.loads(run("inspect", folder / "tabular1.onnx", "-f", "jsonl").out)
    assert (rows["kind"], rows["shape"], rows["height"]) == ("array", "6", None)


@pytest.mark.parametrize("given", ["mask", "mask=", "mask=one", "=1"])
def test_no_number(run, folder, given):
    outcome = rank(run, folder, "ids.npy", "--input", given)
    assert outcome.code == 2
    assert outcome.errors == [f"--input takes NAME=VALUE, a number, not `{given}`"]


def test_a_number_that_is_not_finite(run, folder):
    outcome = rank(run, folder, "ids.npy", "--input", "mask=nan")
    assert (outcome.code, outcome.errors) == (
        2,
        ["the value `nan` of the input `mask` is not finite"],
    )


def test_probes_of_two_kinds(run, folder):
    outcome = rank(run, folder, "ids.npy", "--probes", folder / "numbers.npy")
    assert outcome.code == 2
    assert "others are given as well" in outcome.errors[0]


def test_damaged_probes(run, folder):
    (folder / "ids.npy").write_bytes(b"no array")
    outcome = rank(run, folder, "ids.npy")
    assert (outcome.code, outcome.out) == (3, "")
    assert f"the probes `{folder / 'ids.npy'}` cannot be read" in outcome.errors[0]


def test_images_and_models_of_numbers(run, folder, good):
    outcome = run("rank", folder, good, "-f", "json", "--limit", "3", "--device", "cpu")
    assert outcome.ranked == ["depth-keras", "edges-torch"]
    assert "no input takes an image" in outcome.errors[-1]
    assert outcome.hints[-1] == "--probes FILE.npy feeds arrays, or token ids"


def test_a_sidecar_says_what_other_inputs_are_fed(run, folder):
    assert (
        run("inspect", folder / "language2.onnx", "--input", "mask=0.5", "--write-spec").code == 0
    )
    sidecar = folder / "language2.toml"
    assert "mask" in sidecar.read_text()
    assert "color" not in sidecar.read_text()

    outcome = rank(run, folder / "language*.onnx", folder / "ids.npy")
    assert outcome.json["models"][1]["spec"]["fixed"][0]["value"] == 0.5
    outcome = rank(run, folder / "language*.onnx", folder / "ids.npy", "--input", "mask=1")
    assert outcome.json["models"][1]["spec"]["fixed"][0]["value"] == 1

    sidecar.write_text('[input]\nname = "ids"\n[fixed]\nmusk = 1\n')
    outcome = rank(run, folder / "language*.onnx", folder / "ids.npy", "--input", "ids=3")
    assert "`musk`, of which a fixed value is given (sidecar `language2.toml`)" in outcome.err


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.zeros((3, 6)), "array", "probes of the kind `array` are float32, and not float64"),
        (np.zeros((3, 6), np.float32), "tokens", "are int64, and not float32"),
        (np.zeros((3, 6), np.float32), "numbers", "there are no probes of the kind `numbers`"),
    ],
)
def test_probes_made_in_python(folder, values, kind, message):
    probes = onnxattr.Probes(values, tuple("abc"), "", "", kind=kind)
    with pytest.raises(onnxattr.UsageError, match=message):
        onnxattr.attribute(folder / "tabular1.onnx", probes=probes)


@pytest.mark.parametrize("method", ["occlusion", "rise:masks=50", "kernel-shap"])
def test_black_box_maps_are_of_arrays_too(run, folder, method):
    outcome = rank(run, folder / "tabular*.onnx", folder / "numbers.npy", "--method", method)
    assert outcome.ranked == ["tabular1", "tabular2"]
    assert outcome.json["similarity"]["canvas"] == [6]


def test_black_box_maps_are_not_of_token_ids(run, folder):
    outcome = rank(run, folder / "language1.onnx", folder / "ids.npy", "--method", "rise")
    assert outcome.code == 3
    assert "black-box maps are made of images and arrays, and it takes token ids" in outcome.err


@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_images_and_a_number(run, tmp_path, method):
    """The other input is fed to ONNX Runtime where it alone makes the maps, too."""
    text = "(float[N,3,8,8] image, float keep) => (float[N,4,6,6] y) "
    for seed in (1, 2):
        body = "{ k = Mul(image, keep) c = Conv(k, w) y = Tanh(c) }"
        save(tmp_path / f"image{seed}.onnx", text + body, w=draw(4, 3, 3, 3, seed=seed))
    options = ("--limit", "3", "--device", "cpu", "--no-store", "-f", "json", "--method", method)
    outcome = run("rank", tmp_path, *options, "--input", "keep=0.5")
    assert outcome.ranked == ["image1", "image2"]
    assert run("rank", tmp_path, *options).code == 3


@pytest.mark.parametrize("probes", ["numbers.npy", "ids.npy"])
def test_a_map_of_models_of_arrays_and_of_tokens(run, folder, probes, tmp_path):
    kind = "language" if probes == "ids.npy" else "tabular"
    for seed in (3, 4):
        (tabular if kind == "tabular" else language)(folder / f"{kind}{seed}.onnx", seed)
    command = ("map", *sorted(folder.glob(f"{kind}[134].onnx")), "--device", "cpu")

    outcome = run(*command, "--probes", folder / probes, "-o", tmp_path / "out", "-f", "json")

    assert outcome.code == 0
    document = outcome.json
    ranking = rank(run, folder, probes, "--exit-zero").json["similarity"]
    rows = [ranking["names"].index(name) for name in document["similarity"]["names"]]
    expected = np.array(ranking["matrix"])[np.ix_(rows, rows)]
    np.testing.assert_allclose(document["similarity"]["matrix"], expected, atol=1e-12)
    assert (tmp_path / "out/plane.png").stat().st_size > 0
