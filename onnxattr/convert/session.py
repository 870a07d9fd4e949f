"""ONNX Runtime on a model's own graph: the judge of conversions, and the way without one."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch

from onnxattr.arrays import Float32
from onnxattr.convert.array_feed import feed_of, feeds
from onnxattr.convert.device import CUDA
from onnxattr.errors import DeviceError, LimitError, OnnxattrError, SupportError
from onnxattr.graph.walk import label, taken
from onnxattr.types import InputSpec, Model, OnnxNode, Representation

#: How ONNX Runtime tells that there is not enough memory for a node's output.
_ASKED = re.compile(
    r"while running (?P<op>\w+) node\. Name:'(?P<name>.*?)' Status Message: .*"
    r"Failed to allocate memory for requested buffer of size (?P<bytes>\d+)"
)

_CPU = "CPUExecutionProvider"


class Session:
    """ONNX Runtime on a model's original graph, with chosen tensors as its outputs.

    Args:
        model: A model as it was given.
        values: Tensors of its main graph.
        threads: Of ONNX Runtime; 0 for its own choice.
        device: `cpu` or `cuda:n`; what has no kernel there runs on the CPU.
        gpu_memory: Bytes of a GPU's memory that may be taken.
        given: A tensor of its main graph that is an input, too, and its type.

    Raises:
        SupportError: ONNX Runtime refuses the model.
        DeviceError: ONNX Runtime cannot compute on the device.
    """

    def __init__(
        self,
        model: Model,
        values: Sequence[str],
        threads: int = 0,
        *,
        device: str = "cpu",
        gpu_memory: int | None = None,
        given: tuple[str, np.dtype[Any]] | None = None,
    ) -> None:
        import onnxruntime as ort

        proto = onnx.ModelProto()
        proto.CopyFrom(model.proto)
        if given is not None:
            _take(proto.graph, *given)
        _end(proto.graph, values)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        # The judge is the graph as it is: ONNX Runtime's own rewrites were caught changing what a
        # model computes (a ResNet50 v2 of Keras by 5e-3), and crashing on one of half precision.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Its threads would wait in a loop, on the cores that torch's then lack.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._name, self._values = model.name, list(values)
        try:
            self._session = ort.InferenceSession(
                proto.SerializeToString(), options, providers=_providers(device, gpu_memory)
            )
        except Exception as error:  # ONNX Runtime has no common base class for its errors.
            raise self._refused(error) from error
        if device != "cpu" and CUDA not in self._session.get_providers():
            raise DeviceError(
                f"ONNX Runtime cannot load what it needs to compute on `{device}`",
                hint="use --device cpu",
                model=model.name,
            )

    def run(self, given: Mapping[str, np.ndarray[Any, Any]]) -> list[Float32]:
        """Returns the chosen tensors for what is given to each input.

        Raises:
            SupportError: ONNX Runtime fails on it.
        """
        try:
            outputs: list[Float32] = self._session.run(self._values, dict(given))
        except Exception as error:
            hint = (
                "where a graph leaves its input's size free it may still need one: see --size, or "
                "give probes of another"
            )
            raise self._refused(error, hint) from error
        return outputs

    def _refused(self, error: Exception, hint: str = "") -> OnnxattrError:
        reason = " ".join(str(error).split())
        if asked := _ASKED.search(reason):
            node = OnnxNode(asked["op"], asked["name"])
            return LimitError(
                f"ONNX Runtime lacks memory for it: its {label(node)} asks for "
                f"{int(asked['bytes']) / 2**30:.3g} GiB at once",
                hint="--max-memory allows more",
                model=self._name,
            )
        return SupportError(f"ONNX Runtime cannot run it: {reason}", hint=hint, model=self._name)


class Runtime:
    """A model's representation for canonical probes, as ONNX Runtime computes it.

    Nothing is converted, and what lies behind the representation is not run.

    Args:
        model: A model as it was given.
        spec: How probes are fed to it.
        representation: What is computed.
        threads: Of the CPU; 0 for ONNX Runtime's own choice.
        device: From `runtime_device`.
        gpu_memory: Fraction of a GPU's memory that may be taken, 0..1.

    Attributes:
        model: The model.
        spec: How probes are fed to it.
        representation: What is computed.
        feed: From canonical probes to what the model is fed.
        dtype: Of the model's input.
        device: Where.

    Raises:
        SupportError: ONNX Runtime refuses the model.
        DeviceError: ONNX Runtime cannot compute on the device.
    """

    def __init__(
        self,
        model: Model,
        spec: InputSpec,
        representation: Representation,
        *,
        threads: int = 0,
        device: str = "cpu",
        gpu_memory: float = 1.0,
    ) -> None:
        self.model, self.spec, self.representation = model, spec, representation
        self.device = device
        self.feed = feed_of(spec)
        self.dtype = self.feed.dtype
        self._session = Session(
            model,
            [representation.value],
            threads,
            device=device,
            gpu_memory=_bytes(device, gpu_memory),
        )

    def run(self, probes: torch.Tensor) -> Float32:
        """Returns the representation of canonical probes, in its own shape and type.

        Args:
            probes: Of images, float32 [probe, 3, y, x] of the size `spec.map_shape`; a graph that
                fixes its batch takes whole batches only.

        Raises:
            SupportError: ONNX Runtime fails on them, or the representation holds no numbers.
        """
        return self.run_fed(self.feed.array(probes))

    def run_fed(self, array: np.ndarray[Any, Any]) -> Float32:
        """Returns the representation of what the model is fed, in its own shape and type.

        Args:
            array: In the model's layout and type.

        Raises:
            SupportError: ONNX Runtime fails on it, or the representation holds no numbers.
        """
        (units,) = self._session.run(feeds(self.spec, array))
        if not isinstance(units, np.ndarray) or units.dtype.kind not in "fiub":
            kind = units.dtype if isinstance(units, np.ndarray) else type(units).__name__
            raise SupportError(
                f"its representation `{self.representation.value}` is of type {kind}, which is no "
                "number",
                hint="choose another tensor with --at",
                model=self.model.name,
            )
        return units


def _providers(device: str, memory: int | None) -> list[Any]:
    if device == "cpu":
        return [_CPU]
    options = {
        "device_id": device.partition(":")[2] or "0",
        # Full precision, and the same algorithms every time.
        "use_tf32": "0",
        "cudnn_conv_algo_search": "DEFAULT",
    }
    if memory is not None:
        options["gpu_mem_limit"] = str(memory)
    return [(CUDA, options), _CPU]


def _bytes(device: str, fraction: float) -> int | None:
    """Returns a fraction of a GPU's memory; None for the CPU."""
    if device == "cpu":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory * fraction)


