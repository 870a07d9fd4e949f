"""Where the channels of a tensor are, by the operators before it."""

import pytest
from onnx import parser

from onnxattr.graph.channels import channels_of

GRAPHS = {
    "c = Conv(x, w) y = Relu(c)": 1,
    "t = Transpose<perm = [0, 3, 1, 2]>(x) c = Conv(t, w) y = Relu(c)": 1,
    "c = Conv(x, w) r = Relu(c) y = Transpose<perm = [0, 2, 3, 1]>(r)": 3,
    "c = Conv(x, w) t = Transpose<perm = [0, 2, 3, 1]>(c) b = Add(w, t) y = Relu(b)": 3,
    "c = GlobalMaxPool(x) t = Transpose<perm = [1, 0, 3, 2]>(c) y = Identity(t)": None,
    "y = Relu(x)": None,
    "c = Conv(x, w) y = Transpose(c)": None,
    "c = Conv(x, w) y = Softmax(c)": None,
    "c = Conv(x, w) y = com.vendor.Relu(c)": None,
}


@pytest.mark.parametrize(("body", "expected"), GRAPHS.items())
def test_the_channels_are_where_the_last_convolution_left_them(body, expected):
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "com.vendor" : 1]> '
        f"g (float[N,3,8,8] x) => (float[N,a,b,c] y) "
        f"{{ w = Constant<value = float[1] {{1}}>() {body} }}"
    )

    assert channels_of(model.graph, "y") == expected


def test_a_graph_that_goes_in_circles_ends():
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> '
        "g (float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(z) z = Relu(y) }"
    )

    assert channels_of(model.graph, "y") is None
