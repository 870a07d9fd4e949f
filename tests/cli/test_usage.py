"""Wrong usage is told before any work is done: one line, a way out, exit code 2."""

import pytest

import onnxattr
from onnxattr.pipeline import job


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        (["-f", "xml"], "there is no format `xml`", "valid are `csv`, `json`, `jsonl`"),
        (["-f", "jsno"], "there is no format `jsno`", "did you mean `json`?"),
        (["--method", "salience"], "there is no method `salience`", "did you mean `saliency`?"),
        (["--device", "gpu"], "there is no device `gpu`", "`cuda[:n]`"),
        (["--layout", "NCHX"], "there is no layout `NCHX`", "did you mean `NCHW`?"),
        (["--size", "big"], "--size takes N or HEIGHTxWIDTH, not `big`", "--size 224"),
        (["--size", "0"], "a size is a height and a width of 1 to 8192 pixels, not `0x0`", ""),
        (["--size", "99999x4"], "a size is a height and a width of 1 to 8192 pixels", ""),
        (["--mean", "red"], "--mean takes a number or three, not `red`", "--mean 0.485,0.456"),
        (["--mean", "1,2"], "the mean takes one value or three, not 2", ""),
        (["--mean", "nan"], "the mean `nan` is not finite", ""),
        (["--std", "1,0,1"], "the std `1 0 1` is not positive", ""),
        (["--std", "inf"], "the std `inf` is not finite", ""),
        (["--range", "1", "0"], "the range `1 0` does not rise from low to high", ""),
        (["--range", "0", "inf"], "the range `0 inf` is not finite", ""),
        (["--range", "1"], "option '--range' requires 2 arguments", "--help` shows the usage"),
        (["--batch-size", "0"], "--batch-size takes a whole number from 1, not `0`", ""),
        (["--limit", "0"], "--limit takes a whole number from 1, not `0`", ""),
        (["--limit", "ten"], "invalid value for '--limit'", "--help` shows the usage"),
        (["--seed", "-1"], "--seed takes a whole number from 0, not `-1`", ""),
        (["--limit", "1"], "centred maps need at least two probes", "--paper"),
        (["--prboes", "x"], "no such option: --prboes", "`onnxattr rank --help`"),
        (["-o", "/no/such/place/x.json"], "there is no directory `/no/such/place`", "--output"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_options(run, good, monkeypatch, options, error, hint):
    """A model is never read: a slip of the pen must not cost minutes."""

    def examine(*_):
        raise AssertionError("a model was read")  # pytest's own is no Exception: it ends the thread

    monkeypatch.setattr(job.Examiner, "examine", examine)

    outcome = run("rank", good, *options)

    assert outcome.code == 2
    assert outcome.out == ""
    (told,) = outcome.errors
    assert error in told
    assert hint in " ".join(outcome.hints)
    assert len(outcome.err.splitlines()) == 1 + len(outcome.hints)


@pytest.mark.parametrize("command", ["rank", "compare", "inspect", "export", "attribute", "map"])
def test_nothing_given(run, command):
    outcome = run(command)

    assert outcome.code == 2
    (error,) = outcome.errors
    assert error.startswith("missing argument")
    assert outcome.hints == [f"`onnxattr {command} --help` shows the usage"]


def test_unknown_command(run):
    outcome = run("rnak")

    assert outcome.code == 2
    assert outcome.errors == ["no such command 'rnak'. Did you mean 'rank'?"]
    assert outcome.hints == ["`onnxattr --help` shows the usage"]


def test_no_arguments_at_all_shows_the_help(run):
    outcome = run()

    assert outcome.code == 2
    assert "Usage: onnxattr" in outcome.out
    assert not outcome.errors


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(run, flag):
    outcome = run(flag)

    assert outcome.code == 0
    for command in ("rank", "compare", "inspect", "export", "attribute", "map"):
        assert f"│ {command} " in outcome.out
        help_of = run(command, flag)
        assert help_of.code == 0
        assert "Exit code: 0" in help_of.out
    assert outcome.err == ""


def test_every_option_has_a_help(run):
    from typer.main import get_command

    from onnxattr.cli.app import app

    for name, command in get_command(app).commands.items():
        for parameter in command.params:
            assert getattr(parameter, "help", "") or parameter.name == "help", (name, parameter)


def test_version(run):
    outcome = run("--version")

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"onnxattr {onnxattr.__version__}\n"


def test_output_that_is_a_directory(run, good):
    outcome = run("rank", good, "-o", good)

    assert outcome.code == 2
    assert outcome.errors == [f"`{good}` cannot be written: it is a directory"]


def test_exit_zero(rank, good):
    (good / "empty.onnx").touch()

    assert rank(good).code == 1
    outcome = rank(good, "--exit-zero")
    assert outcome.code == 0
    assert outcome.errors == ["empty: the file is empty"]


def test_exit_zero_does_not_hide_that_nothing_was_ranked(rank, tmp_path):
    assert rank(tmp_path, "--exit-zero").code == 3


def test_debug_shows_the_traceback(good, capsys):
    """Cleaned like everything else: it quotes what the user gave, or a file holds."""
    from onnxattr.cli import app

    with pytest.raises(SystemExit) as caught:
        app.main(["rank", str(good), "--method", "no\x1b[31m", "--debug"])
    _, err = capsys.readouterr()
    assert caught.value.code == 2
    assert err.startswith("Traceback (most recent call last):\n")
    assert r"there is no method `no\x1b[31m`" in err
    assert "\x1b" not in err


def test_quiet_keeps_results_and_errors(rank, good):
    (good / "empty.onnx").touch()

    outcome = rank(good, "-q")

    assert outcome.err == "error: empty: the file is empty\nhint: export or download it again\n"
    assert outcome.json["warnings"]


def test_what_is_said_by_default(rank, good):
    outcome = rank(good)

    assert outcome.err.splitlines() == [
        "2 models, 3 probes, on cpu",
        "warning: input range [0, 1] is assumed for all models; --range says otherwise",
        "warning: 3 probes are too few for intervals and ties to be trusted",
    ]


def test_verbose_says_what_was_decided_and_why(rank, good):
    outcome = rank(good, "-v")

    (line,) = [line for line in outcome.err.splitlines() if line.startswith("depth-keras: ")]
    assert "layout: graph: the first Conv reads axis 3 as channels" in line
    assert "range: assumed" in line
    assert "attributed at features: the output: the graph ends without a head" in line
    assert "parity" in line


def test_a_stated_range_is_not_warned_about(rank, good):
    outcome = rank(good, "--range", "0", "255")

    assert not any("range" in warning for warning in outcome.warnings)
    assert outcome.json["settings"]["input"] == {"range": [0.0, 255.0]}


def test_progress_can_be_turned_off(rank, good):
    assert rank(good, "--no-store", "--no-progress").err == rank(good, "--no-store").err
