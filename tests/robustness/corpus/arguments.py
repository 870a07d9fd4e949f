"""Operators that exist, with arguments that they cannot have."""

from corpus.base import Case, attribute, clear, opset, put, table, tail

REASON = (
    r"ONNX checker refuses it|ONNX Runtime cannot run it|cannot convert it|shapes contradict"
    r"|would make a tensor of negative size|converted network cannot be run"
    r"|would make tensors|cannot be rewritten|no converter for|was killed by"
)

#: Position of the encoder's second convolution among its nodes.
BODY = 3

#: The tensor of a constant that is the first node behind the encoder.
CONSTANT = "graph.node.5.attribute.0.t"

#: What a convolution says of itself.
CONVOLUTIONS: dict[str, dict[str, object]] = {
    "pads-as-text": {"pads": "none"},
    "pads-as-float": {"pads": [1.0, 1.0, 1.0, 1.0]},
    "pads-negative": {"pads": [-9, -9, -9, -9]},
    "pads-of-three": {"pads": [1, 1, 1]},
    "pads-of-2-to-the-40": {"pads": [2**40] * 4},
    "pads-of-2-to-the-63": {"pads": [2**63 - 1] * 4},
    "kernel-negative": {"kernel_shape": [-3, -3]},
    "kernel-of-0": {"kernel_shape": [0, 0]},
    "kernel-not-that-of-the-weights": {"kernel_shape": [5, 5]},
    "group-0": {"group": 0},
    "group-negative": {"group": -1},
    "group-that-does-not-divide": {"group": 7},
    "group-of-2-to-the-62": {"group": 2**62},
    "strides-0": {"strides": [0, 0]},
    "strides-negative": {"strides": [-1, -1]},
    "strides-of-five": {"strides": [1, 1, 1, 1, 1]},
    "dilations-0": {"dilations": [0, 0]},
    "dilations-of-2-to-the-40": {"dilations": [2**40, 2**40]},
    "auto-pad-unknown": {"auto_pad": "SAME_MIDDLE"},
}


def with_numbers(numbers: list[int], operation: str) -> str:
    """Text of an operator that takes whole numbers `k`."""
    listing = ", ".join(map(str, numbers))
    return f"k = Constant<value = int64[{len(numbers)}] {{{listing}}}>() features = {operation}"


def with_scales(scales: str, operation: str = "Resize(encoded, , k)") -> str:
    return f"k = Constant<value = float[4] {{{scales}}}>() features = {operation}"


def loop(count: str) -> str:
    """Text of a loop, the number of whose rounds is this tensor."""
    return (
        f"n = Constant<value = {count}>() c = Constant<value = bool {{1}}>() features = "
        "Loop(n, c, encoded)<body = b (int64 i, bool k, float s) => (bool l, float t)"
        "{ l = Identity(k) t = Relu(s) }>"
    )


MIN = -(2**63)

