"""Small files that would take all memory, all time, or the process itself."""

from onnx import TensorProto, helper

from corpus.base import (
    EITHER,
    GRAPH,
    INITIALIZER,
    NODE,
    Case,
    big,
    field,
    opset,
    put,
    raw,
    table,
    tail,
    varint,
)

#: Told of what shapes show, before anything runs.
BUDGET = r"one pass over it would make tensors of"
#: Told of an operator that nobody converts, which is found first.
UNCONVERTED = r"no converter for these operators"
#: Told of what only running it shows.
BOUNDS = r"memory|more than [\d.]+ s"

G = 10**9

#: Of the image.
SHAPE = "graph.input.0.type.tensor_type.shape"


def const(name: str, *numbers: int) -> str:
    """Text of a constant vector of whole numbers."""
    listing = ", ".join(map(str, numbers))
    return f"{name} = Constant<value = int64[{len(numbers)}] {{{listing}}}>() "


def filled(name: str, *shape: int) -> str:
    """Text of a tensor of zeros, which the file does not hold."""
    return f"{const(f'{name}_s', *shape)}{name} = ConstantOfShape({name}_s) "


def one(name: str = "a") -> str:
    """Text of a single value that depends on the image."""
    return f"{name}_m = ReduceMean<keepdims = 0>(encoded) {const(f'{name}_s', 1)}" + (
        f"{name} = Reshape({name}_m, {name}_s) "
    )


#: Operator → what makes a tensor `big` of more than 16 GiB.
GROWTH = {
    "constant-of-shape": filled("big", 1000, G),
    "constant-of-shape-by-sizes": filled("big", 10**5, 10**5, 10),
    "constant-of-shape-beyond-64-bits": filled("big", 2**32, 2**32, 2**32),
    "expand": f"{one()}{const('s', 10**5, 10**5, 10)}big = Expand(a, s)",
    "tile": f"{one()}{const('s', 10**12)}big = Tile(a, s)",
    "tile-of-the-image": f"{const('s', 1, 1, 10**5, 10**5)}big = Tile(encoded, s)",
    "range": "l = Constant<value = int64 {0}>() h = Constant<value = int64 {1000000000000}>()"
    "d = Constant<value = int64 {1}>() r = Range(l, h, d) big = Cast<to = 1>(r)",
    "pad": f"{const('p', 0, 0, 0, 0, 0, 0, G, G)}big = Pad(encoded, p)",
    "resize-by-scales": "k = Constant<value = float[4] {1.0, 1.0, 1000000.0, 1000000.0}>()"
    "big = Resize(encoded, , k)",
    "resize-by-sizes": f"{const('s', 1, 4, 10**6, 10**6)}big = Resize(encoded, , , s)",
    "add-of-a-row-and-a-column": f"{filled('r', 1, 10**6)}{filled('c', 10**6, 1)}big = Add(r, c)",
    "where-of-a-row-and-a-column": f"{filled('r', 1, 10**6)}{filled('c', 10**6, 1)}"
    "q = Equal(r, c) big = Cast<to = 1>(q)",
    "matmul-of-a-column-and-a-row": f"{filled('c', 10**6, 1)}{filled('r', 1, 10**6)}"
    "big = MatMul(c, r)",
    "gemm-of-a-column-and-a-row": f"{filled('c', 1, 10**6)}{filled('r', 1, 10**6)}"
    "big = Gemm<transA = 1>(c, r)",
    "einsum-of-two-vectors": f"{filled('c', 10**6)}{filled('r', 10**6)}"
    'big = Einsum<equation = "i,j->ij">(c, r)',
    "gather": f"{filled('t', 100, 10**5)}{const('i_s', 10**6)}"
    "i = ConstantOfShape<value = int64[1] {0}>(i_s) big = Gather(t, i)",
    "conv-transpose-by-strides": f"{filled('w', 4, 1, 1, 1)}"
    "big = ConvTranspose<strides = [1000000, 1000000]>(encoded, w)",
    "conv-transpose-by-padding": f"{filled('w', 4, 1, 1, 1)}big = ConvTranspose"
    "<strides = [1000000, 1000000], output_padding = [999999, 999999]>(encoded, w)",
    "conv-transpose-by-shape": f"{filled('w', 4, 1, 1, 1)}"
    "big = ConvTranspose<output_shape = [1000000, 1000000]>(encoded, w)",
    "conv-by-pads": f"{filled('w', 1, 4, 1, 1)}"
    "big = Conv<pads = [500000, 500000, 500000, 500000]>(encoded, w)",
    "one-hot": f"{filled('z', 1000)}i = Cast<to = 7>(z) {const('d', 10**12)}"
    "v = Constant<value = float[2] {0.0, 1.0}>() big = OneHot(i, d, v)",
    "random-normal": "big = RandomNormal<shape = [100000, 100000]>()",
    "random-uniform": "big = RandomUniform<shape = [100000, 100000]>()",
    "multinomial": f"{filled('p', 1, 4)}i = Multinomial<sample_size = 1000000000000>(p)"
    "big = Cast<to = 1>(i)",
    "eye-like": f"{filled('z', 10**6, 10**6)}big = EyeLike(z)",
    "max-unpool": f"{filled('z', 1, 1, 1, 1)}{const('s', 1, 1, 10**6, 10**6)}i = Cast<to = 7>(z)"
    "big = MaxUnpool<kernel_shape = [1, 1]>(z, i, s)",
    "roi-align": f"{filled('r', 1, 4)}{const('b', 0)}"
    "big = RoiAlign<output_height = 1000000, output_width = 1000000>(encoded, r, b)",
    "hann-window": "n = Constant<value = int64 {1000000000000}>() big = HannWindow(n)",
    "matmul-with-its-transpose": f"{one()}{const('u', 0)}{const('r', 1, 10**6)}a2 = Unsqueeze(a, u)"
    "k = Tile(a2, r) t = Transpose(k) big = MatMul(t, k)",
    "concat-of-one-60-times": f"{filled('w', 10**4, 10**4)}"
    f"big = Concat<axis = 1>({', '.join(['w'] * 60)})",
}


