"""Several rankings that share a store at the same time: each as if it were alone.

Four at once by default; also eight where the environment has `ROBUSTNESS=full`.
"""

import json
import os
import sys

import pytest
from runs import Run, good_models, kept, result

from onnxattr.store import Store

FULL = os.environ.get("ROBUSTNESS") == "full"

MODELS = 3

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="takes the file system of Unix")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = good_models(tmp_path_factory.mktemp("models"), MODELS)
    return sorted(folder.glob("*.onnx"))


@pytest.fixture(scope="module")
def kinds(models):
    """Rankings that have models, probes, and numbers of probes in common."""
    return {"all": (models, 32), "fewer models": (models[:2], 32), "fewer probes": (models, 20)}


@pytest.fixture(scope="module")
def alone(kinds, tmp_path_factory):
    """What each of them says when it is the only one."""
    root = tmp_path_factory.mktemp("alone")
    # What the later ones find in the store of the first is what they would find themselves.
    stores = {kind: root / (kind if FULL else "all") for kind in kinds}
    return {kind: _end([_start(stores[kind], *kinds[kind])])[0] for kind in kinds}


def _start(store, models, limit):
    options = ("--limit", limit, "--device", "cpu", "-f", "json")
    return Run(["rank", *models, *options, "--store", store])


def _end(runs):
    for run in runs:
        assert run.wait() == 0, run.err
        assert run.told("error") == []
        assert all("assumed" in w or "probes are few" in w for w in run.told("warning"))
    assert [each for run in runs for each in run.left()] == []
    return [run.out for run in runs]


def _known(out):
    """Returns a ranking without what depends on the blocks that its probes were found in."""
    ranking = json.loads(out)
    known = {key: value for key, value in ranking.items() if key not in ("stored", "seconds")}
    for model in known["models"]:
        # The largest over whole blocks, which other runs may have cut in another way.
        assert model["parity"].pop("error") < model["parity"]["tolerance"]
    return known


def _check(root):
    store, count = Store(root), len(kept(root))
    assert store.check() == (count, [])
    assert store.damaged == []
    assert list((root / "damaged").glob("*")) == []
    assert list((root / "tmp").glob("*")) == []


@pytest.mark.skipif(not FULL, reason="takes minutes on two cores")
@pytest.mark.parametrize("count", [2, 8])
def test_the_same_models(kinds, alone, tmp_path, count):
    root = tmp_path / "store"

    results = _end([_start(root, *kinds["all"]) for _ in range(count)])

    assert {result(out) for out in results} == {result(alone["all"])}
    assert len(kept(root)) == MODELS * 2
    _check(root)


def test_overlapping_sets(kinds, alone, tmp_path):
    root = tmp_path / "store"
    chosen = ["all", *kinds, *(kinds if FULL else ())]

    results = _end([_start(root, *kinds[kind]) for kind in chosen])

    assert [_known(out) for out in results] == [_known(alone[kind]) for kind in chosen]
    _check(root)
    before = kept(root)
    (again,) = _end([_start(root, *kinds["all"])])
    assert _known(again) == _known(alone["all"])
    assert kept(root) == before
