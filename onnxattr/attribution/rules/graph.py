"""What the rules want to know of a node that the node does not say: where it stands in the graph.

One walk from the input to the outputs, in time linear in the size of the graph. What a value is
follows from the operator that makes it and from what is known of that operator's inputs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import onnx

from onnxattr.attribution.rules.table import ALL, GATE, ROWS, SIGNAL, WEAK_GATE, Facts, key
from onnxattr.graph.walk import taken
from onnxattr.types import TOKENS

if TYPE_CHECKING:
    from onnxattr.types import Network

#: Operators whose result is between 0 and 1 for what they are given, or nearly a sign of it.
_RANKS = {
    "BiasSoftmax": GATE,
    "Erf": WEAK_GATE,
    "HardSigmoid": GATE,
    "ScaledTanh": WEAK_GATE,
    "Sigmoid": GATE,
    "Softmax": GATE,
    "Tanh": WEAK_GATE,
}

#: Operators that move numbers about, and that leave a gate one: of their first input, or of all.
_MOVERS = frozenset(
    [
        "Cast",
        "CastLike",
        "CenterCropPad",
        "Compress",
        "Concat",
        "DepthToSpace",
        "Dropout",
        "Expand",
        "ExpandDims",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "JoinFirst",
        "RepeatBatch",
        "Reshape",
        "ReverseSequence",
        "Slice",
        "SpaceToDepth",
        "Split",
        "SplitFirst",
        "Squeeze",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
    ]
)

#: Operators whose result is never below zero.
_NONNEGATIVE = frozenset(
    [
        "Abs",
        "Exp",
        "HardSigmoid",
        "LpPool",
        "GlobalLpPool",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "Relu",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Sqrt",
        "BiasSoftmax",
    ]
)

#: Operators whose result is not if none of their inputs that bear relevance is.
_KEEPERS = _MOVERS | frozenset(
    [
        "Add",
        "AveragePool",
        "Col2Im",
        "CumSum",
        "Div",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "LRN",
        "LpNormalization",
        "Max",
        "MaxPool",
        "MaxRoiPool",
        "MaxUnpool",
        "Mean",
        "Min",
        "Mul",
        "NhwcMaxPool",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "RoiAlign",
        "Sum",
        "TopK",
        "Where",
    ]
)

#: Modes of Resize whose weights are not below zero; the default is one of them.
_CONVEX = frozenset({"", "nearest", "linear", "bilinear"})


#: Positions of the factors of products, which are signals or gates of each other; `ALL` for every
#: input. What else bears relevance there is added to the product.
FACTORS: dict[str, tuple[int, ...] | None] = {
    "Einsum": ALL,
    "Gemm": (0, 1),
    "MatMul": ALL,
    "Mul": ALL,
    "SwiGLU": ALL,
    "com.microsoft.ComplexMul": ALL,
    "com.microsoft.ComplexMulConj": ALL,
    "com.microsoft.FusedGemm": (0, 1),
    "com.microsoft.FusedMatMul": ALL,
    "com.microsoft.FusedMatMulActivation": ALL,
    "com.microsoft.TransposeMatMul": ALL,
}


#: Those that sum products, as attention does.
_SUMS = frozenset(FACTORS) - {
    "Mul",
    "SwiGLU",
    "com.microsoft.ComplexMul",
    "com.microsoft.ComplexMulConj",
}


@dataclass(frozen=True)
class _Value:
    """What is known of a value: whether it moves, its rank, its sign, whether a layer made it."""

    moving: bool = False
    rank: int = SIGNAL
    nonnegative: bool = False
    behind: bool = False


_STILL = _Value()


@dataclass
class _Walk:
    """The walk so far: what is stored, what is known of values, and who made them."""

    stored: Mapping[str, Any]
    values: dict[str, _Value]
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    signs: dict[str, bool] = field(default_factory=dict)

    def of(self, name: str) -> _Value:
        return self.values.get(name, _STILL)

    def number(self, name: str) -> float | None:
        """Returns the one number that is stored under a name, if it is one."""
        array = self.stored.get(name)
        return float(array.reshape(())) if array is not None and array.size == 1 else None

    def is_nonnegative(self, name: str) -> bool:
        """Whether no number of a value can be below zero; one that is blank is zero."""
        if not name or self.of(name).nonnegative:
            return True
        if name not in self.signs:
            array: Any = self.stored.get(name)
            known = array is not None and array.dtype.kind in "fiub"
            self.signs[name] = known and bool((array >= 0).all())
        return self.signs[name]


def analyse(network: Network, attention: str = "cp") -> dict[str, Facts]:
    """Returns what is known of each node of a network's dialect, by the node's name.

    What moves is what the input moves; of token ids it is what their embedding moves. Of nodes that
    relevance does not reach from the outputs nothing does.

    Args:
        network: From `convert.torch.to_network`.
        attention: `cp` or `attn-lrp`: whether relevance goes through the weights of attention.
    """
    dialect = network.dialect
    graph = dialect.proto.graph
    seeds = [value.name for value in graph.input]
    if network.spec.kind == TOKENS:
        names = dialect.names.values
        seeds = [name for name, vendor in names.items() if vendor == network.spec.at]
    found = facts(graph, dialect.stored, seeds)
    reached = bearing(graph, found, attention)
    still = {
        name: dataclasses.replace(known, moving=(False,) * len(known.moving))
        for name, known in found.items()
        if name not in reached
    }
    return found | still


def facts(
    graph: onnx.GraphProto, stored: Mapping[str, Any], seeds: Collection[str]
) -> dict[str, Facts]:
    """Returns what is known of each node of a graph, by the node's name.

    Args:
        graph: In the dialect: operators as the table of operators has them, in order.
        stored: What `Parameter` nodes stand for, as numpy arrays by value.
        seeds: Values that move of themselves.
    """
    walk = _Walk(stored, dict.fromkeys(seeds, _Value(moving=True)))
    found = {}
    for node in graph.node:
        inputs = [walk.of(name) for name in node.input]
        found[node.name] = known = _facts(node, inputs, walk)
        made = _made(node, inputs, known, walk)
        for name in node.output:
            walk.makers[name] = node
            if name and name not in seeds:
                walk.values[name] = made
    return found


def bearing(graph: onnx.GraphProto, facts: Mapping[str, Facts], attention: str = "cp") -> set[str]:
    """Returns the names of the nodes that relevance reaches, on its way from the outputs back.

    It does not reach what only gates, divides or chooses.
    """
    reached: set[str] = set()
    names: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Outputs" or not names.isdisjoint(node.output):
            reached.add(node.name)
            operator, known = key(node.op_type), facts[node.name]
            names.update(node.input[i] for i in live(operator, known, attention))
    return reached


def live(operator: str, facts: Facts, attention: str = "cp") -> list[int]:
    """Returns the positions of the inputs of a node to which relevance goes.

    Of the factors of a product those of higher ranks gate the others, unless all are alike, or
    `attention` is `attn-lrp` and the products are summed.
    """
    row, count = ROWS.get(operator), len(facts.moving)
    every = range(count)
    signal = every if row is None or row.signal is ALL else row.signal
    moving = [i for i in signal if i < count and facts.moving[i]]
    if operator not in FACTORS or (attention == "attn-lrp" and operator in _SUMS):
        return moving
    factors = FACTORS[operator]
    among = [i for i in moving if factors is ALL or i in factors]
    least = min((facts.ranks[i] for i in among), default=SIGNAL)
    return [i for i in moving if i not in among or facts.ranks[i] == least]


def _facts(node: onnx.NodeProto, inputs: list[_Value], walk: _Walk) -> Facts:
    row, moving = ROWS.get(key(node.op_type)), tuple(value.moving for value in inputs)
    ranks = tuple(value.rank for value in inputs)
    if row is None or not row.layer or sum(moving[:2]) != 1:
        return Facts(ranks, moving)
    x = moving.index(True)
    return Facts(ranks, moving, walk.is_nonnegative(node.input[x]), not inputs[x].behind)


def _made(node: onnx.NodeProto, inputs: list[_Value], known: Facts, walk: _Walk) -> _Value:
    """Returns what is known of what a node makes."""
    operator = key(node.op_type)
    row, name = ROWS.get(operator), operator.rpartition(".")[2]
    nonnegative = _makes_nonnegative(name, node, walk)
    if not live(operator, known) or _is_divisor(name, node, walk):
        # Subgraphs read what is not among the inputs.
        refused = row is not None and bool(row.refuse)
        moving = refused and any(walk.of(value).moving for value in taken(node))
        return _Value(moving, nonnegative=nonnegative, behind=moving)
    return _Value(
        moving=True,
        rank=_rank(name, node, inputs, walk),
        nonnegative=nonnegative,
        behind=(row is not None and bool(row.layer))
        or any(value.behind for value in inputs if value.moving),
    )


def _is_divisor(name: str, node: onnx.NodeProto, walk: _Walk) -> bool:
    """Whether a node makes a power that falls, x⁻¹ or x^(-½), which divides what it multiplies."""
    exponent = walk.number(node.input[1]) if name == "Pow" else None
    return exponent is not None and exponent < 0


def _rank(name: str, node: onnx.NodeProto, inputs: list[_Value], walk: _Walk) -> int:
    moving = [value for value in inputs if value.moving]
    if name in _RANKS:
        return _RANKS[name]
    if name in _MOVERS or name == "Neg":
        return min(value.rank for value in moving)
    if name in ("Add", "Sub") and len(moving) == 1:
        # A number more or less: of a sign it makes what is between 0 and 1.
        single = any(walk.number(value) is not None for value in node.input)
        return GATE if single and moving[0].rank else SIGNAL
    if name == "Mul":
        ranks = {value.rank for value in moving}
        return ranks.pop() if len(moving) == 1 or ranks == {GATE} else SIGNAL
    if name == "Div":
        return GATE if _is_softmax(node, walk) else inputs[0].rank
    return GATE if name == "Clip" and _is_gate(node, walk) else SIGNAL


def _is_softmax(node: onnx.NodeProto, walk: _Walk) -> bool:
    """Whether a quotient is that of exponentials and their own sum."""
    maker, total = (walk.makers.get(name) for name in node.input)
    if maker is None or total is None or key(maker.op_type) != "Exp":
        return False
    return key(total.op_type) == "ReduceSum" and total.input[0] == node.input[0]


def _is_gate(node: onnx.NodeProto, walk: _Walk) -> bool:
    """Whether Clip makes what is between 0 and 1, or is a hard sigmoid but for its scale."""
    low, high = _bounds(node, walk)
    if low != 0 or not high > 0:
        return False
    maker = walk.makers.get(node.input[0])
    shifts = maker.input if maker is not None and key(maker.op_type) == "Add" else ()
    numbers = [number for number in map(walk.number, shifts) if number is not None]
    return high == 1 or any(math.isclose(high, 2 * number, rel_tol=1e-6) for number in numbers)


def _bounds(node: onnx.NodeProto, walk: _Walk) -> tuple[float, float]:
    """Returns the bounds of Clip; infinite where they are blank, no number if not stored."""
    found = {"min": -math.inf, "max": math.inf}
    found |= {a.name: a.f for a in node.attribute if a.name in found}
    for name, value in zip(("min", "max"), node.input[1:], strict=False):
        if value:
            number = walk.number(value)
            found[name] = math.nan if number is None else number
    return found["min"], found["max"]


def _makes_nonnegative(name: str, node: onnx.NodeProto, walk: _Walk) -> bool:
    if name in _NONNEGATIVE:
        return True
    if name == "Clip":
        low, high = _bounds(node, walk)
        return low >= 0 or (high >= 0 and walk.is_nonnegative(node.input[0]))
    if name == "Pow":
        exponent = walk.number(node.input[1])
        even = exponent is not None and exponent % 2 == 0
        return even or walk.is_nonnegative(node.input[0])
    if name in ("Pad", "Resize", "Upsample"):
        attributes = {a.name: a for a in node.attribute}
        mode = attributes["mode"].s.decode() if "mode" in attributes else ""
        outside = attributes.get("extrapolation_value")
        if name == "Pad":
            # Beyond the edge it may be a number that is given.
            values = [node.input[0], *node.input[2:3]]
            return "value" not in attributes and all(map(walk.is_nonnegative, values))
        convex = mode in _CONVEX and (outside is None or outside.f >= 0)
        return convex and walk.is_nonnegative(node.input[0])
    if name not in _KEEPERS:
        return False
    row = ROWS.get(key(node.op_type))
    signal = None if name == "Div" or row is None else row.signal
    values = [v for i, v in enumerate(node.input) if signal is None or i in signal]
    return all(map(walk.is_nonnegative, values))
