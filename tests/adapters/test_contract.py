"""What every adapter promises before its framework is needed."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENTRIES = PROJECT["entry-points"]["onnxattr.adapters"]


def adapter(name):
    module, _, attribute = ENTRIES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A directory with what lies beside sources that only their neighbours tell."""
    monkeypatch.chdir(tmp_path)
    for name in ("saved/saved_model.pb", "paddle/inference.json", "paddle/inference.pdiparams"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("new.json", "new.pdiparams", "settings.json"):
        (tmp_path / name).touch()
    (tmp_path / "models").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("net.pt2", "pytorch"),
        ("net.pt", "pytorch"),
        ("deep/NET.TS", "pytorch"),
        ("package.models:make", "jax pytorch"),
        ("package.models:Net.make", "jax pytorch"),
        ("net.keras", "keras"),
        ("net.h5", "keras"),
        ("net.tflite", "tensorflow"),
        ("saved", "tensorflow"),
        ("paddle", "paddle"),
        ("new.json", "paddle"),
        ("new.pdiparams", "paddle"),
        ("old.pdmodel", "paddle"),
        ("net.skops", "sklearn"),
        ("settings.json", ""),
        ("models", ""),
        ("net.onnx", ""),
        ("net.pkl", ""),
        ("net.pth", ""),
        ("C:/nets/net", ""),
        ("https://example.org/net", ""),
        ("a b:c", ""),
        ("", ""),
    ],
)
def test_sources_are_recognised_by_their_own_adapters(sources, source, names):
    assert " ".join(n for n in sorted(ENTRIES) if adapter(n).recognises(source)) == names


@pytest.mark.parametrize(
    ("name", "source", "held"),
    [
        ("pytorch", "net.pt2", True),
        ("pytorch", "net.pt", True),
        ("pytorch", "module:make", True),
        ("keras", "net.keras", True),
        ("keras", "net.h5", True),
        ("tensorflow", "saved", True),
        ("tensorflow", "net.tflite", False),
        ("jax", "module:make", True),
        ("paddle", "paddle", True),
        ("sklearn", "net.skops", False),
    ],
)
def test_all_but_two_kinds_of_sources_may_hold_code(name, source, held):
    assert adapter(name).holds_code(source) is held


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_an_adapter_has_an_extra_of_its_name(name):
    assert adapter(name).install == f"onnxattr[{name}]"
    assert PROJECT["optional-dependencies"][name]
    assert set(adapter(name).takes) <= {"example", "state_dict"}


def test_no_framework_is_imported_before_an_export():
    code = f"""
import importlib, sys
for value in {list(ENTRIES.values())}:
    module, _, name = value.partition(":")
    adapter = getattr(importlib.import_module(module), name)
    adapter.recognises("x.keras"), adapter.holds_code("x.keras")
print(*sorted({{name.split(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "adapters")},
    )
    loaded = set(done.stdout.split())
    heavy = {"torch", "keras", "tensorflow", "tf2onnx", "jax", "paddle", "sklearn", "skops"}
    assert not loaded & (heavy | {"onnx", "onnxruntime", "onnxattr"})
    assert "onnxattr_adapters" in loaded
