"""Graphs that are well-formed protobuf, and wrong as graphs."""

from onnx import SparseTensorProto, TensorProto, TrainingInfoProto, helper
from onnx.helper import make_node, make_tensor, make_tensor_value_info

from corpus.base import (
    EITHER,
    Case,
    add,
    attribute,
    changed,
    clear,
    opset,
    parse_functions,
    put,
    table,
    tail,
    weight,
)

FLOAT = TensorProto.FLOAT
CHECKER = r"ONNX checker refuses it|not ONNX|damaged"
RUNTIME = r"ONNX Runtime cannot run it"
TWICE = r"are called `"
NO_CONVERTER = r"no converter for these operators"
UNKNOWN = r"operators that opset 17 of ONNX does not have"

#: Position of the encoder's first convolution among its nodes.
STEM = 1


def value(name: str, kind: int = FLOAT, shape: object = ("N", 3, 12, 12)):
    return make_tensor_value_info(name, kind, shape)


def call(domain: str, name: str, functions: str):
    """A function of one input, called behind the encoder."""
    text = f"features = {f'{domain}.' if domain else ''}{name}(encoded)"
    return tail(text, functions=functions)


def function(domain: str, name: str, body: str, opsets: str = '"" : 17') -> str:
    return f'<domain: "{domain}", opset_import: [{opsets}]> {name} (x) => (y) {{ {body} }}'


def branches(then: str, otherwise: str) -> str:
    return (
        f"then_branch = t () => (float y) {{ {then} }}, else_branch = e () => (float z) {otherwise}"
    )


IF = "c = Constant<value = bool[1] {1}>() features = If(c) "
LOOP = "n = Constant<value = int64 {%d}>() c = Constant<value = bool {1}>() "
PLAIN = "z = Relu(encoded)"

HEADERS = {
    "opset-none": (r"imports no operator set", clear("opset_import")),
    "opset-999": (r"opset 999", opset(999)),
    "opset-2-to-the-63": (r"opset 9223372036854775807", opset(2**63 - 1)),
    "opset-0": (rf"{CHECKER}|opset 0", opset(0)),
    "opset-negative": (rf"{CHECKER}|opset -1", opset(-1)),
    "opset-twice": (
        r"imports the operator set `ai.onnx` 2 times",
        add("opset_import", helper.make_opsetid("", 9)),
    ),
    "opset-twice-by-its-other-name": (
        r"imports the operator set `ai.onnx` 2 times",
        add("opset_import", helper.make_opsetid("ai.onnx", 9)),
    ),
    "opset-of-another-domain-only": (
        r"imports no|opset 0|checker",
        put("opset_import.0.domain", "com.vendor"),
    ),
    "ir-version-none": (CHECKER, clear("ir_version")),
    "ir-version-0": (CHECKER, put("ir_version", 0)),
    "ir-version-negative": (CHECKER, put("ir_version", -3)),
    "ir-version-9999": (rf"{CHECKER}|IR version", put("ir_version", 9999)),
    "metadata-key-twice": (
        CHECKER,
        lambda m: helper.set_model_props(m, {"a": "1"}),
        lambda m: m.metadata_props.add(key="a", value="2"),
    ),
}

