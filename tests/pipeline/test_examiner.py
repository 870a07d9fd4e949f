"""The parent's side: it believes no worker, and keeps what is finished."""

import dataclasses
import hashlib

import numpy as np
import pytest

import onnxattr
from onnxattr.errors import LimitError, StoreError, SupportError, WorkerError
from onnxattr.graph.options import InputOptions
from onnxattr.limits import Limits
from onnxattr.pipeline import job
from onnxattr.pipeline.job import Examiner, failure_of
from onnxattr.pipeline.messages import (
    Array,
    Attribute,
    Attributed,
    Described,
    End,
    Examine,
    Refusal,
    Source,
    error_of,
    pack,
    printable,
    refusal_of,
    unpack,
)
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.trust import hash_source
from onnxattr.probes import hash_values
from onnxattr.store import Store
from onnxattr.types import (
    ARRAY,
    FixedInput,
    GradientCheck,
    InputSpec,
    Origin,
    Probes,
    Representation,
)

DATA = b"the bytes of a model"
SIZE = 4


def key_of(examiner, found=None, digest=""):
    (method,) = examiner._options.methods
    return examiner._key("m", found or described(), digest, method)


def described(**changes):
    spec = changes.pop("spec", {})
    found = Described(
        sha256=hashlib.sha256(DATA).hexdigest(),
        external=False,
        origin=Origin("PyTorch", "pytorch 2"),
        opset=17,
        parameters=3,
        spec=dataclasses.replace(InputSpec("x", "NCHW", SIZE, SIZE), **spec),
        representation=Representation("y", "the output"),
        device="cpu",
    )
    return _replace(found, changes)


def _replace(message, changes):
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return type(message)(**{**fields, **changes})


def attributed(count, **changes):
    values = np.random.default_rng(count).normal(size=(1, count, SIZE, SIZE)).astype(np.float32)
    made = Attributed(
        maps=pack(values),
        batch=8,
        parity=1e-7,
        tolerance=1e-4,
        gradient=GradientCheck(1e-3, 0.1, 2),
        seconds={"attribute": 0.1},
    )
    return _replace(made, changes)


class Talk:
    """A channel whose other end says what it is told to, and which remembers what was asked."""

    def __init__(self, first, *answers):
        self.answers, self.asked = [first, *answers], []

    def send(self, message):
        self.asked.append(message)

    def receive(self, kinds, limit=0):
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer(len(unpack(self.asked[-1].images, np.uint8, (-1, -1, -1, 3))))
        assert isinstance(answer, kinds)
        return answer


class Pool:
    def warm(self):
        """There is nothing to warm."""


def probes(count, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), np.uint8)
    return Probes(images, tuple(map(str, range(count))), "", "noise")


def examine(talk, count=20, store=None, options=None, source=None):
    examiner = Examiner(probes(count), options or Options(device="cpu"), store)
    source = source or Source("m", data=DATA)
    return examiner.examine("m", source, talk, "cpu", Pool()), examiner


def asked_for(talk):
    return [m.images.shape[0] for m in talk.asked if isinstance(m, Attribute)]


def test_probes_are_asked_for_in_whole_batches():
    for batch, expected in ((None, [16, 4]), (3, [18, 2]), (7, [20]), (32, [20])):
        talk = Talk(described(spec={"batch": batch}), *[attributed] * 2)
        found, _ = examine(talk)
        assert asked_for(talk) == expected
        assert isinstance(talk.asked[0], Examine)
        assert isinstance(talk.asked[-1], End)
        assert found.maps.values.shape == (20, SIZE, SIZE)
        assert not found.stored