def doubling(operator: str, times: int = 40) -> str:
    """Text of a chain in which each value is twice as large as the one before."""
    steps = ["v0 = Identity(encoded)"]
    steps += [f"v{i + 1} = {operator.format(v=f'v{i}')}" for i in range(times)]
    return f"{' '.join(steps)} big = Identity(v{times})"


CHAINS = {
    "concat-doubling": doubling("Concat<axis = 2>({v}, {v})"),
    "tile-doubling": const("s", 1, 1, 1, 2) + doubling("Tile({v}, s)"),
    "pad-doubling": const("s", 0, 0, 0, 0, 0, 0, 4000, 4000) + doubling("Pad({v}, s)"),
    "many-of-1-gib": filled("v0", 1, 2**28)
    + " ".join(f"v{i + 1} = Relu(v{i})" for i in range(40))
    + " big = Identity(v40)",
}

#: Sizes that stand in no attribute and in no constant.
COMPUTED = {
    "shape-times-a-million": f"n = Shape(encoded) {const('m', 1, 1, 10**6, 10**6)}s = Mul(n, m)"
    "big = ConstantOfShape(s)",
    "shape-to-the-eighth": "n = Shape(encoded) n2 = Mul(n, n) n4 = Mul(n2, n2) s = Mul(n4, n4)"
    "big = ConstantOfShape(s)",
    "size-of-the-image": f"n = Size(encoded) {const('one', 1)}{const('m', G)}k = Mul(n, m)"
    "s = Reshape(k, one) big = ConstantOfShape(s)",
    "sum-of-weights": f"{filled('z', 1000)}k = ReduceSum<keepdims = 0>(z) h = Add(k, huge)"
    f"i = Cast<to = 7>(h) {const('one', 1)}s = Reshape(i, one) big = ConstantOfShape(s)",
    "value-of-a-pixel": f"m = ReduceMax<keepdims = 0>(image) k = Mul(m, huge) k2 = Add(k, huge)"
    f"i = Cast<to = 7>(k2) {const('one', 1)}s = Reshape(i, one) big = ConstantOfShape(s)",
    "count-of-nonzero": f"{filled('z', 10**5)}i = NonZero(image) n = Shape(i)"
    f"{const('m', 10**6)}s = Mul(n, m) big = ConstantOfShape(s)",
}
#: Nobody infers the shapes of ONNX Runtime's own operators.
MICROSOFT = {
    "pad-of-microsoft": f"{const('s', 0, 0, 0, 0, 0, 0, 10**6, 10**6)}"
    "big = com.microsoft.Pad(encoded, s)",
    "range-of-microsoft": "l = Constant<value = int64 {0}>()"
    "h = Constant<value = int64 {1000000000000}>() r = com.microsoft.Range(l, h)"
    "big = Cast<to = 1>(r)",
    "product-of-microsoft": f"{filled('c', 10**6, 1)}{filled('r', 1, 10**6)}"
    "big = com.microsoft.FusedMatMul(c, r)",
}
HUGE = [helper.make_tensor("huge", 1, [], [1e12])]