def _take(graph: onnx.GraphProto, name: str, dtype: np.dtype[Any]) -> None:
    """Makes a tensor that a node of `graph` computes an input of it."""
    taken = {value for node in graph.node for value in (*node.input, *node.output)}
    spare = next(n for i in itertools.count() if (n := f"onnxattr.{i}") not in taken)
    for node in graph.node:
        for place, value in enumerate(node.output):
            if value == name:
                node.output[place] = spare
    kept = [value for value in graph.value_info if value.name != name]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    graph.input.append(onnx.helper.make_tensor_value_info(name, kind, None))


def _end(graph: onnx.GraphProto, values: Sequence[str]) -> None:
    """Makes `values` the outputs of a graph, and takes away the nodes that lead to none of them.

    They change nothing before them, and ONNX Runtime may not know them.
    """
    told = {value.name: value for value in graph.output}
    empty = onnx.helper.make_empty_tensor_value_info
    outputs = [
        onnx.ValueInfoProto.FromString((told.get(v) or empty(v)).SerializeToString())
        for v in dict.fromkeys(values)
    ]
    wanted, kept = set(values), []
    for node in reversed(graph.node):
        if not wanted.isdisjoint(v for v in node.output if v):
            wanted.update(taken(node))
            kept.append(node)
    if len(kept) < len(graph.node):
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept[::-1]]
        del graph.node[:]
        graph.node.extend(kept)
    del graph.output[:]
    graph.output.extend(outputs)
