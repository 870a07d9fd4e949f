"""Imports go downward only, and what must stay light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import onnxattr

PACKAGE = Path(onnxattr.__file__).parent

#: Lowest first; a module may import from its own layer and from those above it in this list.
LAYERS = (
    (
        "arrays",
        "drawing",
        "errors",
        "files",
        "limits",
        "types",
        "registry",
        "sanitise",
        "_version",
    ),
    ("graph", "probes", "probe_arrays", "scores", "space"),
    ("lineage",),
    ("convert",),
    ("attribution",),
    ("store", "execution"),
    ("pipeline",),
    ("report",),
    ("cli", "__main__"),
)

#: Frameworks that a layer must not know at all.
BANNED = {
    "drawing": {"torch", "onnx", "onnx2torch", "onnxruntime"},
    "graph": {"torch", "onnx2torch", "onnxruntime"},
    "lineage": {"torch", "onnx2torch", "onnxruntime"},
    "probes": {"torch", "onnx", "onnx2torch", "onnxruntime"},
    "probe_arrays": {"torch", "onnx", "onnx2torch", "onnxruntime"},
    "scores": {"torch", "onnx", "onnx2torch", "onnxruntime", "pickle"},
    "space": {"torch", "onnx", "onnx2torch", "onnxruntime"},
    "report": {"torch", "onnx", "onnx2torch", "onnxruntime", "numpy"},
    "pipeline": {"torch", "onnx2torch", "onnxruntime"},
    "attribution": {"onnx2torch", "onnxruntime"},
    "store": {"torch", "onnx", "onnx2torch", "onnxruntime"},
    "execution": {"torch", "onnx", "onnx2torch", "onnxruntime", "numpy"},
}

#: Modules that draw arrays; what writes text does without them.
DRAWS = {"report/html/tiles.py", "report/pictures.py"}


def level(part: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part in layer)


def imports(path: Path) -> set[str]:
    """Modules that a file imports when it runs; those for type checkers alone do not count."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(child for body in node.body for child in ast.walk(body))
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def modules() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or p.stem != "__init__"]


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downward(path: Path) -> None:
    here = part_of(path)
    banned = BANNED.get(here, set())
    if path.relative_to(PACKAGE).as_posix() in DRAWS:
        banned = banned - {"numpy"}
    for name in imports(path):
        root, *rest = name.split(".")
        assert root not in banned, f"{here} must not import {root}"
        if root == "onnxattr" and rest:
            assert level(rest[0]) <= level(here), f"{here} imports upward: {name}"
            if here == "report":
                allowed = ("arrays", "drawing", "report", "sanitise", "types")
                assert rest[0] in allowed, f"report reads types and arrays alone, not {name}"


def test_there_is_no_circle_between_the_parts_of_a_layer() -> None:
    edges = {
        (part_of(path), name.split(".")[1])
        for path in modules()
        for name in imports(path)
        if name.startswith("onnxattr.")
    }
    circles = [(a, b) for a, b in edges if a < b and (b, a) in edges]
    assert circles == []


def loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


HEAVY = {"torch", "onnxruntime", "onnx2torch", "scipy", "onnx", "numpy", "PIL"}

HELP = """
import onnxattr.cli.app
try:
    sys.argv = ["onnxattr", "--help"]
    onnxattr.cli.app.main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "code",
    ["import onnxattr", "import onnxattr.cli.app", HELP, HELP.replace("--help", "--version")],
)
def test_importing_stays_light(code: str) -> None:
    assert loaded(code) & HEAVY == set()


def test_the_test_above_can_see_a_heavy_import() -> None:
    assert "numpy" in loaded("import onnxattr\nonnxattr.rank")