#: What would kill the process, or hang it, as whole numbers do.
NUMBERS = {
    "div-of-the-smallest-by-minus-1": "Div(i, n)",
    "mod-of-the-smallest-by-minus-1": "Mod(i, n)",
    "div-by-0": "Div(i, o)",
    "mod-by-0": "Mod(i, o)",
}


def integers(operation: str, kind: int) -> str:
    """Text that adds the result of an operation on whole numbers to what the encoder makes."""
    low = {6: -(2**31), 7: -(2**63)}[kind]
    name = {6: "int32", 7: "int64"}[kind]
    shift = f"u = Cast<to = {6 + kind}>(i) w = Cast<to = {6 + kind}>(k)" * ("Shift" in operation)
    return (
        f"i = Constant<value = {name}[1] {{{low}}}>() n = Constant<value = {name}[1] {{-1}}>()"
        f"o = Constant<value = {name}[1] {{0}}>() k = Constant<value = {name}[1] {{1000}}>()"
        f"{shift} q = {operation} f = Cast<to = 1>(q) features = Add(encoded, f)"
    )


#: What a loop carries: as large as it likes to become.
STATE = "float[N, d1, d2, d3]"


def trips(count: str, body: str, after: str) -> str:
    """Text of a loop."""
    return (
        f"n = Constant<value = int64 {{{count}}}>() c = Constant<value = bool {{1}}>() {after} = "
        f"Loop(n, c, encoded)<body = b (int64 i, bool k, {STATE} s) => {body}>"
    )


def while_(condition: str, body: str, outputs: str = "") -> str:
    """Text of a loop without a number of turns, that goes on while a condition holds."""
    return (
        f"c = Constant<value = bool {{1}}>() m = Constant<value = int64 {{{2**62}}}>() big"
        f"{outputs and ', all'} = Loop(, c, encoded)<body = b (int64 i, bool k, {STATE} s) =>"
        f"(bool k2, {STATE} s2{outputs}) {{ k2 = {condition} {body} }}>"
    )


DOUBLES = f"(bool k2, {STATE} s2) {{ k2 = Identity(k) s2 = Concat<axis = 2>(s, s) }}"
STAYS = f"(bool k2, {STATE} s2) {{ k2 = Identity(k) s2 = Relu(s) }}"

#: What is told of turns, of which there are too many.
TURNS = r"turns, and 100,000 are allowed"

