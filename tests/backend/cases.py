"""The ONNX backend suite that ships with onnx: models, inputs, expected outputs, and what they are.

Nothing is fetched: the networks of the kind `real` are the light ones of the package, with
constant weights.
"""

import functools
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.backend.test import loader

#: The suite's cases by kind, as measured for comparison with other converters; not of the project.
REFERENCE = Path(__file__).parents[3] / "shared/reference/onnx_backend_cases.json"

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")

#: `fed`: every stored tensor of floating point is an input too. `const`: all but the first data
#: input are stored, as a real export stores weights, axes and shapes.
MODES = ("fed", "const")

FLOATS = tuple(map(np.dtype, (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)))

#: Numbers of less than a byte, or of one byte and floating point.
LOW_BIT = {
    kind
    for name, kind in TensorProto.DataType.items()
    if re.fullmatch(r"FLOAT[468]E.*|U?INT[24]", name)
}

#: Numbers of a weight of the light networks that are drawn.
MAX_ROUGH = 5_000_000

#: Operators that give something else each time.
RANDOM = re.compile(r"Random.*|Bernoulli|Multinomial")

#: Operators of files, or of no tensors.
ODD = re.compile(r"ImageDecoder|(?!Reverse).*Sequence.*|Optional.*")


@dataclass(frozen=True)
class Case:
    """A case of the suite.

    Attributes:
        kind: One of `KINDS`.
        name: Unique within the kind.
        rtol: The suite's own tolerance.
        atol: Likewise.
        given: A model with inputs and outputs, or the files where they are.
    """

    kind: str
    name: str
    rtol: float
    atol: float
    given: Any

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def model(self) -> onnx.ModelProto:
        """The model as the suite has it."""
        return self._loaded[0]

    @property
    def sets(self) -> Sequence[tuple[Sequence[Any], Sequence[Any]]]:
        """Inputs and expected outputs, once or several times."""
        return self._loaded[1]

    @property
    def _loaded(self):
        test = self.given
        if test.model is not None:
            return test.model, [tuple([_plain(v) for v in vs] for vs in s) for s in test.data_sets]
        return _of_files(test.model_dir) if test.model_dir else _of_light_model(test.url)


def _plain(value: Any) -> Any:
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if value is None or isinstance(value, list):
        return value
    return np.asarray(value)


@functools.lru_cache(maxsize=8)
def _of_files(folder: str):
    model = onnx.load(f"{folder}/model.onnx")
    given = _fed(model.graph)
    sets = []
    for directory in sorted(Path(folder).glob("test_data_set_*")):
        inputs = [_value(directory / f"input_{i}.pb", v.type) for i, v in enumerate(given)]
        outputs = [
            _value(directory / f"output_{i}.pb", v.type) for i, v in enumerate(model.graph.output)
        ]
        sets.append((inputs, outputs))
    return model, sets


@functools.lru_cache(maxsize=1)
def _of_light_model(url: str):
    path = Path(onnx.__file__).parents[1] / url
    model = onnx.load(path)
    inputs = []
    for value in _fed(model.graph):
        # As onnx's runner makes them; the outputs that are stored beside the model belong to these.
        shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        count = np.prod(shape)
        inputs.append((np.arange(count).reshape(shape) / count).astype(np.float32))
    outputs = [
        _value(path.with_name(f"{path.stem}_output_{i}.pb"), v.type)
        for i, v in enumerate(model.graph.output)
    ]
    return model, [(inputs, outputs)]


def _value(path: Path, kind: onnx.TypeProto) -> Any:
    data = path.read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(TensorProto.FromString(data))


