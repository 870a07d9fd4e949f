"""The files that ship: sample models and probe images are complete, small, valid and anonymous."""

import hashlib
import json
from pathlib import Path

import onnx
import pytest
from PIL import Image

from samples.tasks import TASKS
from samples.zoo import MODELS, PROBE_COUNT, PROBE_SIZE, SCORES, ZOO

ROOT = Path(__file__).resolve().parents[2]
PROBE_IMAGES = sorted((ROOT / "onnxattr" / "probe_images").glob("*.webp"))
MACHINE_PATHS = (b"/work", b"/root", b"/home", b"site-packages")


def test_the_folder_holds_exactly_the_zoo():
    assert sorted(p.name for p in MODELS.iterdir()) == sorted(f"{e.name}.onnx" for e in ZOO)
    assert sum(p.stat().st_size for p in MODELS.iterdir()) <= 6_000_000


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry.name)
def test_model_file(entry):
    path = MODELS / f"{entry.name}.onnx"
    data = path.read_bytes()
    assert len(data) <= 400_000
    assert not [text for text in MACHINE_PATHS if text in data]
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    producers = {"torch": "pytorch", "keras": "tf2onnx", "jax": "jax2onnx"}
    assert model.producer_name == producers[entry.framework]
    (image,), (answer,) = model.graph.input, model.graph.output
    sizes = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert sizes == ([0, 3, 64, 64] if entry.framework == "torch" else [0, 64, 64, 3])
    assert image.type.tensor_type.shape.dim[0].dim_param, "the batch axis is free"
    code = [dim.dim_value for dim in answer.type.tensor_type.shape.dim]
    if TASKS[entry.task].kind == "label":
        assert code == [0, TASKS[entry.task].channels]
    else:
        assert code == ([0, 32, 8, 8] if entry.framework == "torch" else [0, 8, 8, 32])


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry.name)
def test_model_learnt_more_than_a_constant(entry):
    row = json.loads(SCORES.read_text())[entry.name]
    assert row["seed"] == entry.seed
    assert row["loss"] < 0.8 * min(row["constant"], row["constant_per_place"])


def test_probe_images():
    assert [p.name for p in PROBE_IMAGES] == [f"{n:03d}.webp" for n in range(PROBE_COUNT)]
    assert sum(p.stat().st_size for p in PROBE_IMAGES) <= 3_000_000
    digests = set()
    for path in PROBE_IMAGES:
        with Image.open(path) as image:
            assert image.size == (PROBE_SIZE, PROBE_SIZE)
            assert image.mode == "RGB"
            digests.add(hashlib.sha256(image.tobytes()).hexdigest())
    assert len(digests) == PROBE_COUNT


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry.name)
def test_readme_shows_the_measured_scores(entry):
    row = json.loads(SCORES.read_text())[entry.name]
    numbers = [f"{row[name]:.3f}" for name in ("loss", "constant", "constant_per_place")]
    accuracy = f"{row['accuracy']:.0%}" if "accuracy" in row else ""
    cells = [f"`{entry.name}`", str(entry.seed), *numbers, accuracy, str(row["minutes"])]
    readme = (ROOT / "samples" / "README.md").read_text(encoding="utf-8")
    assert "| " + " | ".join(cells) + " |" in readme
