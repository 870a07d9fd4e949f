"""Weights come out of workers as they are, and nothing comes out that makes no sense."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from onnxattr.errors import OnnxattrError, WorkerError
from onnxattr.graph.load import load
from onnxattr.limits import Limits
from onnxattr.lineage.layers import weights_of_model
from onnxattr.pipeline import weigh, weights_of
from onnxattr.pipeline.messages import Array, Refusal, WeighedLayer, Weighing, pack, source_of
from onnxattr.pipeline.weighing import weigh as tell

FILE = Path(__file__).parents[1] / "fixtures" / "same_weights-keras.onnx"


class Line:
    """A channel that keeps what is sent, and gives it back."""

    def __init__(self) -> None:
        self.sent: list[msgspec.Struct] = []

    def send(self, message: msgspec.Struct) -> None:
        self.sent.append(message)

    def receive(self, kinds, limit):
        data = msgspec.msgpack.encode(self.sent.pop(0))
        assert len(data) <= limit
        return msgspec.msgpack.decode(data, type=kinds)


@pytest.fixture
def line():
    made = Line()
    tell(load(FILE), made)
    return made


def received(line):
    return weigh._received(line, "m", source_of("m", FILE), Limits())


def test_what_a_worker_tells_is_what_is_received(line):
    found, expected = received(line), weights_of_model(load(FILE))
    assert found.identity.file == load(FILE).sha256
    assert found.identity.size == FILE.stat().st_size
    np.testing.assert_array_equal(found.weights.streams, expected.streams)
    for one, two in zip(found.weights.layers, expected.layers, strict=True):
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def test_files_are_read_in_workers_and_failures_are_told(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07 this is none")
    files = {"good": FILE, "broken": broken, "missing": tmp_path / "missing.onnx"}
    found, failures = weights_of(files)
    assert list(found) == ["good"]
    assert [f.name for f in failures] == ["broken", "missing"]
    assert all(f.message for f in failures)
    assert len(found["good"].weights.layers) == 4


def far(count: int) -> Array:
    return pack(np.full(count, 2**40, np.int64))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: {"weight": Array((16, 3, 3, 3), b"short")},
        lambda s: {"weight": Array((2**40, 2**40), b"")},
        lambda s: {"weight": Array((0, 3), b"")},
        lambda s: {"weight": Array((16,), s.weight.data)},
        lambda s: {"weight": pack(np.full(s.weight.shape, np.nan, np.float32))},
        lambda s: {"bias": pack(np.full(16, np.inf, np.float32))},
        lambda s: {"bias": pack(np.zeros(3, np.float32))},
        lambda s: {"writes": far(16)},
        lambda s: {"writes": pack(np.full(16, -1, np.int64))},
        lambda s: {"reads": far(3)},
        lambda s: {"reads": pack(np.full(3, -2, np.int64))},
        lambda s: {"places": far(3)},
        lambda s: {"places": pack(np.full(3, -1, np.int64))},
        lambda s: {"gains_out": far(16)},
        lambda s: {"gains_in": far(3)},
        lambda s: {"depth": 0},
        lambda s: {"depthwise": True},
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(line, change):
    first = line.sent[1]
    assert isinstance(first, WeighedLayer)
    line.sent[1] = msgspec.structs.replace(first, **change(first))
    with pytest.raises(WorkerError):
        received(line)


@pytest.mark.parametrize("layers", [-1, 10**9])
def test_a_number_of_layers_that_makes_no_sense_is_refused(line, layers):
    line.sent[0] = msgspec.structs.replace(line.sent[0], layers=layers)
    with pytest.raises(WorkerError):
        received(line)


def test_another_file_than_the_one_that_was_meant_is_refused(line):
    head = line.sent[0]
    assert isinstance(head, Weighing)
    line.sent[0] = msgspec.structs.replace(
        head, identity=dataclasses.replace(head.identity, file="0" * 64)
    )
    with pytest.raises(WorkerError, match="another model"):
        received(line)


def test_more_weights_than_a_model_may_have_are_refused(line, monkeypatch):
    monkeypatch.setattr(weigh, "MAX_BYTES", 4000)
    with pytest.raises(WorkerError, match="more weights"):
        received(line)


def test_names_are_sanitised(line):
    line.sent[1] = msgspec.structs.replace(line.sent[1], name="a\x1b[31m\u202e")
    assert received(line).weights.layers[0].name == "a\\x1b[31m\\u202e"


def test_a_refusal_is_an_error_of_its_kind(line):
    line.sent[0] = Refusal("LimitError", "too large", "")
    with pytest.raises(OnnxattrError, match="too large"):
        received(line)
