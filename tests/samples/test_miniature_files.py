"""The miniature's files: models, scores and measured transfer agree with each other and the recipe.

Not every model need be there (`make zoo` makes what is missing), but what is there is whole.
"""

import json

import numpy as np
import onnx
import pytest

from samples.miniature import zoo
from samples.miniature.tasks import TASKS

PRODUCERS = {"torch": "pytorch", "keras": "tf2onnx", "jax": "jax2onnx"}
MACHINE_PATHS = (b"/work", b"/root", b"/home", b"site-packages")
PRESENT = [entry for entry in zoo.ZOO if (zoo.MODELS / f"{entry.name}.onnx").exists()]
TRUTHS = sorted(zoo.HERE.glob("affinity-*.csv"))
SCORES = json.loads(zoo.SCORES.read_text()) if zoo.SCORES.exists() else {}
README = (zoo.HERE / "README.md").read_text(encoding="utf-8")


def test_models_are_those_of_the_recipe_and_each_has_its_score():
    assert sorted(p.name for p in zoo.MODELS.iterdir()) == sorted(f"{e.name}.onnx" for e in PRESENT)
    assert sorted(SCORES) == sorted(e.name for e in PRESENT)


@pytest.mark.parametrize("entry", PRESENT, ids=lambda entry: entry.name)
def test_model_file(entry):
    data = (zoo.MODELS / f"{entry.name}.onnx").read_bytes()
    assert len(data) <= 150_000
    assert not [text for text in MACHINE_PATHS if text in data]
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == PRODUCERS[entry.framework]
    (image,), (code,) = model.graph.input, model.graph.output
    shapes = [[dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in (image, code)]
    first = entry.framework == "torch"
    assert shapes == ([[0, 3, 64, 64], [0, 32, 8, 8]] if first else [[0, 64, 64, 3], [0, 8, 8, 32]])


@pytest.mark.parametrize("entry", PRESENT, ids=lambda entry: entry.name)
def test_scores_are_of_the_recipe_and_shown(entry):
    row = SCORES[entry.name]
    assert row["seed"] == entry.seed
    if entry.family == "untrained":
        return
    assert row["loss"] < row["constant"], "it learnt nothing"
    accuracy = f"{row['accuracy']:.0%}" if TASKS[entry.task].classifies else ""
    cells = [f"`{entry.name}`", str(entry.seed), f"{row['loss']:.4f}", f"{row['constant']:.4f}"]
    assert "| " + " | ".join([*cells, accuracy, f"{row['seconds']:.0f}"]) + " |" in README


@pytest.mark.parametrize("path", TRUTHS, ids=lambda path: path.stem)
def test_truth(path):
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]
    competing = zoo.ZOO_B if path.stem == "affinity-b" else zoo.ZOO_A
    names = [entry.name for entry in competing]
    assert head == ["source", *names]
    sources = [row[0] for row in rows]
    assert sources[:20] == names
    assert {*sources} <= {entry.name for entry in PRESENT}
    assert {*sources[20:]} <= ({e.name for e in zoo.OTHERS} if "others" in path.stem else set())
    values = np.array([row[1:] for row in rows], dtype=float)
    assert 0 <= values.min() <= values.max() <= 1
    np.testing.assert_allclose(values[:20].mean(axis=0), 0.5, atol=1e-5)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["readout_seeds"] == list(zoo.TRANSFER.seeds)
    assert list(facts["losses"]) == list(facts["cpu_seconds"]) == sources
    for source in sources:
        assert list(facts["losses"][source]) == list(zoo.TASK_NAMES)
    # A source with the lower mean loss wins as a rule: the table is of these losses.
    for column, name in enumerate(zoo.TASK_NAMES):
        means = [np.mean(facts["losses"][source][name]) for source in sources]
        assert np.corrcoef(means, values[:, column])[0, 1] < -0.5