EDGES = {
    "cycle": (rf"{CHECKER}|cycle", put("graph.node.0.input", ["features"])),
    "node-of-itself": (rf"{CHECKER}|cycle", put("graph.node.2.input", ["r0"])),
    "input-nobody-makes": (CHECKER, put("graph.node.3.input.0", "ghost")),
    "weight-nobody-stores": (CHECKER, clear("graph.initializer.1")),
    "output-nobody-makes": (
        rf"{CHECKER}|no node makes|nobody makes|{RUNTIME}",
        put("graph.output.0.name", "ghost"),
    ),
    "output-without-a-name": (rf"{CHECKER}|name|{RUNTIME}", put("graph.output.0.name", "")),
    "output-twice": (
        TWICE,
        lambda m: m.graph.output.extend([m.graph.output[0]]),
    ),
    "output-is-the-input": (
        r"same on every probe|depend",
        put("graph.output.0", value("image")),
    ),
    "output-is-a-weight": (
        r"depend|gradient|cannot",
        put("graph.output.0", value("w0", FLOAT, (4, 3, 3, 3))),
    ),
    "output-of-another-type": (
        rf"{RUNTIME}|{CHECKER}",
        put("graph.output.0.type.tensor_type.elem_type", TensorProto.INT64),
    ),
    "initializer-twice": (
        TWICE,
        add("graph.initializer", weight("w1", (4, 4, 3, 3), 7)),
    ),
    "initializer-that-a-node-makes-too": (
        CHECKER,
        add("graph.initializer", weight("r0", (1, 4, 12, 12), 7)),
    ),
    "value-made-twice": (
        CHECKER,
        lambda m: m.graph.node.insert(3, make_node("Neg", ["c0"], ["r0"])),
    ),
    "value-made-twice-by-a-node": (
        rf"{CHECKER}|twice|more than once|no converter",
        tail("features, features = Split(encoded)"),
    ),
    "value-called-like-the-input": (
        CHECKER,
        lambda m: m.graph.node.insert(1, make_node("Neg", ["x"], ["image"])),
    ),
    "input-twice": (
        TWICE,
        lambda m: m.graph.input.extend([m.graph.input[0]]),
    ),
}

OPERATORS = {
    "operator-unknown": (UNKNOWN, put("graph.node.2.op_type", "Foo")),
    "operator-blank": (rf"{UNKNOWN}|{CHECKER}", put("graph.node.2.op_type", "")),
    "operator-of-a-later-opset": (UNKNOWN, tail("features = Gelu(encoded)")),
    "operator-of-a-vendor": (NO_CONVERTER, tail("features = com.vendor.Fancy(encoded)")),
    "operator-of-a-domain-not-imported": (
        rf"{CHECKER}|not import",
        put("graph.node.2.domain", "com.vendor"),
    ),
    "operator-by-the-other-name-of-its-domain": (
        r"imports the operator set `ai.onnx` 2 times",
        put("graph.node.2.domain", "ai.onnx"),
        opset(17, "ai.onnx"),
    ),
    "operator-of-microsoft-that-is-none": (
        NO_CONVERTER,
        tail("features = com.microsoft.Fancy(encoded)"),
    ),
    "operator-of-ours": (r"domain `onnxattr`", tail("features = onnxattr.Outputs(encoded)")),
    "operator-of-ours-in-other-letters": (
        NO_CONVERTER,
        tail("features = ONNXATTR.Outputs(encoded)"),
    ),
    "function-in-our-domain": (
        r"domain `onnxattr`",
        call("onnxattr", "Resize_19", function("onnxattr", "Resize_19", "y = Relu(x)")),
    ),
    "function-that-imports-our-domain": (
        r"domain `onnxattr`",
        call("f", "g", function("f", "g", "y = onnxattr.Outputs(x)", '"" : 17, "onnxattr" : 1')),
    ),
    "domain-of-ours-imported": (r"domain `onnxattr`", opset(1, "onnxattr")),
    "trees": (
        rf"{NO_CONVERTER}|no input|{CHECKER}",
        tail(
            "flat = Flatten(encoded) features = ai.onnx.ml.TreeEnsembleRegressor<n_targets = 1,"
            "nodes_treeids = [0], nodes_nodeids = [0], nodes_featureids = [0],"
            "nodes_values = [0.0],"
            'nodes_modes = ["LEAF"], nodes_truenodeids = [0], nodes_falsenodeids = [0],'
            "target_treeids = [0], target_nodeids = [0], target_ids = [0], target_weights = [1.0]>"
            "(flat)"
        ),
    ),
    "inputs-missing": (CHECKER, put("graph.node.1.input", ["x"])),
    "inputs-blank": (rf"{CHECKER}|{RUNTIME}|convert", put("graph.node.1.input", ["x", ""])),
    "inputs-too-many": (CHECKER, put("graph.node.2.input", ["c0", "c0"])),
    "outputs-too-many": (CHECKER, put("graph.node.2.output", ["r0", "spare"])),
    "outputs-none": (CHECKER, put("graph.node.4.output", [])),
    "attribute-missing": (CHECKER, tail("features = Cast(encoded)")),
    "attribute-unknown": (CHECKER, attribute(2, ferocity=3)),
    "attribute-twice": (
        rf"{CHECKER}|twice|{RUNTIME}",
        lambda m: m.graph.node[STEM].attribute.extend([m.graph.node[STEM].attribute[0]]),
    ),
    "attribute-of-no-type": (CHECKER, put("graph.node.1.attribute.0.type", 0)),
    "attribute-of-two-types": (
        CHECKER,
        put("graph.node.1.attribute.0.floats", [1.0]),
    ),
    "attribute-by-reference": (
        rf"{CHECKER}|attribute|convert",
        put("graph.node.1.attribute.0.ref_attr_name", "outer"),
        clear("graph.node.1.attribute.0.ints"),
    ),
}