#: Behind the encoder, on a tensor of 4 channels and 12 pixels a side.
TAILS = {
    "reshape-to-two-unknowns": with_numbers([-1, -1, 12, 12], "Reshape(encoded, k)"),
    "reshape-to-negative": with_numbers([-2, 4, 12, 12], "Reshape(encoded, k)"),
    "reshape-to-another-size": with_numbers([1, 7, 11, 13], "Reshape(encoded, k)"),
    "reshape-to-2-to-the-62": with_numbers([1, 4, 2**62, 2**62], "Reshape(encoded, k)"),
    "reshape-copies-an-axis-that-is-not": with_numbers([0, 0, 0, 0, 0], "Reshape(encoded, k)"),
    "transpose-by-one-axis-twice": "features = Transpose<perm = [0, 1, 1, 2]>(encoded)",
    "transpose-by-an-axis-that-is-not": "features = Transpose<perm = [0, 1, 2, 9]>(encoded)",
    "transpose-by-negative-axes": "features = Transpose<perm = [0, -9, 2, 3]>(encoded)",
    "concat-at-axis-99": "features = Concat<axis = 99>(encoded, encoded)",
    "softmax-at-axis-99": "s = Softmax<axis = 99>(encoded) features = Relu(s)",
    "softmax-at-axis-2-to-the-62": f"s = Softmax<axis = {2**62}>(encoded) features = Relu(s)",
    "flatten-at-axis-99": "features = Flatten<axis = 99>(encoded)",
    "squeeze-what-is-wide": with_numbers([1], "Squeeze(encoded, k)"),
    "unsqueeze-one-axis-twice": with_numbers([1, 1], "Unsqueeze(encoded, k)"),
    "unsqueeze-far-away": with_numbers([2**62], "Unsqueeze(encoded, k)"),
    "reduce-over-axis-99": "features = ReduceMean<axes = [99]>(encoded)",
    "reduce-over-one-axis-twice": "features = ReduceMean<axes = [1, 1]>(encoded)",
    "gather-beyond": with_numbers([10**9], "Gather<axis = 1>(encoded, k)"),
    "gather-before": with_numbers([-(10**9)], "Gather<axis = 1>(encoded, k)"),
    "gather-the-smallest": with_numbers([MIN], "Gather<axis = 1>(encoded, k)"),
    "gather-at-axis-99": with_numbers([0], "Gather<axis = 99>(encoded, k)"),
    "gather-nd-beyond": with_numbers([10**9], "GatherND(encoded, k)"),
    "scatter-nd-beyond": "k = Constant<value = int64[1, 4] {0, 0, 1000000, 1000000}>()"
    "v = Constant<value = float[1] {7.0}>() features = ScatterND(encoded, k, v)",
    "scatter-nd-before": "k = Constant<value = int64[1, 4] {0, 0, -1000000, -1000000}>()"
    "v = Constant<value = float[1] {7.0}>() features = ScatterND(encoded, k, v)",
    "slice-by-steps-of-0": "a = Constant<value = int64[1] {0}>()"
    "b = Constant<value = int64[1] {4}>() c = Constant<value = int64[1] {1}>()"
    "features = Slice(encoded, a, b, c, a)",
    "slice-at-axis-99": "a = Constant<value = int64[1] {0}>() b = Constant<value = int64[1] {4}>()"
    "c = Constant<value = int64[1] {99}>() features = Slice(encoded, a, b, c)",
    "slice-of-unlike-lengths": "a = Constant<value = int64[1] {0}>()"
    "b = Constant<value = int64[2] {4, 4}>() features = Slice(encoded, a, b)",
    "split-into-negative": with_numbers([-1, 5], "Split<axis = 1>(encoded, k)").replace(
        "features =", "features, rest ="
    ),
    "split-into-too-much": with_numbers([3, 3], "Split<axis = 1>(encoded, k)").replace(
        "features =", "features, rest ="
    ),
    "top-k-of-negative": with_numbers([-1], "TopK<axis = 1>(encoded, k)").replace(
        "features =", "features, rest ="
    ),
    "pad-beyond-what-is-there": with_numbers([0, 0, -99, 0, 0, 0, 0, 0], "Pad(encoded, k)"),
    "pad-by-the-smallest": with_numbers([0, 0, MIN, 0, 0, 0, MIN, 0], "Pad(encoded, k)"),
    "pad-of-three": with_numbers([1, 1, 1], "Pad(encoded, k)"),
    "pad-reflects-more-than-is-there": with_numbers(
        [0, 0, 50, 50, 0, 0, 50, 50], 'Pad<mode = "reflect">(encoded, k)'
    ),
    "expand-to-negative": with_numbers([1, 4, -12, 12], "Expand(encoded, k)"),
    "expand-to-another-size": with_numbers([1, 4, 7, 7], "Expand(encoded, k)"),
    "tile-negative": with_numbers([1, 1, -1, 1], "Tile(encoded, k)"),
    "tile-of-two": with_numbers([1, 1], "Tile(encoded, k)"),
    "constant-of-negative-shape": with_numbers([1, 4, -12, 12], "ConstantOfShape(k)"),
    "range-by-0": "a = Constant<value = float {0.0}>() b = Constant<value = float {9.0}>()"
    "r = Range(a, b, a) m = ReduceMax<keepdims = 0>(r) features = Add(encoded, m)",
    "einsum-of-nonsense": 'features = Einsum<equation = "a..b->->">(encoded)',
    "einsum-of-too-many-axes": 'features = Einsum<equation = "abcdefg->a">(encoded)',
    "depth-to-space-by-0": "features = DepthToSpace<blocksize = 0>(encoded)",
    "depth-to-space-by-negative": "features = DepthToSpace<blocksize = -2>(encoded)",
    "depth-to-space-by-2-to-the-62": f"features = DepthToSpace<blocksize = {2**62}>(encoded)",
    "space-to-depth-by-0": "features = SpaceToDepth<blocksize = 0>(encoded)",
    "average-pool-of-0": "features = AveragePool<kernel_shape = [0, 0]>(encoded)",
    "average-pool-by-strides-of-0": "features = AveragePool<kernel_shape = [2, 2],"
    "strides = [0, 0]>(encoded)",
    "max-pool-by-strides-of-0": "features = MaxPool<kernel_shape = [2, 2], strides = [0, 0]>"
    "(encoded)",
    "max-pool-of-what-is-larger": "features = MaxPool<kernel_shape = [99, 99]>(encoded)",
    "max-pool-of-one-axis": "features = MaxPool<kernel_shape = [2]>(encoded)",
    "max-pool-of-2-to-the-62": f"features = MaxPool<kernel_shape = [{2**62}, {2**62}]>(encoded)",
    "max-pool-padded-by-negative": "features = MaxPool<kernel_shape = [2, 2],"
    "pads = [-5, -5, -5, -5]>(encoded)",
    "lrn-of-0": "features = LRN<size = 0>(encoded)",
    "lrn-of-negative": "features = LRN<size = -3>(encoded)",
    "conv-transpose-by-strides-of-0": "w = Constant<value = float[4, 1, 1, 1] {1.0, 1.0, 1.0, 1.0}>"
    "() features = ConvTranspose<strides = [0, 0]>(encoded, w)",
    "resize-by-not-a-number": with_scales("1.0, 1.0, 1.0, 0.0", "Resize(encoded, , q)").replace(
        "features", "z = Sub(k, k) q = Div(z, z) features"
    ),
    "resize-by-0": with_scales("1.0, 1.0, 0.0, 0.0"),
    "resize-by-negative": with_scales("1.0, 1.0, -2.0, -2.0"),
    "resize-to-negative": with_numbers([1, 4, -5, -5], "Resize(encoded, , , k)"),
    "resize-to-0": with_numbers([1, 4, 0, 0], "Resize(encoded, , , k)"),
    "resize-by-and-to": "k = Constant<value = int64[4] {1, 4, 5, 5}>()"
    "s = Constant<value = float[4] {1.0, 1.0, 2.0, 2.0}>() features = Resize(encoded, , s, k)",
    "resize-of-a-mode-that-is-not": with_scales(
        "1.0, 1.0, 2.0, 2.0", 'Resize<mode = "magic">(encoded, , k)'
    ),
    "batch-norm-of-another-size": "s = Constant<value = float[2] {1.0, 1.0}>()"
    "features = BatchNormalization(encoded, s, s, s, s)",
    "gemm-of-four-axes": "features = Gemm(encoded, encoded)",
    "add-of-unlike-sizes": "k = Constant<value = float[5] {1.0, 1.0, 1.0, 1.0, 1.0}>()"
    "features = Add(encoded, k)",
    "add-of-unlike-types": "k = Constant<value = int64[1] {1}>() features = Add(encoded, k)",
    "relu-of-text": "t = Cast<to = 8>(encoded) features = Relu(t)",
    "loop-of-text-times": loop('string {"many"}'),
    "loop-of-float-times": loop("float {9.0}"),
}