def test_the_gradient_is_checked_once():
    talk = Talk(described(), attributed, lambda count: attributed(count, gradient=None))
    found, _ = examine(talk)
    assert [m.check for m in talk.asked if isinstance(m, Attribute)] == [True, False]
    assert found.summary.gradient == GradientCheck(1e-3, 0.1, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"sha256": "0" * 64, "external": False},
        {"sha256": "../../x", "external": True},
        {"spec": {"height": 0}},
        {"spec": {"width": -4}},
        {"spec": {"height": 2**40}},
        {"spec": {"batch": 0}},
        {"spec": {"batch": -1}},
        {"spec": {"batch": 2**40}},
        {"spec": {"range": (0.0, float("nan"))}},
        {"spec": {"std": (float("inf"),)}},
        {"spec": {"fixed": (FixedInput("m", float("nan"), (None,), "float32"),)}},
        {"spec": {"kind": "array", "axes": (6, 6, 3), "layout": "N"}},
        {"spec": {"kind": "something", "axes": (6, 6, 3), "layout": "N"}},
    ],
    ids=str,
)
def test_a_worker_that_describes_another_model(changes):
    with pytest.raises(WorkerError, match="describes another model"):
        examine(Talk(described(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"parity": float("nan")},
        {"parity": 2e-4},
        {"parity": -1.0},
        {"tolerance": float("inf")},
        {"tolerance": 5.0, "parity": 4.0},
        {"batch": 0},
        {"batch": 2**40},
        {"seconds": {"attribute": float("nan")}},
        {"gradient": GradientCheck(float("nan"), 0.1, 2)},
        {"gradient": GradientCheck(0.2, 0.1, 2)},
        {"gradient": GradientCheck(0.0, 0.1, 0)},
        {"maps": Array((1, 16, SIZE), bytes(256))},
        {"maps": Array((1, 16, SIZE, SIZE), bytes(1023))},
        {"maps": Array((1, 2**40, SIZE, SIZE), bytes(1024))},
        {"maps": Array((1, -16, -SIZE, SIZE), bytes(1024))},
        {"maps": Array((1, 15, SIZE, SIZE), bytes(960))},
    ],
    ids=str,
)
def test_a_worker_whose_numbers_make_no_sense(changes, tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(WorkerError, match=r"make no sense|of another shape"):
        examine(Talk(described(), lambda count: attributed(count, **changes)), store=store)
    assert store.entries() == []


def test_more_maps_than_this_process_can_hold():
    with pytest.raises(LimitError, match="its 20 maps of 8192×8192 would take more than 2 GiB"):
        examine(Talk(described(spec={"height": 8192, "width": 8192})))


def test_maps_that_are_all_zero_or_not_finite():
    nothing = np.zeros((1, 20, SIZE, SIZE), np.float32)
    for value in (0.0, np.nan, np.inf):
        answer = attributed(20, maps=pack(nothing + np.float32(value)))
        with pytest.raises(SupportError, match="zero or not finite"):
            examine(Talk(described(spec={"batch": 32}), answer))


def test_what_is_stored_is_not_asked_for_again(tmp_path):
    store = Store(tmp_path)
    first, _ = examine(Talk(described(), attributed, attributed), store=store)
    talk = Talk(described())
    again, _ = examine(talk, store=store)
    assert again.stored
    assert not first.stored
    assert asked_for(talk) == []
    np.testing.assert_array_equal(again.maps.values, first.maps.values)
    assert again.summary == first.summary


def test_more_probes_extend_what_is_stored(tmp_path):
    store = Store(tmp_path)
    examine(Talk(described(), attributed, attributed), count=20, store=store)
    talk = Talk(described(), attributed)
    more, _ = examine(talk, count=25, store=store)
    assert asked_for(talk) == [5]
    assert more.maps.values.shape[0] == 25


def test_an_interrupted_model_goes_on_in_its_middle(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(IndexError):
        examine(Talk(described(), attributed), store=store)
    talk = Talk(described(), attributed)
    examine(talk, store=store)
    assert asked_for(talk) == [4]


CHANGES = {
    "model": lambda: (described(), Source("m", data=DATA + b"!"), Options(device="cpu")),
    "tensor": lambda: (described(representation=Representation("z", "named")), None, None),
    "size": lambda: (described(spec={"height": 5}), None, None),
    "range": lambda: (described(spec={"range": (0.0, 255.0)}), None, None),
    "mean": lambda: (described(spec={"mean": (0.5,)}), None, None),
    "layout": lambda: (described(spec={"layout": "NHWC"}), None, None),
    "batch": lambda: (described(spec={"batch": 4}), None, None),
    "method": lambda: (described(), None, Options(device="cpu", method="elrp")),
    "reduction": lambda: (described(), None, Options(device="cpu", reduction="abs")),
    "precision": lambda: (described(), None, Options(device="cpu", precision="float64")),
    "kind": lambda: (described(), None, Options(device="cpu", method="occlusion")),
    "device": lambda: (described(device="cuda:1"), None, None),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_decides_the_maps_is_in_the_key(what, tmp_path):
    found, source, options = CHANGES[what]()
    if what == "model":
        found = _replace(found, {"sha256": hash_source(source, Limits())})
    examiner = Examiner(probes(2), options or Options(device="cpu"), None)
    plain = Examiner(probes(2), Options(device="cpu"), None)
    digest = hash_source(source or Source("m", data=DATA), Limits())
    one, _ = key_of(plain, digest=hash_source(Source("m", data=DATA), Limits()))
    two, _ = key_of(examiner, found, digest)
    assert one != two


@pytest.mark.parametrize(
    "changes",
    [
        {"axes": (5,)},
        {"axes": (4, 1)},
        {"axes": ()},
        {"layout": "NCHW"},
        {"kind": "tokens"},
        {"kind": "image"},
    ],
    ids=str,
)
def test_a_worker_that_describes_an_input_of_another_shape(changes):
    values = np.ones((3, 4), np.float32)
    arrays = Probes(values, ("a", "b", "c"), "", "", kind=ARRAY)
    right = {"kind": ARRAY, "axes": (4,), "layout": "N", "height": 0, "width": 0}
    talk = Talk(described(spec=right), attributed(3, maps=pack(values[None])))
    found = Examiner(arrays, Options(device="cpu"), None).examine(
        "m", Source("m", data=DATA), talk, "cpu", Pool()
    )
    assert found.maps.values.shape == (3, 4)
    assert (talk.asked[0].kind, talk.asked[0].shape) == (ARRAY, (4,))

    lie = Talk(described(spec={**right, **changes}))
    with pytest.raises(WorkerError, match="describes another model"):
        Examiner(arrays, Options(device="cpu"), None).examine(
            "m", Source("m", data=DATA), lie, "cpu", Pool()
        )


def test_versions_are_in_the_key(monkeypatch):
    examiner = Examiner(probes(2), Options(device="cpu"), None)
    before, _ = key_of(examiner)
    for package in ("onnxattr", "torch", "onnx2torch"):
        changed = {**job.versions(), package: "0"}
        with monkeypatch.context() as patch:
            patch.setattr(job, "versions", lambda changed=changed: changed)
            assert key_of(examiner)[0] != before


def test_what_decides_black_box_maps_is_in_their_key(monkeypatch):
    """ONNX Runtime makes them, and onnx2torch has no part in them."""
    examiner = Examiner(probes(2), Options(device="cpu", method="occlusion"), None)
    before, about = key_of(examiner)
    assert about["method_options"] == {"grid": 8, "span": 1, "fill": "auto"}
    assert "onnx2torch" not in about["versions"]
    other = Examiner(probes(2), Options(device="cpu", method="occlusion:grid=9"), None)
    assert key_of(other)[0] != before
    for package in ("onnxattr", "torch", "onnxruntime", "onnxruntime-gpu"):
        changed = {**job.versions(), package: "0"}
        with monkeypatch.context() as patch:
            patch.setattr(job, "versions", lambda changed=changed: changed)
            assert key_of(examiner)[0] != before


UNCHECKED = {"parity": None, "tolerance": None, "gradient": None}


def test_black_box_maps_are_asked_for_a_few_probes_at_a_time():
    """A probe takes 65 passes, whatever the batch."""
    for batch in (None, 1, 3):
        talk = Talk(
            described(spec={"batch": batch}), *[lambda count: attributed(count, **UNCHECKED)] * 3
        )
        found, _ = examine(talk, 10, options=Options(device="cpu", method="occlusion"))
        assert asked_for(talk) == [4, 4, 2]
        assert found.summary.parity is None
        assert found.summary.gradient is None


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("saliency", UNCHECKED),
        ("saliency", {"parity": None}),
        ("occlusion", {}),
        ("occlusion", {**UNCHECKED, "parity": 0.0}),
        ("occlusion", {**UNCHECKED, "gradient": GradientCheck(0.0, 0.1, 2)}),
        ("occlusion", {**UNCHECKED, "batch": 0}),
    ],
    ids=str,
)
def test_what_is_checked_goes_by_the_kind_of_the_method(method, changes, tmp_path):
    """A worker cannot leave out the checks, nor claim those that there are not."""
    store = Store(tmp_path / "store")
    talk = Talk(described(), lambda count: attributed(count, **changes))
    with pytest.raises(WorkerError, match="make no sense"):
        examine(talk, store=store, options=Options(device="cpu", method=method))
    assert store.entries() == []


def test_what_does_not_decide_the_maps_is_not_in_the_key():
    one = Examiner(probes(2), Options(device="cpu"), None)
    options = Options(device="cpu", seed=9, paper=True, limit=5, workers=2, limits=Limits(nodes=9))
    two = Examiner(probes(2), options, None)
    assert key_of(one)[0] == key_of(two)[0]


def test_a_worker_cannot_put_maps_under_the_name_of_another_file(tmp_path):
    """It may say that it read external data, of which this process knows nothing."""
    store = Store(tmp_path)
    victim, _ = examine(Talk(described(), attributed, attributed), store=store)
    lie = described(external=True)
    attacker = Source("m", data=b"another model")

    def false(count):
        return attributed(count, maps=pack(np.ones((1, count, SIZE, SIZE), np.float32)))

    examine(Talk(lie, false, false), store=store, source=attacker)
    again, _ = examine(Talk(described()), store=store)
    np.testing.assert_array_equal(again.maps.values, victim.maps.values)


def test_a_store_that_cannot_be_written_costs_no_result(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def put(*_):
        raise StoreError("the store is full")

    monkeypatch.setattr(store, "put", put)
    found, examiner = examine(Talk(described(), attributed, attributed), store=store)
    assert found.maps.values.shape[0] == 20
    assert examiner.store_error.message == "the store is full"


def test_a_store_that_cannot_be_read_costs_no_result(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def blocks(*_):
        raise StoreError("the store cannot be read")

    monkeypatch.setattr(store, "blocks", blocks)
    found, examiner = examine(Talk(described(), attributed, attributed), store=store)
    assert found.maps.values.shape[0] == 20
    assert "read" in examiner.store_error.message


FACTS = {"batch": 8, "parity": 1e-7, "tolerance": 1e-4, "gradient": None}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {**FACTS, "more": 1},
        {**FACTS, "batch": "8"},
        {**FACTS, "batch": True},
        {**FACTS, "parity": None},
        {**FACTS, "parity": 1.0},
        {**FACTS, "settings": ["precision"]},
        {**FACTS, "settings": {"precision": {}}},
        {**FACTS, "settings": {"precision": "x" * 5000}},
        {**FACTS, "settings": {str(i): i for i in range(100)}},
        {**FACTS, "gradient": []},
        {**FACTS, "gradient": {"error": 0.0}},
        {**FACTS, "gradient": {"error": "x", "tolerance": 0.1, "probes": 2}},
        {**FACTS, "gradient": {"error": 0.2, "tolerance": 0.1, "probes": 2}},
    ],
    ids=str,
)
def test_facts_that_somebody_wrote_into_the_store(facts, tmp_path):
    from onnxattr.store import Block

    store = Store(tmp_path)
    examiner = Examiner(probes(20), Options(device="cpu"), store)
    key, about = key_of(examiner, digest=hash_source(Source("m", data=DATA), Limits()))
    hashes = tuple(hash_values(image) for image in probes(20).images)
    store.put(key, Block(np.ones((20, SIZE, SIZE), np.float32), hashes, facts), about)
    talk = Talk(described(), attributed, attributed)
    examine(talk, store=store)
    assert asked_for(talk) == [16, 4]


def test_errors_travel_as_words():
    error = SupportError("no \x1b[31m converter", hint="try", model="m")
    back = error_of(refusal_of(error), "name")
    assert isinstance(back, SupportError)
    assert (back.message, back.hint, back.model) == (r"no \x1b[31m converter", "try", "name")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("SupportError", SupportError), ("OSError", WorkerError), ("__class__", WorkerError)],
)
def test_a_worker_chooses_among_our_errors_only(kind, expected):
    assert type(error_of(Refusal(kind, "m", "h"), "n")) is expected