SHAPES = {
    "weights-of-three-axes": (
        rf"{RUNTIME}|{CHECKER}|convert",
        put("graph.initializer.0", weight("w0", (4, 3, 9), 0)),
    ),
    "weights-of-one-value": (
        rf"{RUNTIME}|{CHECKER}|convert",
        put("graph.initializer.0", weight("w0", (), 0)),
    ),
    "weights-for-other-channels": (
        rf"{RUNTIME}|{CHECKER}|convert",
        put("graph.initializer.1", weight("w1", (4, 5, 3, 3), 0)),
    ),
    "bias-too-short": (
        rf"{RUNTIME}|{CHECKER}|convert",
        add("graph.initializer", weight("bias", (3,), 0)),
        put("graph.node.1.input", ["x", "w0", "bias"]),
    ),
    "input-none": (
        r"no input takes an image",
        clear("graph.input"),
        add("graph.initializer", weight("image", (1, 3, 12, 12), 1)),
    ),
    "inputs-two": (r"takes 2 inputs", add("graph.input", value("mask"))),
    "inputs-of-a-thousand": (
        r"takes 1001 inputs",
        lambda m: m.graph.input.extend(value(f"more{i}") for i in range(1000)),
    ),
    "input-of-three-axes": (
        r"ONNX Runtime cannot run it|checker",
        put("graph.input.0", value("image", FLOAT, (3, 12, 12))),
    ),
    "input-of-no-shape": (
        r"no input takes an image|checker",
        clear("graph.input.0.type.tensor_type.shape"),
    ),
    "input-of-no-type": (r"no input takes an image|checker", clear("graph.input.0.type")),
    "input-of-whole-numbers": (
        r"no input takes an image",
        put("graph.input.0", value("image", TensorProto.INT64)),
    ),
    "input-of-text": (
        r"no input takes an image",
        put("graph.input.0", value("image", TensorProto.STRING)),
    ),
    "input-of-complex-numbers": (
        r"no input takes an image",
        put("graph.input.0", value("image", TensorProto.COMPLEX64)),
    ),
    "input-of-type-999": (
        rf"no input takes an image|{CHECKER}",
        put("graph.input.0.type.tensor_type.elem_type", 999),
    ),
    "input-a-sequence": (
        r"no input takes an image",
        put(
            "graph.input.0.type",
            helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, (1, 3, 12, 12))),
        ),
    ),
    "input-optional": (
        r"no input takes an image",
        put(
            "graph.input.0.type",
            helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, (1, 3, 12, 12))),
        ),
    ),
    "input-sparse": (
        r"no input takes an image",
        put("graph.input.0.type", helper.make_sparse_tensor_type_proto(FLOAT, (1, 3, 12, 12))),
    ),
    "input-of-8193-pixels": (
        r"larger than 8192 pixels",
        put("graph.input.0", value("image", FLOAT, ("N", 3, 8193, 12))),
    ),
    "input-of-2-to-the-62-pixels": (
        r"larger than 8192 pixels",
        put("graph.input.0", value("image", FLOAT, ("N", 3, 2**62, 2**62))),
    ),
    "nodes-none": (
        r"no ONNX graph|checker|nobody makes|no node makes|truncated",
        clear("graph.node"),
    ),
    "outputs-of-a-graph-none": (r"graph with outputs|truncated", clear("graph.output")),
}

