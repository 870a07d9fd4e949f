"""Composites as data: what they choose, and files that are refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from onnxattr.attribution.methods import parse as parse_method
from onnxattr.attribution.rules.composite_file import composite, parse, resolve
from onnxattr.attribution.rules.composites import COMPOSITES, LAYERS, built_in, layer_rule
from onnxattr.errors import UsageError

GOOD = """
# Lapuschkin's, but with γ for the convolutions.
[[rule]]
operators = ["Conv"]
first = true
rule = "flat"

[[rule]]
operators = ["Conv", "ConvTranspose"]
rule = "gamma"
gamma = 0.1

[[rule]]
rule = "epsilon"
"""


def test_the_first_choice_that_fits_a_layer_decides() -> None:
    chosen = parse(GOOD)
    assert chosen.rule("Conv", first=True) == layer_rule("flat")
    assert chosen.rule("Conv", first=False) == layer_rule("gamma", gamma=0.1)
    assert chosen.rule("ConvTranspose", first=True) == layer_rule("gamma", gamma=0.1)
    assert chosen.rule("Gemm", first=True) == layer_rule("epsilon", epsilon=1e-6)


def test_a_layer_that_no_choice_fits_keeps_its_gradient() -> None:
    chosen = parse('[[rule]]\noperators = ["Conv"]\nrule = "z-plus"\n')
    assert chosen.rule("MatMul", first=False) == layer_rule("epsilon", epsilon=0.0)


def test_rules_may_be_written_on_one_line() -> None:
    chosen = parse('rule = [{rule = "alpha-beta", alpha = 3, beta = 2}]')
    assert chosen.rule("Conv", first=False) == layer_rule("alpha-beta", alpha=3.0, beta=2.0)


def test_bounds_are_one_number_or_one_a_channel() -> None:
    text = '[[rule]]\nfirst = true\nrule = "z-box"\nlow = [-2.1, -2.0, -1.8]\nhigh = 2.6\n'
    rule = parse(text).rule("Conv", first=True)
    assert rule.options["low"] == (-2.1, -2.0, -1.8)
    assert rule.options["high"] == 2.6


@pytest.mark.parametrize(
    ("name", "first", "rest", "dense_first"),
    [
        ("epsilon", "epsilon", "epsilon", "epsilon"),
        ("epsilon-plus", "z-plus", "z-plus", "epsilon"),
        ("epsilon-plus-flat", "flat", "z-plus", "flat"),
        ("epsilon-alpha2-beta1", "alpha-beta", "alpha-beta", "epsilon"),
        ("epsilon-gamma-box", "z-box", "gamma", "epsilon"),
    ],
)
def test_built_in_composites_choose_as_zennits_do(
    name: str, first: str, rest: str, dense_first: str
) -> None:
    chosen = built_in(name, epsilon=0.5, gamma=0.75)
    for operator in ("Conv", "ConvTranspose"):
        assert chosen.rule(operator, first=True).name == first
        assert chosen.rule(operator, first=False).name == rest
    for operator in ("Gemm", "MatMul"):
        assert chosen.rule(operator, first=True).name == dense_first
        assert chosen.rule(operator, first=False) == layer_rule("epsilon", epsilon=0.5)
    rules = [chosen.rule(operator, first=False) for operator in LAYERS]
    assert all(r.options["gamma"] == 0.75 for r in rules if r.name == "gamma")
    assert all(r.options.get("alpha", 2) == 2 for r in rules)


def test_a_file_travels_as_its_text(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(GOOD)
    assert resolve(str(path)) == GOOD
    assert resolve(GOOD) == GOOD
    assert composite(resolve(str(path))) == parse(GOOD)
    path.write_text('rule = [{rule = "z-plus"}]')
    assert composite(resolve(str(path))).rule("Conv", first=True) == layer_rule("z-plus")
    method = parse_method(f"lrp:composite={path}:epsilon=0.1")
    assert composite(method.options["composite"]) == parse(path.read_text())
    for name in COMPOSITES:
        assert resolve(name) == name
        assert composite(name, epsilon=0.1, gamma=0.2) == built_in(name, epsilon=0.1, gamma=0.2)


def refusal(text: str, path: Path) -> str:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        resolve(str(path))
    assert "\n" not in caught.value.message
    return f"{caught.value.message} | {caught.value.hint}"


HEAD = '[[rule]]\nrule = "epsilon"\n\n'


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (
            HEAD + '[[rule]]\nrule = "epslon"\n',
            5,
            "there is no rule `epslon` | did you mean `epsilon`",
        ),
        (
            HEAD + '[[rule]]\noperators = ["Cnv"]\nrule = "z-plus"\n',
            5,
            "`Cnv` | did you mean `Conv`",
        ),
        (
            HEAD + '[[rule]]\nrule = "gamma"\ngama = 1\n',
            6,
            "no option `gama` | did you mean `gamma`",
        ),
        (HEAD + '[[rule]]\nrule = "epsilon"\ngamma = 1\n', 6, "`epsilon` has no option `gamma`"),
        (HEAD + '[[rule]]\nrule = "gamma"\ngamma = -1\n', 6, "a number from 0, not `-1`"),
        (HEAD + '[[rule]]\nrule = "gamma"\ngamma = "a"\n', 6, "a number from 0, not `a`"),
        (HEAD + '[[rule]]\nrule = "gamma"\ngamma = nan\n', 6, "a number from 0, not `nan`"),
        (HEAD + '[[rule]]\nrule = "gamma"\ngamma = true\n', 6, "a number from 0, not `True`"),
        (
            HEAD + '[[rule]]\nrule = "flat"\n',
            5,
            "`flat` is a rule of first layers | add `first = true`",
        ),
        (HEAD + '[[rule]]\nrule = "flat"\nfirst = 1\n', 6, "`first` is true or false, not `1`"),
        (HEAD + '[[rule]]\nrule = "z-plus"\noperators = "Conv"\n', 6, "`operators` is a list"),
        (HEAD + '[[rule]]\nrule = "z-plus"\noperators = []\n', 6, "`operators` is a list"),
        (HEAD + '[[rule]]\nrule = "alpha-beta"\nalpha = 2\nbeta = 2\n', 6, "`alpha` − `beta` is 1"),
        (HEAD + '[[rule]]\nrule = "z-box"\nfirst = true\nlow = 0\n', 5, "both `low` and `high`"),
        (
            HEAD + '[[rule]]\nrule = "z-box"\nfirst = true\nlow = ["a"]\n',
            7,
            "a number, or one a channel",
        ),
        (HEAD + "[[rule]]\nfirst = true\n", 4, "it does not say which rule"),
        (HEAD + "[other]\nx = 1\n", 4, "there is no `other` in a composite"),
    ],
)
def test_what_a_file_says_wrongly_is_named_with_its_line(
    text: str, line: int, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "my.toml"
    said = refusal(text, path)
    assert said.startswith(f"`{path}`, line {line}: ")
    assert expected in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[rule]\n", "is not TOML: Expected"),
        ("", "has no `[[rule]]`"),
        ("rule = 3\n", "has no `[[rule]]`"),
        ("rule = [1]\n", "has no `[[rule]]`"),
    ],
)
def test_what_is_no_composite_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(text, tmp_path / "my.toml")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for name, content in (("no.toml", None), ("binary.toml", b"\xff\xfe")):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read"):
            resolve(str(path))


def test_unknown_names_are_answered_with_the_closest() -> None:
    with pytest.raises(UsageError, match="no composite `epsilon-pls`") as caught:
        resolve("epsilon-pls")
    assert "did you mean `epsilon-plus`" in caught.value.hint


def test_composites_are_read_without_torch() -> None:
    code = (
        "import sys; from onnxattr.attribution.methods import parse; "
        "parse('lrp:composite=epsilon-plus-flat'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