def _fed(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    stored = {t.name for t in graph.initializer}
    return [v for v in graph.input if v.name not in stored]


def fed(graph: onnx.GraphProto) -> list[str]:
    """Returns the names of a graph's inputs that are not stored."""
    return [v.name for v in _fed(graph)]


@functools.cache
def suite() -> dict[str, Case]:
    """Returns all cases by `kind/name`."""
    found = {}
    for kind in KINDS:
        with warnings.catch_warnings():
            # onnx computes its expected outputs when they are loaded, and overflows in some.
            warnings.simplefilter("ignore")
            tests = loader.load_model_tests(kind=kind)
        for test in sorted(tests, key=lambda t: t.name):
            case = Case(kind, test.name, test.rtol, test.atol, test)
            found[case.id] = case
    return found


@functools.cache
def reference() -> dict[str, set[str]] | None:
    """Returns the cases that count, `core` and `gradable`, or None where that list is not."""
    if not REFERENCE.exists():
        return None
    found = json.loads(REFERENCE.read_text())
    return {
        group: {f"{kind}/{name}" for kind, names in found[group].items() for name in names}
        for group in ("core", "gradable")
    }


@functools.lru_cache(maxsize=1)
def roughened(id: str) -> onnx.ModelProto:
    """Returns one of the light networks with random weights, up to its logits.

    All of its weights are the same number, so that all of its logits are, whatever goes in: there
    is no gradient. Weights of more than `MAX_ROUGH` numbers stay as they are.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(suite()[id].model)
    shapes = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    draw = np.random.default_rng(11)
    for node in list(proto.graph.node):
        shape = shapes.get(node.input[0]) if node.op_type == "ConstantOfShape" else None
        if shape is None or np.prod(shape) > MAX_ROUGH:
            continue
        if len(shape) > 1:
            value = draw.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape.tolist())
        else:
            value = draw.uniform(0.5, 1.5, shape.tolist())
        stored = numpy_helper.from_array(value.astype(np.float32), node.output[0])
        proto.graph.initializer.append(stored)
        if proto.ir_version < 4:
            proto.graph.input.append(
                onnx.helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, value.shape)
            )
        proto.graph.node.remove(node)
    last = proto.graph.node[-1]
    if last.op_type == "Softmax":
        # One of the logits is far above all others: what is known of its like has no slope.
        proto.graph.output[0].name = last.input[0]
        proto.graph.node.remove(last)
    return proto


def arranged(
    case: Case, mode: str, *, rough: bool = False
) -> tuple[onnx.ModelProto, list[str], list[Any]]:
    """Returns a model with its parameters stored or fed, and its inputs' names and values."""
    proto = onnx.ModelProto()
    proto.CopyFrom(roughened(case.id) if rough and case.kind == "real" else case.model)
    graph = proto.graph
    names = fed(graph)
    values = dict(zip(names, case.sets[0][0], strict=True))
    if rough and case.kind == "real":
        # On a ramp, as the suite feeds, all neighbours are tied.
        draw = np.random.default_rng(13)
        values = {n: draw.normal(size=v.shape).astype(v.dtype) for n, v in values.items()}
    stored = {t.name: t for t in graph.initializer}
    if mode == "fed":
        listed = {v.name for v in graph.input}
        for name, tensor in stored.items():
            values[name] = numpy_helper.to_array(tensor)
            if name not in listed:
                graph.input.append(
                    onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
                )
        del graph.initializer[:]
    else:
        first = next((n for n in names if is_float(values[n])), names[0] if names else "")
        for name in names:
            if name != first and _is_storable(values[name]):
                graph.initializer.append(numpy_helper.from_array(values.pop(name), name))
        if proto.ir_version >= 4:
            kept = [v for v in graph.input if v.name in values]
            del graph.input[:]
            graph.input.extend(kept)
    names = fed(graph)
    return proto, names, [values[n] for n in names]


def _is_storable(value: Any) -> bool:
    # No export stores what is no number, and files that do are refused as damaged.
    return isinstance(value, np.ndarray) and not (is_float(value) and np.isnan(value).any())


def same_in_both_modes(case: Case) -> bool:
    """Whether there is nothing to store or to feed: one input, or none, and no stored tensor."""
    return not case.model.graph.initializer and len(case.model.graph.input) <= 1


def is_float(value: Any) -> bool:
    """Whether a value may have a gradient."""
    return isinstance(value, np.ndarray) and value.dtype in FLOATS


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of a graph and of the graphs inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from nodes(body)


def is_random(case: Case) -> bool:
    """Whether a case gives something else each time."""
    return any(RANDOM.fullmatch(node.op_type) for node in nodes(case.model.graph))


def is_core(case: Case) -> bool:
    """Whether a case counts.

    It has ONNX's own operators alone, no random ones, and tensors alone, of bool, integers and
    floating point of a byte (two, for the latter) and more.
    """
    if is_random(case):
        return False
    for node in nodes(case.model.graph):
        if node.domain not in ("", "ai.onnx") or ODD.fullmatch(node.op_type):
            return False
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in LOW_BIT:
                return False
            if attribute.type == AttributeProto.TENSOR and not _is_counted(attribute.t.data_type):
                return False
    values = [*case.model.graph.input, *case.model.graph.output]
    return all(
        v.type.HasField("tensor_type") and _is_counted(v.type.tensor_type.elem_type) for v in values
    )


def _is_counted(kind: int) -> bool:
    return kind not in LOW_BIT and kind != TensorProto.STRING


def operators(case: Case) -> set[str]:
    """Returns the operators of a case with their since-versions, `Relu_14`."""
    versions = {o.domain: o.version for o in case.model.opset_import}
    found = set()
    for graph, domains in (
        (case.model.graph, versions),
        *((f, {o.domain: o.version for o in f.opset_import}) for f in case.model.functions),
    ):
        for node in nodes(graph):
            domain = "" if node.domain == "ai.onnx" else node.domain
            prefix = f"{domain}." if domain else ""
            try:
                schema = onnx.defs.get_schema(node.op_type, domains[domain], domain)
            except (onnx.defs.SchemaError, KeyError):
                continue
            found.add(f"{prefix}{node.op_type}_{schema.since_version}")
    return found