#: Operators of a vendor that are called like one of ONNX, and have less.
NAMESAKES = {
    "identity-of-nothing": "features = com.vendor.Identity()",
    "softmax-of-nothing": "features = com.vendor.Softmax()",
    "conv-of-one": "features = com.vendor.Conv(encoded)",
    "gemm-of-nothing": "features = com.vendor.Gemm()",
    "add-of-nothing": "features = com.vendor.Add()",
    "constant-with-inputs": "k = com.vendor.Constant<value = float[1] {0.0}>(encoded)"
    "features = Add(encoded, k)",
    "loop-of-nothing": "features = com.vendor.Loop<body = b () => (float t)"
    "{ t = Relu(encoded) }>()",
    "transpose-by-text": 'features = com.vendor.Transpose<perm = "nchw">(encoded)',
    "batch-norm-of-nothing": "features = com.vendor.BatchNormalization()",
}

#: What cannot be run, and lies behind the tensor that is attributed: nobody runs it.
BEHIND = {
    "top-k-of-too-many": with_numbers([99], "TopK<axis = 1>(encoded, k)").replace(
        "features =", "features, rest ="
    ),
    "matmul-of-unlike-sizes": "k = Constant<value = float[2, 2] {1.0, 1.0, 1.0, 1.0}>()"
    "features = MatMul(encoded, k)",
}

#: Likewise; and what is attributed is more than the encoder.
BESIDE = {
    "concat-of-unlike-sizes": "features = Concat<axis = 1>(encoded, x)"
    "z = Reshape(encoded, features)",
}

HARMLESS = {
    "loop-of-negative-times": (None, tail(loop(f"int64 {{{MIN}}}"))),
    **{name: (None, tail(text)) for name, text in BEHIND.items()},
    # The output of nobody's Constant is blank: who is behind it takes something else.
    "vendors-constant-for-nobody": (
        None,
        tail(NAMESAKES["constant-with-inputs"]),
        put("graph.node.6.input", ["encoded", "encoded"]),
        clear("graph.node.5.output"),
    ),
}

CASES: list[Case] = [
    *table(
        "structure",
        {
            **{
                f"conv-{name}": (REASON, attribute(BODY, **row))
                for name, row in CONVOLUTIONS.items()
            },
            **{name: (REASON, tail(text)) for name, text in TAILS.items()},
            **{
                f"vendors-{name}": (r"no converter for|checker", tail(text))
                for name, text in NAMESAKES.items()
            },
            "resize-by-infinity": (
                REASON,
                tail(with_scales("1.0, 1.0, 2.0, 2.0")),
                put(f"{CONSTANT}.float_data", [1.0, 1.0, float("inf"), float("inf")]),
            ),
            "loop-of-infinite-times": (
                REASON,
                tail(TAILS["loop-of-float-times"]),
                put(f"{CONSTANT}.float_data", [float("inf")]),
            ),
            "split-into-0": (
                REASON,
                opset(18),
                tail("features, rest = Split<axis = 1, num_outputs = 0>(encoded)"),
            ),
            "group-normalization-into-0": (
                REASON,
                opset(21),
                tail(
                    "s = Constant<value = float[4] {1.0, 1.0, 1.0, 1.0}>()"
                    "features = GroupNormalization<num_groups = 0>(encoded, s, s)"
                ),
            ),
        },
    ),
    # A number of turns below zero is none.
    *table("structure", HARMLESS, alike=True),
    *table("structure", {name: (None, tail(text)) for name, text in BESIDE.items()}),
]
