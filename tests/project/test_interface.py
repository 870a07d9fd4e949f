"""The façade, the doctests, the commands' help."""

import doctest
import importlib
import inspect
import os
import re
import tomllib
from pathlib import Path

import pytest
import typer

import onnxattr
from onnxattr.cli.app import app

ROOT = Path(__file__).parent.parent.parent


def test_everything_exported_is_there_and_documented() -> None:
    for name in onnxattr.__all__:
        thing = getattr(onnxattr, name)
        assert name.startswith("__") or inspect.getdoc(thing), f"{name} has no docstring"
    assert dir(onnxattr) == sorted(onnxattr.__all__) == onnxattr.__all__


def test_the_table_of_homes_and_the_export_list_agree() -> None:
    assert {*onnxattr._HOME, "__version__"} == set(onnxattr.__all__)
    for name, home in onnxattr._HOME.items():
        thing = getattr(importlib.import_module(f"onnxattr.{home}"), name)
        assert thing is getattr(onnxattr, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute `rnak`"):
        onnxattr.rnak  # noqa: B018


WITH_EXAMPLES = (
    "onnxattr",
    "onnxattr.attribution.methods",
    "onnxattr.attribution.reductions",
    "onnxattr.attribution.rules.composite_file",
    "onnxattr.convert.torch",
    "onnxattr.files",
    "onnxattr.graph.load",
    "onnxattr.lineage.policy",
    "onnxattr.pipeline.attribute",
    "onnxattr.pipeline.audit",
    "onnxattr.pipeline.evaluate",
    "onnxattr.pipeline.inspect",
    "onnxattr.pipeline.map",
    "onnxattr.pipeline.rank",
    "onnxattr.report.html",
    "onnxattr.report.html.page",
    "onnxattr.report.json",
    "onnxattr.report.lettering",
    "onnxattr.report.tail",
    "onnxattr.sanitise",
    "onnxattr.scores.read",
    "onnxattr.space.agreement",
    "onnxattr.space.similarity",
    "onnxattr.types.maps",
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_run(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(
        importlib.import_module(module), extraglobs={"onnxattr": onnxattr}, verbose=False
    )
    assert result.attempted > 0
    assert result.failed == 0


def test_every_example_is_run() -> None:
    package = Path(onnxattr.__file__).parent
    found = {
        "onnxattr." + ".".join(p.relative_to(package).with_suffix("").parts)
        for p in package.rglob("*.py")
        if ">>>" in p.read_text()
    }
    found = {"onnxattr" if name == "onnxattr.__init__" else name for name in found}
    assert found == set(WITH_EXAMPLES)


def test_every_command_and_option_has_help_and_a_place_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = typer.main.get_command(app).commands
    assert set(commands) == {
        "attribute",
        "audit",
        "compare",
        "evaluate",
        "export",
        "inspect",
        "map",
        "methods",
        "rank",
        "stamp",
        "store",
    }
    subcommands = commands["store"].commands  # type: ignore[attr-defined]
    assert set(subcommands) == {"list", "check", "prune"}
    commands = {**commands, **{f"store {name}": c for name, c in subcommands.items()}}
    for name, command in commands.items():
        assert command.help, f"{name} has no help"
        assert f"onnxattr {name.split()[0]}" in readme
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name} has no help"


def test_adapters_are_found_through_their_entry_points() -> None:
    from importlib.metadata import entry_points

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {e.name: e.value for e in entry_points(group="onnxattr.adapters")}
    assert installed == project["entry-points"]["onnxattr.adapters"], (
        "install anew: pip install -e ."
    )


def test_no_path_of_this_machine_is_in_the_package() -> None:
    home = os.path.expanduser("~")
    for path in ROOT.glob("onnxattr/**/*.py"):
        assert home not in path.read_text()


def test_the_readme_is_finished_and_its_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text()
    assert not re.search(r"@[A-Z_]+@", readme)
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (library,) = [block for block in blocks if "import onnxattr\n" in block]
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(library, names)
    assert names["values"].shape == (64, 64, 64)  # type: ignore[attr-defined]