LOOPS = {
    "loop-that-doubles": (BUDGET, trips("60", DOUBLES, "big")),
    "loop-that-collects": (
        BUDGET,
        trips(
            "1000000000000",
            f"(bool k2, {STATE} s2, {STATE} t) {{ k2 = Identity(k) s2 = Relu(s) t = Neg(s) }}",
            "big, all",
        ),
    ),
    "loop-of-small-turns": (
        TURNS,
        f"{one()}n = Constant<value = int64 {{100001}}>() c = Constant<value = bool {{1}}>()"
        "big = Loop(n, c, a)<body = b (int64 i, bool k, float[d] s) => (bool k2, float[d] s2)"
        "{ k2 = Identity(k) s2 = Relu(s) }>",
    ),
    "loop-in-a-loop-of-small-turns": (
        TURNS,
        f"{one()}n = Constant<value = int64 {{320}}>() c = Constant<value = bool {{1}}>()"
        "big = Loop(n, c, a)<body = b (int64 i, bool k, float[d] s) => (bool k2, float[d] s2)"
        "{ k2 = Identity(k) s2 = Loop(n, c, s)<body = d (int64 j, bool l, float[d] u) =>"
        "(bool l2, float[d] u2) { l2 = Identity(l) u2 = Relu(u) }> }>",
    ),
    "loop-before-a-tile": (
        BUDGET,
        trips("2", STAYS, "v") + const("s", 1, 1, 10**5, 10**5) + "big = Tile(v, s)",
    ),
    "loop-with-a-tile-of-what-it-carries": (
        BUDGET,
        const("r", 1, 1, 10**5, 10**5)
        + trips(
            "2",
            f"(bool k2, {STATE} s2) {{ k2 = Identity(k) l = Tile(s, r)"
            "s2 = ReduceMax<axes = [2, 3]>(l) }",
            "big",
        ),
    ),
    "loop-without-a-bound": (
        r"Loop `/tail/Loop_\d` never ends",
        while_("Identity(k)", "s2 = Relu(s)"),
    ),
    "loop-while-a-number-is-small": (
        r"Loop `/tail/Loop_\d` takes more than the 100,000 turns",
        while_("Less(i, m)", "s2 = Relu(s)"),
    ),
    "loop-that-doubles-while-a-number-is-small": (
        r"Loop `/tail/Loop_\d` makes tensors of more than|memory",
        while_("Less(i, m)", "s2 = Concat<axis = 2>(s, s)"),
    ),
    "loop-as-often-as-a-pixel-says": (
        r"Loop `/tail/Loop_\d` takes more than the 100,000 turns",
        "t = ReduceMax<keepdims = 0>(image) t2 = Add(t, huge) n = Cast<to = 7>(t2)"
        f"c = Constant<value = bool {{1}}>() {one()} big = Loop(n, c, a)<body = b"
        "(int64 i, bool k, float[d] s) => (bool k2, float[d] s2)"
        "{ k2 = Identity(k) s2 = Relu(s) }>",
    ),
    "scan-of-10-million": (
        TURNS,
        f"{filled('z', 10**7)}big = Scan<num_scan_inputs = 1, body = b (float s) => (float t)"
        "{ t = Relu(s) }>(z)",
    ),
    "if-with-a-bomb-inside": (
        BUDGET,
        "c = Constant<value = bool[1] {1}>() big = If(c)<then_branch = t () =>"
        f"(float y) {{ {filled('y', 1000, G)} }}, else_branch = e () => (float z)"
        "{ z = Relu(encoded) }>",
    ),
    "sequence-split": (
        r"SplitToSequence_\d` would make a sequence of 10,000,000 tensors",
        f"{filled('z', 10**7)}q = SplitToSequence<keepdims = 0>(z)"
        "big = ConcatFromSequence<axis = 0, new_axis = 1>(q)",
    ),
    # Shapes do not go through sequences.
    "sequence-doubling": (
        "memory",
        "v0 = Identity(encoded)"
        + " ".join(
            f"q{i} = SequenceConstruct(v{i}, v{i})v{i + 1} = ConcatFromSequence<axis = 2>(q{i})"
            for i in range(40)
        )
        + " big = Identity(v40)",
    ),
}

TEXTS = {
    "string-split": (
        'Constant<value_strings = ["a,b"]>()',
        'q, r = StringSplit<delimiter = ",">(t)',
    ),
    "regular-expression": (
        'Constant<value_strings = ["' + "a" * 40 + '"]>()',
        'r = RegexFullMatch<pattern = "(a|a)*b">(t)',
    ),
}


def _chain(count: int, operator: str) -> str:
    steps = [f"v{i + 1} = {operator}(v{i})" for i in range(count)]
    return f"v0 = Identity(encoded) {' '.join(steps)} features = Identity(v{count})"