FUNCTIONS = {
    "function-that-calls-itself": (
        r"calls itself|recurs|cycl",
        call("f", "g", function("f", "g", "y = f.g(x)", '"" : 17, "f" : 1')),
    ),
    "functions-that-call-each-other": (
        r"calls itself|recurs|cycl",
        call(
            "f",
            "a",
            "---".join(
                function("f", one, f"y = f.{other}(x)", '"" : 17, "f" : 1')
                for one, other in ("ab", "bc", "ca")
            ),
        ),
    ),
    "function-that-calls-itself-in-a-branch": (
        r"calls itself|recurs|cycl",
        call(
            "f",
            "g",
            function(
                "f",
                "g",
                f"c = Constant<value = bool[1] {{1}}>() y = If(c)"
                f"<{branches('y = f.g(x)', '{ z = Relu(x) }')}>",
                '"" : 17, "f" : 1',
            ),
        ),
    ),
    "function-of-another-arity": (
        r"functions cannot be inlined",
        tail(
            "features = f.g(encoded, encoded, encoded)", functions=function("f", "g", "y = Relu(x)")
        ),
    ),
    "function-twice": (
        r"functions are called `g`",
        call(
            "f", "g", function("f", "g", "y = Relu(x)") + "---" + function("f", "g", "y = Neg(x)")
        ),
    ),
    "function-without-its-output": (
        rf"{CHECKER}|rewritten|makes",
        call("f", "g", function("f", "g", "w = Relu(x)")),
    ),
    "function-that-calls-nothing-known": (
        rf"{CHECKER}|{NO_CONVERTER}|{UNKNOWN}|not import",
        call("f", "g", function("f", "g", "y = f.ghost(x)", '"" : 17, "f" : 1')),
    ),
    "function-with-an-unknown-operator": (
        rf"{UNKNOWN}|{CHECKER}",
        call("f", "g", function("f", "g", "y = Foo(x)")),
    ),
}

CONTROL = {
    "if-without-branches": (rf"{CHECKER}|branch", tail(IF)),
    "if-with-one-branch": (
        rf"{CHECKER}|branch",
        tail(f"{IF}<then_branch = t () => (float y) {{ y = Relu(encoded) }}>"),
    ),
    "if-with-branches-of-unlike-outputs": (
        r"If_1.* different number of outputs",
        tail(
            f"{IF}<then_branch = t () => (float y, float w)"
            f"{{ y = Relu(encoded) w = Neg(encoded) }},"
            f" else_branch = e () => (float z) {{ {PLAIN} }}>"
        ),
    ),
    "if-that-reads-what-nobody-makes": (
        rf"{CHECKER}|{NO_CONVERTER}",
        tail(f"{IF}<{branches('y = Relu(ghost)', f'{{ {PLAIN} }}')}>"),
    ),
    "if-that-hides-an-outer-name": (
        rf"{CHECKER}|twice|more than once|{NO_CONVERTER}",
        tail(f"{IF}<{branches('r0 = Neg(encoded) y = Relu(r0)', f'{{ {PLAIN} }}')}>"),
    ),
    "loop-of-2-to-the-40": (
        r"would make tensors of .*Loop",
        tail(
            LOOP % 2**40 + "features = Loop(n, c, encoded)<body = b (int64 i, bool k, float s) =>"
            "(bool k2, float s2) { k2 = Identity(k) s2 = Relu(s) }>"
        ),
    ),
    "loop-in-a-loop": (
        r"would make tensors of .*Loop",
        tail(
            LOOP % 10**6 + "features = Loop(n, c, encoded)<body = b (int64 i, bool k, float s) =>"
            "(bool k2, float s2) { k2 = Identity(k) s2 = Loop(n, c, s)<body = d (int64 j, bool l,"
            "float u) => (bool l2, float u2) { l2 = Identity(l) u2 = Relu(u) }> }>"
        ),
    ),
    "loop-without-a-body": (rf"{CHECKER}|body", tail(LOOP % 3 + "features = Loop(n, c, encoded)")),
    "scan-of-elements-of-another-rank": (
        r"Scan_0.* number of inferred and declared dimensions",
        tail(
            "features = Scan(encoded)<num_scan_inputs = 1, body = b (float s) => (float t)"
            "{ t = Relu(s) }>"
        ),
    ),
}

SPARSE = SparseTensorProto(
    values=make_tensor("w1", FLOAT, [2], [1.0, -1.0]),
    indices=make_tensor("", TensorProto.INT64, [2], [0, 70]),
    dims=[4, 4, 3, 3],
)