def test_what_a_worker_says_is_short():
    assert len(error_of(Refusal("SupportError", "x" * 10**6, "y" * 10**6), "n").message) == 4096
    assert len(printable("x" * 10**6)) == 4096
    assert printable("a\udcff") == r"a\udcff"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "more memory than it may have"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (ZeroDivisionError("a\nb"), "ZeroDivisionError: a b"),
    ],
)
def test_other_errors_become_one_line(error, said):
    refusal = refusal_of(error)
    assert said in refusal.message
    assert "\n" not in refusal.message
    assert failure_of("m", error_of(refusal, "m")).message == refusal.message


def test_a_file_that_changes_under_our_eyes(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(DATA)
    source = Source("m", path=str(path).encode())
    assert hash_source(source, Limits()) == hashlib.sha256(DATA).hexdigest()
    path.unlink()
    with pytest.raises(WorkerError, match="cannot be read a second time"):
        hash_source(source, Limits())
    path.mkdir()
    with pytest.raises(WorkerError, match="cannot be read a second time"):
        hash_source(source, Limits())


def test_options_are_what_the_worker_is_told():
    given = InputOptions(range=(0.0, 255.0))
    options = Options(device="cpu", method="elrp", at="logits", input=given, batch_size=4)
    talk = Talk(described(), attributed, attributed)
    examine(talk, options=options)
    asked = talk.asked[0]
    assert asked.methods == options.methods
    assert (asked.at, asked.input, asked.batch_size) == ("logits", given, 4)


def test_the_default_memory_is_shared_by_the_workers():
    one, four = (job.place_of(Options(device="cpu", workers=n)).memory for n in (1, 4))
    assert abs(one - 4 * four) < 4
    asked = Options(device="cpu", workers=4, limits=onnxattr.Limits(memory=123))
    assert job.place_of(asked).memory == 123
