"""Strings that a vendor may write wherever ONNX has one: to mislead a reader, or to be run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
from onnx import helper

from corpus.base import (
    EITHER,
    EXECUTED,
    Case,
    Whole,
    encoder,
    opset,
    parse_functions,
    save,
    table,
    tail,
)

Field = Callable[[onnx.ModelProto, str], object]

UNKNOWN = r"operators that opset 17 of ONNX does not have"
UNCONVERTED = r"no converter for these operators"
CHECKER = r"ONNX checker refuses it"
TOO_LONG = r"characters"


def _rename(proto: onnx.ModelProto, old: str, new: str) -> None:
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.name = new if value.name == old else value.name
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _function(proto: onnx.ModelProto, text: str, place: str) -> None:
    """Puts `text` in one place of a function that is called behind the encoder."""
    names = dict.fromkeys(("domain", "name", "input", "node"), "f") | {place: text}
    tail("features = f.f(encoded)")(proto)
    (made,) = parse_functions('<domain: "f", opset_import: ["" : 17]> f (x) => (y) { y = Relu(x) }')
    made.domain, made.name, made.doc_string = names["domain"], names["name"], text
    made.input[0] = made.node[0].input[0] = names["input"]
    made.node[0].name = names["node"]
    proto.functions.append(made)
    proto.graph.node[-1].domain, proto.graph.node[-1].op_type = made.domain, made.name
    opset(1, "f")(proto)
    opset(1, made.domain)(proto)


def _set(place: Callable[[onnx.ModelProto], object], field: str) -> Field:
    return lambda proto, text: setattr(place(proto), field, text)


def _metadata(place: Callable[[onnx.ModelProto], object], key: bool) -> Field:
    return lambda proto, text: place(proto).metadata_props.add(
        key=text if key else "k", value="v" if key else text
    )


def _model(proto):
    return proto


def _graph(proto):
    return proto.graph


def _node(proto):
    return proto.graph.node[2]


def _input(proto):
    return proto.graph.input[0]


def _dim(proto):
    return proto.graph.input[0].type.tensor_type.shape.dim[0]


#: Where a string changes nothing of what the model computes.
HARMLESS: dict[str, Field] = {
    "producer": _set(_model, "producer_name"),
    "producer-version": _set(_model, "producer_version"),
    "model-domain": _set(_model, "domain"),
    "model-doc": _set(_model, "doc_string"),
    "metadata-key": _metadata(_model, True),
    "metadata-value": _metadata(_model, False),
    "opset-domain": lambda proto, text: opset(1, text)(proto),
    "graph-name": _set(_graph, "name"),
    "graph-doc": _set(_graph, "doc_string"),
    "graph-metadata-key": _metadata(_graph, True),
    "node-name": _set(_node, "name"),
    "node-doc": _set(_node, "doc_string"),
    "node-metadata-key": _metadata(_node, True),
    "attribute-doc": lambda proto, text: setattr(
        proto.graph.node[1].attribute[0], "doc_string", text
    ),
    "value-name": lambda proto, text: _rename(proto, "r0", text),
    "input-name": lambda proto, text: _rename(proto, "image", text + "i"),
    "output-name": lambda proto, text: _rename(proto, "features", text + "o"),
    "weight-name": lambda proto, text: _rename(proto, "w0", text + "w"),
    "weight-doc": lambda proto, text: setattr(proto.graph.initializer[0], "doc_string", text),
    "input-doc": _set(_input, "doc_string"),
    "input-denotation": lambda proto, text: setattr(proto.graph.input[0].type, "denotation", text),
    "dim-param": _set(_dim, "dim_param"),
    "dim-denotation": _set(_dim, "denotation"),
    "value-info-name": lambda proto, text: proto.graph.value_info.append(
        helper.make_tensor_value_info(text + "v", 1, [text])
    ),
    "function-domain": lambda proto, text: _function(proto, text, "domain"),
    "function-name": lambda proto, text: _function(proto, text, "name"),
    "function-input": lambda proto, text: _function(proto, text, "input"),
    "function-node": lambda proto, text: _function(proto, text, "node"),
    "unused-constant": lambda proto, text: proto.graph.node.append(
        helper.make_node("Constant", [], ["unused"], "unused", value_string=text)
    ),
}

#: Where a string is part of what is to be computed.
HARMFUL: dict[str, tuple[str, Field]] = {
    "operator": (UNKNOWN, _set(_node, "op_type")),
    "operator-domain": (
        rf"{UNCONVERTED}|{CHECKER}",
        lambda proto, text: (setattr(_node(proto), "domain", text), opset(1, text)(proto)),
    ),
    "vendor-operator": (
        UNCONVERTED,
        lambda proto, text: (
            tail("features = com.vendor.Fancy(encoded)")(proto),
            setattr(proto.graph.node[-1], "op_type", text),
        ),
    ),
    "attribute-name": (CHECKER, lambda proto, text: proto.graph.node[2].attribute.append(
        helper.make_attribute(text, 1))),
    "attribute-text": (
        rf"{CHECKER}|ONNX Runtime|convert|rewritten|shapes contradict",
        lambda proto, text: proto.graph.node[3].attribute.append(
            helper.make_attribute("auto_pad", text)
        ),
    ),
    "external-location": (
        r"external data file",
        lambda proto, text: (
            proto.graph.initializer[0].ClearField("raw_data"),
            setattr(proto.graph.initializer[0], "data_location", 1),
            proto.graph.initializer[0].external_data.add(key="location", value=text),
        ),
    ),
    "dangling-input": (
        CHECKER,
        lambda proto, text: proto.graph.node[2].input.__setitem__(0, text),
    ),
    "second-output-name": (
        rf"{CHECKER}|no node makes|nobody makes|ONNX Runtime",
        lambda proto, text: proto.graph.output.append(
            helper.make_tensor_value_info(text, 1, ["N"])
        ),
    ),
    "second-input-name": (
        r"takes 2 inputs",
        lambda proto, text: proto.graph.input.append(
            helper.make_tensor_value_info(text, 1, ["N", 3, 12, 12])
        ),
    ),
    "function-that-calls-itself": (
        r"calls itself",
        lambda proto, text: (
            _function(proto, text, "name"),
            setattr(proto.functions[0].node[0], "op_type", text),
            setattr(proto.functions[0].node[0], "domain", "f"),
        ),
    ),
    "weight-that-is-not-finite": (
        r"not finite",
        lambda proto, text: (
            _rename(proto, "w0", text),
            proto.graph.initializer[0].CopyFrom(
                helper.make_tensor(text, 1, [4, 3, 3, 3], [float("nan")] * 108)
            ),
        ),
    ),
    "weight-that-does-not-fit": (
        r"does not fit",
        lambda proto, text: (
            _rename(proto, "w0", text),
            setattr(proto.graph.initializer[0], "raw_data", b"1234"),
        ),
    ),
    "initializers-of-one-name": (
        r"are called|more than once|twice",
        lambda proto, text: (
            _rename(proto, "w0", text),
            proto.graph.initializer.append(proto.graph.initializer[0]),
        ),
    ),
}  # fmt: skip

EVERYWHERE = tuple(HARMLESS)

TEXTS = {
    "escape": "a\x1b[31mred\x1b]0;title\x07\x1b]8;;http://x\x1b\\",
    "c1": "a\x9b31mred\x9d0;title\x9c",
    "newline": "one\ntwo\r\x0b\x0c\x85three",
    "bidi": "safe\u202egnp.exe\u2066\u2069",
    "zero-width": "a\u200bb\u2060c\ufeffd\u00ade",
    "line-separator": "a\u2028b\u2029c",
    "nul": "a\0b",
    "tags": "a\U000e0041\U000e007f",
    "private": "a\ue000\U0010fffd",
    "combining": "a" + "\u0301" * 500,
    "markup": "[bold]x[/bold][/x] [link=http://x]y[/link] :smile:",
    "markdown": "|a|`b`*c*_d_[x](javascript:y)<!--",
    "html": "<script>alert(1)</script>&lt;\"'><img src=x onerror=y>",
    "formula": "=cmd|' /C calc'!A1",
    "at": "@SUM(1+1)",
    "json": '","models":[],"x":"',
    "quotes": "a'b\"c\\d`e",
    "format": "{0.__class__.__mro__}{x!r:>999999999}",
    "percent": "%s%n%999999999d",
    "keyword": "class",
    "dunder": "__class__",
    "torch": "forward",
    "ours": "n1",
    "our-value": "v1",
    "dots": "a.b..c.",
    "slashes": "../../a/b",
    "blank": " ",
    "not-ascii": "couche_é☃𝔘ﷺ",
}

ALL = "\x1b[31m\n\x9b0m\u202e\u200b\0[/x]<b>|`{0}%s'\"\\"

#: As long as nine letters, which stand for these bytes until the model is written.
NO_TEXT = b"\xff\xfe\xed\xa0\x80\xc0\xaf\xf5\x80"
STAND_IN = "notastext"

LONG = "x" * 1_000_000


def written(fields: Sequence[Field], text: str | Callable[[Path], str]) -> Whole:
    """Returns the step that writes a model with a text in some of its fields."""

    def write(path: Path) -> None:
        proto = encoder()
        for field in fields:
            field(proto, text if isinstance(text, str) else text(path))
        save(proto, path)

    return Whole(write)


def undecodable(field: Field) -> Whole:
    """Returns the step that writes a model in which one string is none."""

    def write(path: Path) -> None:
        proto = encoder()
        field(proto, STAND_IN)
        content = proto.SerializeToString(deterministic=True)
        assert STAND_IN.encode() in content
        path.write_bytes(content.replace(STAND_IN.encode(), NO_TEXT))

    return Whole(write)


#: Fields of which only one can be had in a model.
_ALONE = {"function-domain", "function-name", "function-input", "function-node", "unused-constant"}

_TOGETHER = [field for name, field in HARMLESS.items() if name not in _ALONE]

#: Where a text may be as long as it likes, since it is no name.
_DOCUMENTS = {name for name in HARMLESS if name.endswith("-doc")} | {
    "metadata-value",
    "unused-constant",
}

#: Attributes hold bytes, not text.
_BYTES = {"unused-constant"}


def _python(path: Path) -> str:
    return str(path.parent / EXECUTED)


def _dotless(path: Path) -> str:
    return _python(path).replace(".", '" + chr(46) + "')


#: What runs if it is pasted into Python, a template, a shell, YAML, or an unpickler.
PAYLOADS: dict[str, Callable[[Path], str]] = {
    # Without a dot, at which onnx2torch cuts names; and the network goes on as it was.
    "call": lambda p: (
        f'n", (getattr(open("{_dotless(p)}", "w"), "close")(), getattr(torch, "relu"))[1] or "'
    ),
    "statement": lambda p: f'x\n    open("{_python(p)}", "w")\n    #',
    "semicolons": lambda p: f"');open('{_python(p)}','w').close()#",
    "double-semicolons": lambda p: f'");open("{_python(p)}","w").close()#',
    "sum": lambda p: f"x'+__import__('os').system('touch {_python(p)}')+'",
    "bare": lambda p: f"__import__('os').system('touch {_python(p)}')",
    "decorator": lambda p: f'x():\n  pass\n@open("{_python(p)}", "w").write\ndef f',
    "f-string": lambda p: f"{{open('{_python(p)}', 'w')}}",
    "template": lambda p: (
        "{{ cycler.__init__.__globals__.os.popen('touch " + _python(p) + "').read() }}"
    ),
    "shell": lambda p: f"$(touch {_python(p)})`touch {_python(p)}`;touch {_python(p)};",
    "yaml": lambda p: f'!!python/object/apply:os.system ["touch {_python(p)}"]',
    "pickle": lambda p: f"cos\nsystem\n(S'touch {_python(p)}'\ntR.",
}

#: Keys and operators by which engines are asked to load a library or a setting.
KEYS = {
    "ort-config": {"ort_config": '{"session_options": {"enable_profiling": true}}'},
    "extensions": {"onnxruntime_extensions": "./evil.so", "custom_op_library": "./evil.so"},
    "session": {"session.use_env_allocators": "1", "session.load_model_format": "ORT"},
    "optimized": {"session.optimized_model_filepath": "EXECUTED", "profile_file_prefix": EXECUTED},
}

OPERATORS = {
    "python": 'com.microsoft.PythonOp<func_name = "os.system">',
    "python-of-extensions": "ai.onnx.contrib.PyOp<code = \"open('EXECUTED', 'w')\">",
    "aten": 'org.pytorch.aten.ATen<operator = "system">',
    "compiled": 'com.microsoft.EPContext<ep_cache_context = "../evil.so", embed_mode = 0>',
}

#: Modules that a Python which starts in the vendor's directory may take for its own.
MODULES = (
    "torch", "onnx", "numpy", "msgspec", "psutil", "json", "typer", "rich", "sitecustomize",
    "usercustomize", "conftest", "onnxattr", "onnx2torch", "onnxruntime",
)  # fmt: skip


def plant(folder: Path) -> None:
    """Fills a directory with modules, libraries and settings that nobody may load."""
    code = f"open({str(folder / EXECUTED)!r}, 'w').close()\n"
    for name in MODULES:
        (folder / f"{name}.py").write_text(code)
    (folder / "evil.so").write_bytes(b"\x7fELF")
    (folder / ".env").write_text(f"PYTHONSTARTUP={folder / 'torch.py'}\n")


def _planted(path: Path) -> None:
    save(encoder(), path)
    plant(path.parent)
    # Not the model's own sidecar, which would be refused for it.
    (path.parent / "onnxattr.toml").write_text(f'run = "touch {_python(path)}"\n')


CASES: list[Case] = [
    *table(
        "names-and-strings",
        {
            **{f"text-{name}": (None, written(_TOGETHER, text)) for name, text in TEXTS.items()},
            **{
                f"text-in-{name}": (None, written([field], ALL)) for name, field in HARMLESS.items()
            },
            **{
                f"long-{name}": (None, written([HARMLESS[name]], LONG))
                for name in EVERYWHERE
                if name in _DOCUMENTS
            },
            "names-of-nodes-none": (
                None,
                lambda m: [node.ClearField("name") for node in m.graph.node],
            ),
            "no-text-in-unused-constant": (None, undecodable(HARMLESS["unused-constant"])),
        },
        alike=True,
    ),
    *table(
        "names-and-strings",
        {
            **{
                f"text-in-{name}": (told, written([field], ALL))
                for name, (told, field) in HARMFUL.items()
            },
            **{
                f"long-{name}": (TOO_LONG, written([HARMLESS[name]], LONG))
                for name in EVERYWHERE
                if name not in _DOCUMENTS
            },
            **{
                f"long-{name}": (rf"{TOO_LONG}|{told}", written([field], LONG))
                for name, (told, field) in HARMFUL.items()
            },
            **{
                f"no-text-in-{name}": (r"UTF-8", undecodable(field))
                for name, field in HARMLESS.items()
                if name not in _DOCUMENTS
            },
            # Node names are optional; where they are there, engines may want them to be unique.
            "names-of-nodes-equal": (
                r"same node name|are called",
                lambda m: [setattr(node, "name", "n") for node in m.graph.node],
            ),
            **{
                f"no-text-in-{name}": (rf"UTF-8|{told}", undecodable(field))
                for name, (told, field) in HARMFUL.items()
            },
        },
    ),
    # Protobuf does not see to it that strings are UTF-8 in this version of ONNX' schema.
    *table(
        "names-and-strings",
        {
            f"no-text-in-{name}": (r"UTF-8", undecodable(HARMLESS[name]))
            for name in HARMLESS
            if name in _DOCUMENTS and name not in _BYTES
        },
        expected=EITHER,
    ),
    *table(
        "code-execution",
        {
            **{
                f"code-{name}": (None, written(_TOGETHER, payload))
                for name, payload in PAYLOADS.items()
            },
            **{
                f"code-in-{name}": (None, written([field], PAYLOADS["call"]))
                for name, field in HARMLESS.items()
            },
            **{
                f"code-by-{name}": (None, lambda m, k=keys: helper.set_model_props(m, k))
                for name, keys in KEYS.items()
            },
            "code-planted": (None, Whole(_planted)),
        },
        alike=True,
    ),
    *table(
        "code-execution",
        {
            **{
                f"code-in-{name}": (told, written([field], PAYLOADS["call"]))
                for name, (told, field) in HARMFUL.items()
            },
            **{
                f"code-of-{name}": (
                    rf"{UNCONVERTED}|{UNKNOWN}|{CHECKER}",
                    tail(f"features = {text}(encoded)"),
                )
                for name, text in OPERATORS.items()
            },
        },
    ),
]