def _functions(levels: int, width: int) -> str:
    """Functions each of which calls the one before several times: `width` to the `levels` nodes."""
    first = '<domain: "f", opset_import: ["" : 17]> f0 (x) => (y) { y = Relu(x) }'
    parts = [first]
    for level in range(1, levels + 1):
        calls = [f"v{i + 1} = f.f{level - 1}(v{i})" for i in range(width)]
        body = f"v0 = Identity(x) {' '.join(calls)} y = Identity(v{width})"
        head = f'<domain: "f", opset_import: ["" : 17, "f" : 1]> f{level} (x) => (y)'
        parts.append(f"{head} {{ {body} }}")
    return "---".join(parts)


def _repeated(node: str, times: int) -> bytes:
    """A node that makes nothing which anybody reads, again and again."""
    message = helper.make_node(node, ["image"], [""]).SerializeToString()
    return field(GRAPH, field(NODE, message) * times)


def _bytes_stored(count: int) -> bytes:
    """Initializers of one byte each, under names of their own."""
    head = b"\x08\x01" + varint(2 << 3) + varint(TensorProto.INT8)
    parts = (
        field(INITIALIZER, head + field(8, b"u%x" % i) + field(9, b"\x01")) for i in range(count)
    )
    return field(GRAPH, b"".join(parts))


#: A square matrix of 64 MiB, many times: small in memory, long in time.
SLOW = (
    f"{one()}{const('s', 4096, 4096)}v0 = Expand(a, s) "
    + " ".join(f"v{i + 1} = MatMul(v{i}, v{i})" for i in range(60))
    + " big = Mul(v60, zero)"
)
ZERO = [helper.make_tensor("zero", 1, [], [0.0])]

