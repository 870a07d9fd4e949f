"""`onnxattr attribute`: what stands in its directory, what it refuses, and what it shows."""

import hashlib
import io
import json
import os
import signal
import threading
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from PIL import Image
from rich.console import Console
from rich.style import Style
from small_models import SIZE, encoder, save
from test_screens import attributions

import onnxattr
from onnxattr.pipeline import job
from onnxattr.report.pictures import Look
from onnxattr.report.preview import preview

TWO = ("--method", "saliency,grad-input")


@pytest.fixture
def attribute(run):
    """Runs `attribute` on few probes."""

    def attribute(*arguments):
        return run("attribute", "--limit", 3, "--device", "cpu", *arguments)

    return attribute


def index(folder):
    return json.loads((folder / "index.json").read_text(encoding="utf-8"))


def found(folder):
    """All files, as the index names them."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


def test_maps_pictures_and_an_index(attribute, good, tmp_path):
    out = tmp_path / "out"

    outcome = attribute(good, "-o", out, *TWO)

    assert outcome.code == 0
    names, methods = ("depth-keras", "edges-torch"), ("saliency", "grad-input")
    probes = ("000.webp", "001.webp", "002.webp")
    numbers = {f"{n}/{m}.npy" for n in names for m in methods}
    pictures = {f"{n}/{m}/{p}.png" for n in names for m in methods for p in probes}
    sheets = {f"contact-{m}.png" for m in methods}
    assert found(out) == numbers | pictures | sheets | {"index.json"}
    about = index(out)
    assert {f["path"] for f in about["files"]} == numbers | pictures | sheets
    for file in about["files"]:
        data = (out / file["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert len(data) == file["bytes"]
    options = onnxattr.Options(method="saliency,grad-input", limit=3, device="cpu")
    for name in names:
        expected = onnxattr.attribute(good / f"{name}.onnx", options=options)
        for each in expected.by_method():
            values = np.load(out / name / f"{each.method}.npy", allow_pickle=False)
            assert values.dtype == np.float32
            assert values.shape == (3, SIZE, SIZE)
            assert (values == each.values).all()
    for path in pictures | sheets:
        image = Image.open(out / path)
        image.load()
        assert image.text["onnxattr:method"] in path


def test_the_index_says_how_maps_were_made(attribute, good, tmp_path):
    attribute(good, "-o", tmp_path / "out", *TWO, "--scale", "all", "--clip", 99, "--seed", 7)

    about = index(tmp_path / "out")

    assert (about["schema_version"], about["kind"]) == (1, "attributions")
    settings = about["settings"]
    assert settings["methods"] == [
        {"name": "saliency", "options": {}},
        {"name": "grad-input", "options": {}},
    ]
    assert settings["pictures"] == {"scale": "all", "clip": 99.0}
    assert settings["seed"] == 7
    assert settings["reduction"] == "sum"
    assert settings["probes"]["count"] == len(about["probes"]) == 3
    assert about["versions"]["onnxattr"] == onnxattr.__version__
    model = about["models"][1]
    assert model["name"] == "edges-torch"
    assert model["sha256"] == hashlib.sha256((good / "edges-torch.onnx").read_bytes()).hexdigest()
    assert model["parity"]["error"] < 1e-4
    assert model["maps"] == [
        {
            "method": method, "signed": signed, "unusable": 0, "dims": ["probe", "y", "x"],
            "shape": [3, SIZE, SIZE], "dtype": "float32",
        }
        for method, signed in (("saliency", False), ("grad-input", True))
    ]  # fmt: skip


def test_the_same_input_gives_the_same_bytes(attribute, good, tmp_path):
    """The first run computes, the second finds its maps in the store, the third uses none."""
    for number, options in enumerate(((), (), ("--no-store",))):
        assert attribute(good, "-o", tmp_path / f"{number}", *TWO, *options).code == 0

    first = {path: (tmp_path / "0" / path).read_bytes() for path in found(tmp_path / "0")}
    for number in (1, 2):
        folder = tmp_path / f"{number}"
        assert found(folder) == set(first)
        for path, data in first.items():
            assert (folder / path).read_bytes() == data, path


def test_one_file_a_model(attribute, good, tmp_path):
    out = tmp_path / "out"

    outcome = attribute(good, "-o", out, *TWO, "--save", "npz", "--no-pictures")

    assert outcome.code == 0
    assert found(out) == {"depth-keras/maps.npz", "edges-torch/maps.npz", "index.json"}
    with np.load(out / "edges-torch" / "maps.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"saliency", "grad-input", "probes"}
        assert arrays["saliency"].shape == (3, SIZE, SIZE)
        assert arrays["saliency"].min() >= 0 > arrays["grad-input"].min()
        assert arrays["probes"].tolist() == ["000.webp", "001.webp", "002.webp"]
    assert index(out)["settings"]["pictures"] == {}
    assert index(out)["files"][0]["methods"] == ["saliency", "grad-input"]


def test_one_model_costs_no_other(attribute, good, tmp_path):
    (good / "broken.onnx").write_bytes(b"no model")
    out = tmp_path / "out"

    outcome = attribute(good, "-o", out)

    assert outcome.code == 1
    assert len(outcome.errors) == 1
    assert [m["name"] for m in index(out)["models"]] == ["depth-keras", "edges-torch"]
    assert [f["name"] for f in index(out)["failures"]] == ["broken"]
    assert not (out / "broken").exists()
    assert attribute(good, "-o", out, "--overwrite", "--exit-zero").code == 0


def test_no_usable_model(attribute, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")

    outcome = attribute(tmp_path / "broken.onnx", "-o", tmp_path / "out")

    assert outcome.code == 3
    assert outcome.errors[-1] == "no model is usable"
    assert outcome.out == ""
    assert not (tmp_path / "out").exists()


def test_a_unit_that_there_is_not(attribute, good, tmp_path):
    outcome = attribute(good, "-o", tmp_path / "out", "--reduction", "unit:99999")

    assert outcome.code == 3
    units = 4 * SIZE * SIZE
    assert f"edges-torch: it has {units} units, and none of the number 99999" in outcome.errors
    assert f"--reduction unit:I with I from 0 to {units - 1}" in outcome.hints


def test_what_is_drawn_of_several_projections_is_unsigned(attribute, good, tmp_path):
    out = tmp_path / "out"

    options = ("--method", "grad-input", "--reduction", "projection:2")
    assert attribute(good, "-o", out, "--no-pictures", *options).code == 0

    assert not index(out)["models"][0]["maps"][0]["signed"]
    assert np.load(out / "edges-torch" / "grad-input.npy").min() >= 0


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        (["--method", "salience"], "there is no method `salience`", "did you mean `saliency`?"),
        (["--method", "saliency,elpr"], "there is no method `elpr`", "did you mean `elrp`?"),
        (["--method", "occlusion:gird=4"], "`occlusion` has no option `gird`", "mean `grid`?"),
        (["--method", "occlusion:grid=0"], "`grid` of `occlusion` is a whole number from 1", ""),
        (["--method", "occlusion:grid"], "`grid` gives `grid` no value", "occlusion:grid="),
        (["--method", "saliency,occlusion"], "mixes black-box methods with others", ""),
        (["--reduction", "summ"], "there is no reduction `summ`", "did you mean `sum`?"),
        (["--reduction", "unit:-1"], "`unit:-1` needs a whole number from 0", "unit:0"),
        (["--precision", "fp64"], "there is no precision `fp64`", "`float64`"),
        (["--save", "npx"], "there is no form `npx`", "`npy`"),
        (["--scale", "modle"], "there is no scale `modle`", "did you mean `model`?"),
        (["--clip", "0"], "--clip takes a percentile above 0 and up to 100, not `0`", ""),
        (["--clip", "101"], "--clip takes a percentile above 0 and up to 100, not `101`", ""),
        (["--clip", "nan"], "--clip takes a percentile above 0 and up to 100, not `nan`", ""),
        (["-o", "/dev/null/maps"], "`/dev/null/maps` cannot be written", "--output"),
        (["-o", "/dev/null"], "`/dev/null` cannot be written: it is no directory", "--output"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_options(run, good, tmp_path, monkeypatch, options, error, hint):
    """A model is never read: a slip of the pen must not cost minutes."""

    def examine(*_):
        raise AssertionError("a model was read")

    monkeypatch.setattr(job.Examiner, "examine", examine)

    outcome = run("attribute", good, "-o", tmp_path / "out", *options)

    assert (outcome.code, outcome.out) == (2, "")
    (told,) = outcome.errors
    assert error in told
    assert hint in " ".join(outcome.hints)
    assert not (tmp_path / "out").exists()


def test_a_directory_that_holds_something(attribute, good, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert attribute(good, "-o", out, "--no-pictures").code == 0
    (out / "notes.txt").write_text("mine")
    before = {path: (out / path).read_bytes() for path in found(out)}

    refused = attribute(good, "-o", out)

    assert refused.code == 2
    assert refused.errors == [f"the directory `{out}` is not empty"]
    assert refused.hints == ["--overwrite replaces files of the same names; others stay"]
    assert {path: (out / path).read_bytes() for path in found(out)} == before
    assert attribute(good, "-o", out, "--overwrite", "--no-pictures").code == 0
    assert {path: (out / path).read_bytes() for path in found(out)} == before


def test_no_link_leads_out_of_the_directory(attribute, good, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    (out / "edges-torch").symlink_to(elsewhere)

    outcome = attribute(good, "-o", out, "--overwrite")

    assert outcome.code == 2
    assert "a link leads out of the directory" in outcome.errors[0]
    assert list(elsewhere.iterdir()) == []
    assert not (out / "index.json").exists()


def test_a_directory_may_be_a_link(attribute, good, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert attribute(good, "-o", tmp_path / "link").code == 0
    assert (tmp_path / "real" / "index.json").exists()


def test_a_disk_that_fills_up_leaves_no_index(attribute, good, tmp_path, monkeypatch):
    out, real = tmp_path / "out", os.replace

    def replace(source, target):
        if str(target).endswith("grad-input.npy"):
            raise OSError(28, "No space left on device")
        real(source, target)

    assert attribute(good, "-o", out).code == 0
    monkeypatch.setattr(os, "replace", replace)

    outcome = attribute(good, "-o", out, "--overwrite", "--no-store", *TWO)

    assert outcome.code == 2
    assert "cannot be written: No space left on device" in outcome.errors[0]
    assert not (out / "index.json").exists()
    assert not [path for path in found(out) if ".onnxattr-" in path]


HOSTILE = ("..\\..\\x", "\x1b[31mred", "safe\u202egnp", "a:b*c?", "[bold]x", "con", "-rf")


def test_hostile_names_of_models_and_probes(attribute, tmp_path):
    models, photos, out = tmp_path / "models", tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number, name in enumerate(HOSTILE):
        save(encoder(number), models / f"{name}.onnx")
        Image.effect_noise((16, 16), 50 + number).save(photos / f"{name}.png")
    save(encoder(8), models / "index.json.onnx")
    save(encoder(9), models / "A_B_C_.onnx")

    outcome = attribute(models, "-o", out, "-p", photos)

    assert outcome.code == 0
    files = found(out)
    assert len(files) == 9 * (1 + 3) + 2
    assert set(os.listdir(tmp_path)) == {"models", "photos", "out"}
    assert {"index.json", "index.json-2/saliency.npy"} <= files
    for path in files:
        for part in Path(path).parts:
            assert part[0] not in ".-"
            assert all(c.isalnum() or c in "._-=+" for c in part)
    about = index(out)
    by_name = {f["model"] for f in about["files"] if f["kind"] == "maps"}
    assert by_name == {m["name"] for m in about["models"]}
    shown = outcome.out + outcome.err + (out / "index.json").read_text(encoding="utf-8")
    hidden = [c for c in shown if c != "\n" and unicodedata.category(c)[0] == "C"]
    assert hidden == []


def test_models_of_one_name_in_two_directories(attribute, tmp_path):
    for folder in ("one", "two"):
        save(encoder(len(folder)), tmp_path / folder / "net.onnx")

    outcome = attribute(tmp_path / "one", tmp_path / "two", "-o", tmp_path / "out", "--no-pictures")

    assert outcome.code == 0
    assert found(tmp_path / "out") == {
        "index.json", "one_net/saliency.npy", "two_net/saliency.npy"
    }  # fmt: skip


def test_piped_it_is_plain_and_without_a_preview(attribute, good, tmp_path):
    outcome = attribute(good, "-o", tmp_path / "out", *TWO)

    lines = outcome.out.splitlines()
    assert lines[0].split() == [
        "model", "method", "parity", "maps", "unusable", "attributed", "at", "file"
    ]  # fmt: skip
    assert "edges-torch/saliency.npy" in outcome.out
    assert lines[-1].endswith("wrote 4 files of maps, 12 pictures, 2 contact sheets")
    assert "\x1b" not in outcome.out
    assert "probes\n" not in outcome.out


def test_a_preview_may_be_asked_for(attribute, good, tmp_path):
    outcome = attribute(good, "-o", tmp_path / "out", "--preview", "--no-pictures")

    assert "depth-keras  saliency, unsigned\n" in outcome.out
    assert "2 of 2 models, 3 of 3 probes" in outcome.out
    assert "\x1b" not in outcome.out


def test_quiet_says_nothing_on_stderr(attribute, good, tmp_path):
    outcome = attribute(good, "-o", tmp_path / "out", "-q", "--no-pictures")

    assert (outcome.code, outcome.err) == (0, "")


def shown(**more):
    """The preview on a terminal of 80 columns."""
    encoding = more.pop("encoding", "utf-8")
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=buffer, width=80, force_terminal=True, highlight=False, **more)
    looks = [Look("saliency", False), Look("lrp:composite=epsilon-plus", True)]
    console.print(preview(attributions(), looks, console))
    return buffer.buffer.getvalue().decode(encoding)


def test_a_preview_in_true_colour_shows_two_pixels_a_character():
    text = shown(color_system="truecolor")

    assert text.count("▀") == 3 * 24 * 12 * 5
    assert "\x1b[38;2;255;255;255;48;2;255;255;255m" in text
    assert "red +, blue -" in text


def test_a_preview_in_256_colours():
    # A style remembers how it was written, and sums of styles are remembered: one process has as a
    # rule one kind of terminal.
    Style._add.cache_clear()
    text = shown(color_system="256")

    assert "▀" in text
    assert "38;5;" in text
    assert "38;2;" not in text


@pytest.mark.parametrize(
    "more",
    [
        {"color_system": None},
        {"color_system": "standard"},
        {"color_system": "truecolor", "no_color": True},
        {"color_system": "truecolor", "encoding": "ascii"},
    ],
    ids=str,
)
def test_a_preview_without_colours_is_made_of_characters(more):
    text = shown(**more)

    assert "▀" not in text
    assert "38;" not in text
    assert "positive . : + * #, negative ' - = ~ %" in text
    assert "red" not in text
    assert text.isascii()


def test_a_preview_is_a_screen_long_whatever_the_number_of_methods():
    whole = attributions()
    methods = [f"m{i}" for i in range(9)]
    maps = tuple(
        replace(each, values=each.values[[0] * 9], method=",".join(methods), signed=(True,) * 9)
        for each in whole.maps
    )
    console = Console(file=io.StringIO(), width=80)

    console.print(preview(replace(whole, maps=maps), [Look(m, True) for m in methods], console))

    lines = console.file.getvalue().splitlines()
    assert len(lines) < 70
    assert any(line.startswith("1 of 3 models, 4 of 9 methods, 3 of 6 probes") for line in lines)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def array_model(path, axes, seed):
    """A model of arrays: two layers on all of their numbers."""
    size = int(np.prod(axes))
    text = f"(float[N,{','.join(map(str, axes))}] x) => (float[N,3] y) "
    text += "{ f = Flatten(x) h = MatMul(f, v) r = Tanh(h) y = MatMul(r, w) }"
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {text}')
    for name, array in (("v", draw(size, 8, seed=seed)), ("w", draw(8, 3))):
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.save(proto, path)


@pytest.mark.parametrize(("axes", "drawn"), [((30,), True), ((6, 10), True), ((2, 3, 4), False)])
def test_arrays_are_drawn_where_they_can_be(attribute, tmp_path, axes, drawn):
    for seed in (1, 2):
        array_model(tmp_path / f"m{seed}.onnx", axes, seed)
    np.save(tmp_path / "rows.npy", draw(5, *axes))
    out = tmp_path / "out"

    outcome = attribute(
        *sorted(tmp_path.glob("*.onnx")), "-o", out, "-p", tmp_path / "rows.npy", "--preview",
        "--method", "grad-input",
    )  # fmt: skip

    assert outcome.code == 0
    assert np.load(out / "m1" / "grad-input.npy").shape == (3, *axes)
    assert len(list(out.rglob("*.png"))) == (7 if drawn else 0)
    assert ("m1  grad-input, signed" in outcome.out) == drawn
    assert any("are not drawn" in warning for warning in outcome.warnings) != drawn
    assert index(out)["models"][0]["maps"][0]["dims"] == [
        "probe", *(f"axis{i}" for i in range(len(axes)))
    ]  # fmt: skip


def test_token_ids_are_drawn_as_bars(attribute, tmp_path):
    text = '<ir_version: 8, opset_import: ["" : 17]> g (int64[batch,5] ids) => (float[batch,6] y) '
    text += "{ z = Gather(t, ids) r = Tanh(z) y = ReduceMean<axes = [1], keepdims = 0>(r) }"
    proto = parser.parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(draw(20, 6), "t"))
    onnx.save(proto, tmp_path / "m.onnx")
    np.save(tmp_path / "ids.npy", np.random.default_rng(0).integers(0, 20, (4, 5)))
    out = tmp_path / "out"

    outcome = attribute(
        tmp_path / "m.onnx", "-o", out, "-p", tmp_path / "ids.npy", "--preview", "--scale", "all",
        "--method", "grad-input",
    )  # fmt: skip

    assert outcome.code == 0
    assert index(out)["models"][0]["maps"][0]["dims"] == ["probe", "token"]
    assert len(list(out.rglob("*.png"))) == 4
    assert "m  grad-input, signed" in outcome.out
    assert not outcome.out.startswith("probes")


def test_an_interruption_ends_the_drawing(attribute, good, tmp_path, monkeypatch):
    """Numbers are there by then, and no index that says that all is."""
    from onnxattr.report import pictures

    real, drawn = pictures.picture, []

    def picture(*arguments, **more):
        drawn.append(more["probe"])
        if len(drawn) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **more)

    monkeypatch.setattr(pictures, "picture", picture)
    out = tmp_path / "out"

    outcome = attribute(good, "-o", out)

    assert outcome.code == 130
    assert outcome.errors == ["interrupted"]
    assert len(drawn) == 2
    assert (out / "edges-torch" / "saliency.npy").exists()
    assert not (out / "index.json").exists()


def test_what_is_finished_before_an_interruption_is_returned(good):
    stop, told = threading.Event(), []

    class Stopping:
        def begin(self, models, probes, device):
            told.append((models, probes))

        def model(self, name):
            told.append(name)
            if name == "edges-torch":
                stop.set()

        def advance(self, probes):
            told.append(probes)

        def failed(self, failure):
            told.append(failure)

    options = onnxattr.Options(limit=3, device="cpu", store=None)

    result = onnxattr.attribute_many(good, options=options, progress=Stopping(), stop=stop)

    done = [model.name for model in result.models]
    assert done == ["depth-keras"]
    assert result.unfinished == ("edges-torch",)
    assert any("the result is partial: 1 model was not finished" in w for w in result.warnings)
    assert told[:2] == [(2, 3), "depth-keras"]


def test_methods_with_files_are_told_apart(attribute, good, tmp_path):
    """What a file holds stands in no name, however long and whatever it is made of."""
    (tmp_path / "rules.toml").write_text(
        '[[rule]]\noperators = ["Conv", "Gemm"]\nrule = "z-plus"\n'
    )
    for number in range(2):
        Image.new("RGB", (8, 8), (90 * number, 0, 0)).save(tmp_path / f"{number}.png")
    by = "integrated-gradients:steps=2:baseline="
    methods = [
        f"{by}{tmp_path}/0.png",
        f"{by}{tmp_path}/1.png",
        f"lrp:composite={tmp_path}/rules.toml",
    ]
    out = tmp_path / "out"

    outcome = attribute(good, "-o", out, "--no-pictures", "--method", ",".join(methods))

    assert outcome.code == 0
    files = sorted(p.name for p in (out / "edges-torch").iterdir())
    assert len(files) == 3
    assert files[0].startswith("integrated-gradients_steps=2_baseline=file-")
    assert files[2].startswith("lrp_composite=file-")
    assert len({f["sha256"] for f in index(out)["files"]}) == 6
    assert len(index(out)["models"][0]["maps"]) == 3


def test_a_baseline_of_another_shape(run, tmp_path):
    array_model(tmp_path / "m.onnx", (30,), 1)
    np.save(tmp_path / "rows.npy", draw(5, 30))
    np.save(tmp_path / "zero.npy", np.zeros((1, 29), np.float32))

    outcome = run(
        "attribute", tmp_path / "m.onnx", "-o", tmp_path / "out", "-p", tmp_path / "rows.npy",
        "--method", f"integrated-gradients:baseline={tmp_path}/zero.npy",
    )  # fmt: skip

    assert outcome.code == 3
    assert "m: the baseline has the shape [29], and its probes are of [30]" in outcome.errors


def test_a_method_that_an_operator_refuses(run, tmp_path):
    """By name, and before any map is made."""
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,6] x) => (float[N,6] y) '
    proto = parser.parse_model(text + "{ r = Softplus(x) y = Log(r) }")
    onnx.save(proto, tmp_path / "m.onnx")
    np.save(tmp_path / "rows.npy", draw(5, 6))

    outcome = run(
        "attribute", tmp_path / "m.onnx", "-o", tmp_path / "out", "-p", tmp_path / "rows.npy",
        "--method", "lrp",
    )  # fmt: skip

    assert outcome.code == 3
    assert outcome.errors[0].startswith("m: it has no relevance rule for Log: ")
    assert not (tmp_path / "out").exists()


def test_a_model_that_one_method_refuses_has_maps_by_the_others(run, tmp_path):
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,6] x) => (float[N,6] y) '
    onnx.save(parser.parse_model(text + "{ r = Softplus(x) y = Log(r) }"), tmp_path / "log.onnx")
    array_model(tmp_path / "tabular.onnx", (6,), 1)
    np.save(tmp_path / "rows.npy", draw(5, 6))
    out = tmp_path / "out"

    outcome = run(
        "attribute", tmp_path, "-o", out, "-p", tmp_path / "rows.npy", "--preview",
        "--method", "saliency,lrp,grad-input",
    )  # fmt: skip

    assert outcome.code == 1
    (error,) = outcome.errors
    assert error.startswith("log: by `lrp`: it has no relevance rule for Log: ")
    log, tabular = index(out)["models"]
    assert [m["method"] for m in log["maps"]] == ["saliency", "grad-input"]
    assert [m["method"] for m in tabular["maps"]] == ["saliency", "lrp", "grad-input"]
    assert not (out / "log" / "lrp.npy").exists()
    expected = onnxattr.attribute(
        tmp_path / "log.onnx", probes=tmp_path / "rows.npy",
        options=onnxattr.Options(method="grad-input"),
    )  # fmt: skip
    assert (np.load(out / "log" / "grad-input.npy") == expected.values).all()
    assert (out / "contact-lrp.png").exists()
    assert outcome.out.count("lrp, signed") == 1
    assert index(out)["failures"][0]["name"] == "log"


def test_a_model_that_all_methods_refuse_is_told_of_once(run, tmp_path):
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,6] x) => (float[N,6] y) '
    onnx.save(parser.parse_model(text + "{ y = Round(x) }"), tmp_path / "round.onnx")
    np.save(tmp_path / "rows.npy", draw(5, 6))

    outcome = run(
        "attribute", tmp_path / "round.onnx", "-o", tmp_path / "out", "-p", tmp_path / "rows.npy",
        *TWO,
    )  # fmt: skip

    assert outcome.code == 3
    assert len([error for error in outcome.errors if error.startswith("round: ")]) == 1


def test_rank_takes_options_of_methods_and_reductions(rank, good):
    outcome = rank(good, "--method", "occlusion:grid=3", "--reduction", "squared-norm")

    assert outcome.code == 0
    settings = outcome.json["settings"]
    assert settings["method_options"] == {"grid": 3, "span": 1, "fill": "auto"}
    assert settings["reduction"] == "squared-norm"


def test_compare_takes_a_precision(run, good):
    files = sorted(good.iterdir())

    outcome = run(
        "compare", *files, "--limit", 3, "-f", "json", "--device", "cpu", "--precision", "float64"
    )

    assert outcome.code == 0
    assert outcome.json["settings"]["precision"] == "float64"


def test_rank_compares_by_one_method(rank, good):
    outcome = rank(good, *TWO)

    assert outcome.code == 2
    assert outcome.hints == ["`onnxattr attribute` takes several"]


def test_the_footer_says_what_is_not_the_default(run, good):
    options = ("--method", "occlusion:grid=3", "--reduction", "abs")

    shown = run("rank", good, "--limit", 3, "--device", "cpu", *options).out

    assert "occlusion (grid 3, span 1, fill auto) maps of abs at feature" in shown