OTHER = {
    "sparse-weights": (
        r"sparse",
        clear("graph.initializer.1"),
        add("graph.sparse_initializer", SPARSE),
    ),
    "sparse-weights-beside-the-dense": (
        TWICE,
        add("graph.sparse_initializer", SPARSE),
    ),
    "sparse-constant": (
        r"sparse",
        tail("k = Constant<value = float[1] {0.0}>() features = Add(encoded, k)"),
        put("graph.node.5.attribute.0", helper.make_attribute("sparse_value", SPARSE)),
    ),
    "cast-to-type-999": (
        rf"{CHECKER}|{RUNTIME}|convert",
        tail("features = Cast<to = 999>(encoded)"),
    ),
    "graph-in-an-attribute-of-a-relu": (
        CHECKER,
        lambda m: m.graph.node[2].attribute.append(helper.make_attribute("body", m.graph)),
    ),
}


#: Images without colours: another encoder, with maps of its own.
GREY = {
    "input-grey": (
        None,
        put("graph.input.0", value("image", FLOAT, ("N", 1, 12, 12))),
        put("graph.initializer.0", weight("w0", (4, 1, 3, 3), 0)),
    ),
}

HARMLESS = {
    "input-with-negative-sizes": (
        None,
        put("graph.input.0", value("image", FLOAT, (-1, 3, 12, 12))),
    ),
    "training-info": (
        None,
        add("training_info", TrainingInfoProto(algorithm=changed(clear("graph.input")).graph)),
    ),
    "quantization-annotations": (
        None,
        lambda m: m.graph.quantization_annotation.add(
            tensor_name="ghost"
        ).quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="../../etc/passwd"),
    ),
    "function-that-nobody-calls": (
        None,
        lambda m: m.functions.extend(parse_functions(function("f", "g", "y = Relu(x)"))),
        opset(1, "f"),
    ),
    "function-plain": (None, call("f", "g", function("f", "g", "y = Relu(x)"))),
    "domain-imported-and-not-used": (None, opset(3, "com.vendor")),
    "weights-that-are-inputs-too": (
        None,
        put("ir_version", 3),
        add("graph.input", value("w0", FLOAT, (4, 3, 3, 3)), value("w1", FLOAT, (4, 4, 3, 3))),
    ),
    "value-info-of-ghosts": (None, add("graph.value_info", value("ghost", FLOAT, (2**40,)))),
    "identity-behind": (None, tail("features = Identity(encoded)")),
    # Version 3 of the format wants initializers among the inputs, and nodes in order always: what
    # ONNX Runtime forgives is mended.
    "ir-version-3-with-weights-only-stored": (None, put("ir_version", 3)),
    "not-in-order": (None, lambda m: m.graph.node.append(m.graph.node.pop(0))),
    "scan": (
        None,
        tail(
            "features = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1],"
            "body = b (float[N, h, w] s) => (float[N, h, w] t) { t = Relu(s) }>(encoded)"
        ),
    ),
    "if-that-never-runs-what-never-ends": (
        None,
        tail(
            "c = Constant<value = bool {1}>() features = If(c)<"
            "then_branch = t () => (float y) { y = Relu(encoded) }, else_branch = e () => (float z)"
            "{ z = Loop(, c, encoded)<body = b (int64 i, bool k, float[a, b, h, w] s) =>"
            "(bool k2, float[a, b, h, w] s2) { k2 = Identity(k) s2 = Relu(s) }> }>"
        ),
    ),
}

CASES: list[Case] = [
    *(
        case
        for rows in (HEADERS, EDGES, OPERATORS, SHAPES, FUNCTIONS, CONTROL, OTHER)
        for case in table("structure", rows)
    ),
    *table("structure", HARMLESS, alike=True),
    *table("structure", GREY),
    *table(
        "structure",
        {"operator-of-microsoft": (None, tail("features = com.microsoft.FastGelu(encoded)"))},
    ),
    # ONNX leaves it to the engine which of the two it takes.
    *table(
        "structure",
        {
            "function-called-like-an-operator": (
                r"Relu|disagree",
                lambda m: m.functions.extend(parse_functions(function("", "Relu", "y = Neg(x)"))),
            )
        },
        expected=EITHER,
    ),
]