CASES: list[Case] = [
    *table(
        "bombs",
        {
            **{f"bomb-{name}": (BUDGET, big(text)) for name, text in (GROWTH | CHAINS).items()},
            **{
                f"bomb-{name}": (told, big(text, weights=HUGE if "huge" in text else []))
                for name, (told, text) in LOOPS.items()
            },
            **{
                f"bomb-{name}": (rf"{BUDGET}|{UNCONVERTED}|{BOUNDS}", big(text, weights=HUGE))
                for name, text in COMPUTED.items()
            },
            **{
                f"bomb-{name}": (r"its \w+ `/tail/\w+` asks for [\d.e+]+ GiB at once", big(text))
                for name, text in MICROSOFT.items()
            },
            "bomb-upsample": (
                rf"{BUDGET}|{UNCONVERTED}",
                opset(9),
                big(
                    "k = Constant<value = float[4] {1.0, 1.0, 1000000.0, 1000000.0}>()"
                    "big = Upsample(encoded, k)"
                ),
            ),
            "bomb-batch-of-a-billion": (
                r"fixes a batch of more than",
                put(f"{SHAPE}.dim.0.dim_value", G),
            ),
            "bomb-batch-of-2-to-the-62": (
                r"fixes a batch of more than",
                put(f"{SHAPE}.dim.0.dim_value", 2**62),
            ),
            "bomb-of-a-batch": (
                BUDGET,
                put(f"{SHAPE}.dim.0.dim_value", 65536),
                put(f"{SHAPE}.dim.2.dim_value", 64),
                put(f"{SHAPE}.dim.3.dim_value", 64),
            ),
            "bomb-channels": (
                BUDGET,
                tail(f"{const('s', 1, 1, 8000, 8000)}t = Tile(encoded, s) features = Relu(t)"),
            ),
            **{
                f"{name}-of-{bits}-bits": (
                    rf"{UNCONVERTED}|ONNX Runtime|divi|zero|killed|whole numbers|checker|disagree"
                    "|convert",
                    tail(integers(operation, kind)),
                )
                for name, operation in NUMBERS.items()
                for bits, kind in {32: 6, 64: 7}.items()
            },
            **{
                name: (
                    UNCONVERTED,
                    opset(20),
                    tail(
                        f"t = {text} {operation} f = Cast<to = 1>(r) m = ReduceMax<keepdims = 0>(f)"
                        "features = Add(encoded, m)"
                    ),
                )
                for name, (text, operation) in TEXTS.items()
            },
            "functions-doubling-33-times": (
                r"functions inlined",
                tail("features = f.f33(encoded)", functions=_functions(33, 2)),
            ),
            "functions-doubling-2000-times": (
                r"functions inlined",
                tail("features = f.f2000(encoded)", functions=_functions(2000, 2)),
            ),
            "functions-5000-deep": (
                r"deep|was killed by|checker|more than",
                tail("features = f.f5000(encoded)", functions=_functions(5000, 1)),
            ),
            "functions-of-a-hundred-calls": (
                r"functions inlined",
                tail("features = f.f9(encoded)", functions=_functions(9, 100)),
            ),
            "functions-doubling-in-a-branch": (
                r"functions inlined",
                tail(
                    "c = Constant<value = bool[1] {1}>() features = If(c)<then_branch = t () =>"
                    "(float y) { y = f.f40(encoded) }, else_branch = e () => (float z)"
                    "{ z = Relu(encoded) }>",
                    functions=_functions(40, 2),
                ),
            ),
            "nodes-200001": (r"nodes, and", raw(more=lambda: _repeated("Relu", 200_001))),
            "nodes-a-million": (r"nodes, and", raw(more=lambda: _repeated("Relu", 1_000_000))),
            "constants-a-million": (
                r"nodes, and",
                raw(more=lambda: _repeated("Constant", 1_000_000)),
            ),
            "attribute-of-10-million-numbers": (
                r"checker|ONNX Runtime|shapes contradict|convert|rewritten",
                tail("features = Transpose<perm = [0, 1, 2, 3]>(encoded)"),
                lambda m: m.graph.node[-1].attribute[0].ints.extend([0] * 10_000_000),
            ),
            "name-of-10-mb": (r"characters", put("graph.node.2.name", "n" * 10_000_000)),
            "value-of-10-mb": (
                r"characters",
                put("graph.node.0.output.0", "v" * 10_000_000),
                put("graph.node.1.input.0", "v" * 10_000_000),
            ),
            "operator-of-10-mb": (r"characters", put("graph.node.2.op_type", "O" * 10_000_000)),
        },
    ),
    *table(
        "bombs",
        {
            "bomb-of-time": (BOUNDS, big(SLOW, weights=ZERO)),
        },
        seconds=20.0,
    ),
    # Whether so many small images are through within the time is left to the machine.
    *table(
        "bombs",
        {
            "batch-of-65536": (
                BOUNDS,
                put(f"{SHAPE}.dim.0.dim_value", 65536),
            ),
        },
        expected=EITHER,
        seconds=20.0,
    ),
    *table(
        "bombs",
        {
            "initializers-a-million": (
                r"initializers|tensors|" + BOUNDS,
                raw(more=lambda: _bytes_stored(1_000_000)),
            ),
            "chain-of-100000": (r"nodes, and", tail(_chain(100_000, "Identity"))),
        },
        seconds=20.0,
    ),
    *table(
        "bombs",
        {
            "batch-of-4096": (None, put(f"{SHAPE}.dim.0.dim_value", 4096)),
            **{
                f"shift-by-1000-of-{bits}-bits": (
                    None,
                    tail(integers('BitShift<direction = "LEFT">(u, w)', kind)),
                )
                for bits, kind in {32: 6, 64: 7}.items()
            },
            "regular-expression-that-nobody-reads": (
                None,
                opset(20),
                tail(
                    f"t = {TEXTS['regular-expression'][0]} {TEXTS['regular-expression'][1]}"
                    "features = Identity(encoded)"
                ),
            ),
            "doc-string-of-100-mb": (None, put("doc_string", "d" * 100_000_000)),
            "attribute-unused-of-10-million-numbers": (
                None,
                lambda m: m.graph.node.append(
                    helper.make_node("Constant", [], ["u"], value_ints=[0] * 10_000_000)
                ),
            ),
            "chain-of-20000": (None, tail(_chain(20_000, "Relu"))),
            "functions-doubling-5-times": (
                None,
                tail("features = f.f5(encoded)", functions=_functions(5, 2)),
            ),
            "metadata-of-10-mb": (
                None,
                lambda m: m.metadata_props.add(key="k", value="m" * 10_000_000),
            ),
        },
        seconds=20.0,
        alike=True,
    ),
]
