"""Valid models of bodies, sequences, memories, and of what ONNX Runtime rewrites."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper
from seeds import parsed, stored, vector
from small_models import weight


def choice() -> onnx.ModelProto:
    """Branches, of which the image decides."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w0)
        m = ReduceMean <keepdims = 0> (image)
        c = Greater (m, dark)
        b = If (c) <
            then_branch = bright () => (float[N,4,h,w] t) { t = Relu (a) },
            else_branch = other () => (float[N,4,h,w] o) { n = Neg (a) o = LeakyRelu (n) }
        >
        features = Add (a, b)
        """,
        weight("w0", (4, 3, 3, 3), 40),
        stored("dark", 0.3, np.float32),
    )


def turns() -> onnx.ModelProto:
    """A Loop that collects, and one that ends by itself with another inside it."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w0)
        b, all = Loop (trips, yes, a) <body = turn
            (int64 i, bool before, float[N,4,h,w] x) =>
            (bool after, float[N,4,h,w] y, float[N,4,h,w] z)
            { after = Identity (before) r = Relu (x) y = Mul (r, half) z = Neg (y) }
        >
        d = Loop (, yes, b) <body = ending
            (int64 j, bool going, float[N,4,h,w] x2) => (bool on, float[N,4,h,w] y2)
            {
                on = Less (j, trips)
                y2 = Loop (trips, yes, x2) <body = inner
                    (int64 k, bool g, float[N,4,h,w] x3) => (bool g2, float[N,4,h,w] y3)
                    { g2 = Identity (g) s = Sigmoid (x3) y3 = Add (x3, s) }
                >
            }
        >
        e = ReduceMean <axes = [0], keepdims = 0> (all)
        features = Add (d, e)
        """,
        weight("w0", (4, 3, 3, 3), 41),
        stored("trips", 2),
        stored("yes", True, np.bool_),
        stored("half", 0.5, np.float32),
    )


def rows() -> onnx.ModelProto:
    """A Scan over the rows of an image, there and back."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w0)
        start = ReduceMean <axes = [2], keepdims = 0> (a)
        last, features = Scan <
            num_scan_inputs = 1, scan_input_axes = [2], scan_output_axes = [2],
            scan_input_directions = [1], scan_output_directions = [1],
            body = row (float[N,4,w] state, float[N,4,w] x) => (float[N,4,w] next, float[N,4,w] y)
            { s = Mul (state, half) next = Add (s, x) y = Tanh (next) }
        > (start, a)
        """,
        weight("w0", (4, 3, 3, 3), 42),
        stored("half", 0.5, np.float32),
    )


def sequences() -> onnx.ModelProto:
    """Tensors in a list: split, looked up, put in, taken out, worked on, and joined."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w0)
        s = SplitToSequence <axis = 1> (a, one)
        x = SequenceAt (s, two)
        t = SequenceInsert (s, x, one)
        u = SequenceErase (t, three)
        m = SequenceMap <body = each (float[N,1,h,w] v) => (float[N,1,h,w] y) { y = Relu (v) }> (u)
        b = ConcatFromSequence <axis = 1> (m)
        p = SequenceConstruct (a, b)
        features = ConcatFromSequence <axis = 1> (p)
        """,
        weight("w0", (4, 3, 3, 3), 43),
        stored("one", 1),
        stored("two", 2),
        stored("three", 3),
    )


def memories() -> onnx.ModelProto:
    """LSTM, GRU and RNN, over the rows of an image."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], strides = [3, 3]> (image, w0)
        r = Reshape (a, rows)
        t = Transpose <perm = [1, 0, 2]> (r)
        l, lh, lc = LSTM <hidden_size = 2, direction = "bidirectional"> (t, wl, rl, bl)
        lt = Transpose <perm = [0, 2, 1, 3]> (l)
        lr = Reshape (lt, four)
        g, gh = GRU <hidden_size = 4, linear_before_reset = 1> (lr, wg, rg)
        gs = Squeeze (g, one)
        n = RNN <hidden_size = 4, activations = ["Tanh"]> (gs, wn, rn)
        ns = Squeeze (n, one)
        features = Transpose <perm = [1, 2, 0]> (ns)
        """,
        weight("w0", (4, 3, 3, 3), 44),
        weight("wl", (2, 8, 16), 45),
        weight("rl", (2, 8, 2), 46),
        weight("bl", (2, 16), 47),
        weight("wg", (1, 12, 4), 48),
        weight("rg", (1, 12, 4), 49),
        weight("wn", (1, 4, 4), 50),
        weight("rn", (1, 4, 4), 51),
        stored("rows", [0, 4, 16]),
        stored("four", [4, -1, 4]),
        stored("one", [1]),
        shape="N,d1,d2",
    )


def microsoft() -> onnx.ModelProto:
    """As ONNX Runtime's optimiser writes a transformer."""
    proto = parsed(
        """
        a = com.microsoft.FusedConv <kernel_shape = [3, 3], strides = [3, 3], activation = "Relu">
            (image, w0, b0)
        r = Reshape (a, tokens)
        t = Transpose <perm = [0, 2, 1]> (r)
        g = com.microsoft.BiasGelu (t, b1)
        n = com.microsoft.SkipLayerNormalization <epsilon = 1e-5> (t, g, scale, shift)
        o = com.microsoft.Attention <num_heads = 2> (n, wa, ba)
        f = com.microsoft.FusedMatMul <alpha = 0.5, transB = 1> (o, wf)
        features = com.microsoft.QuickGelu <alpha = 1.7> (f)
        """,
        weight("w0", (4, 3, 3, 3), 52),
        vector("b0", 4, 53),
        vector("b1", 4, 54),
        vector("scale", 4, 55, 1.0),
        vector("shift", 4, 56),
        weight("wa", (4, 12), 57),
        vector("ba", 12, 58),
        weight("wf", (4, 4), 59),
        stored("tokens", [0, 4, 16]),
        shape="N,d1,d2",
    )
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def integers() -> onnx.ModelProto:
    """As ONNX Runtime's quantiser writes convolutions."""
    chance = np.random.default_rng(60)
    proto = parsed(
        """
        q = QuantizeLinear (image, si, zi)
        a = QLinearConv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]>
            (q, si, zi, w0, sw, zw, sa, za)
        b = com.microsoft.QLinearLeakyRelu <alpha = 0.1> (a, sa, za, sa, za)
        c = com.microsoft.QLinearAdd (a, sa, za, b, sa, za, sb, za)
        d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
        features = DequantizeLinear (d, sb, za)
        """,
        stored("si", 1 / 255, np.float32),
        stored("zi", 0, np.uint8),
        stored("w0", chance.integers(-127, 128, (4, 3, 3, 3)), np.int8),
        stored("sw", [0.01, 0.02, 0.01, 0.03], np.float32),
        stored("zw", [0, 0, 0, 0], np.int8),
        stored("sa", 0.05, np.float32),
        stored("za", 128, np.uint8),
        stored("sb", 0.1, np.float32),
    )
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def places() -> onnx.ModelProto:
    """What looks values up, and puts them elsewhere."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], strides = [3, 3]> (image, w0)
        v, i = TopK <axis = 2> (a, two)
        p, at = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)
        u = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (p, at)
        k = CumSum (u, axis)
        e = Einsum <equation = "nchw,cd->ndhw"> (k, mixed)
        g = GatherElements <axis = 2> (a, i)
        t = Trilu <upper = 0> (a)
        y = ScatterElements <axis = 2, reduction = "add"> (t, i, g)
        features = Concat <axis = 2> (v, y, e)
        """,
        weight("w0", (4, 3, 3, 3), 61),
        weight("mixed", (4, 4), 62),
        stored("two", [2]),
        stored("axis", 3),
    )


MORE: dict[str, Callable[[], onnx.ModelProto]] = {
    make.__name__: make
    for make in (choice, turns, rows, sequences, memories, microsoft, integers, places)
}
