"""Where things go: the result to stdout or a file, everything else to stderr."""

import io
import os
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from onnxattr.errors import OnnxattrError, UsageError
from onnxattr.files import write_whole
from onnxattr.report.rows import Result
from onnxattr.report.text import in_ascii
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import (
    Attributions,
    Comparison,
    Evaluation,
    Failure,
    ModelMap,
    Ranking,
    Summary,
)

#: Wide enough that no table is ever cut: what is not a terminal has no width.
_UNBOUNDED = 10_000

#: How the field writes that a file is stdout.
STDOUT = Path("-")


class Format(StrEnum):
    """How a result is written."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    markdown = "markdown"


def stderr() -> Console:
    """Returns a console for messages; long lines are left to the terminal to wrap."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def check_output(output: Path | None, option: str = "--output") -> None:
    """Makes sure, before any work is done, that `output` is in a place to write to.

    Args:
        output: The file.
        option: That named it.

    Raises:
        UsageError: It is a directory, or its directory is missing or cannot be written.
    """
    if output is None or output == STDOUT or output.is_char_device() or output.is_fifo():
        return
    if output.is_dir():
        raise _unwritable(output, "it is a directory", option)
    folder = output.resolve().parent
    if not folder.is_dir():
        raise _unwritable(output, f"there is no directory `{folder}`", option)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(output, "its directory takes no new files", option)


def write(result: Result, form: Format, output: Path | None) -> None:
    """Writes `result` to the file `output`, or to stdout.

    Raises:
        UsageError: The file cannot be written, and what it held is still there; or stdout cannot.
    """
    if output is not None and output != STDOUT:
        _replace(output, as_text(result, form))
        return
    try:
        _print(result, form)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What was not written must not be tried again when the interpreter ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lives as long as the process
        raise UsageError(f"stdout cannot be written: {error.strerror or error}") from None


def _print(result: Result, form: Format) -> None:
    """Writes `result` to stdout."""
    if form is Format.table and sys.stdout.isatty():
        from onnxattr.report.table import render

        if isinstance(sys.stdout, io.TextIOWrapper):
            # Names may hold letters that the terminal's encoding has not.
            sys.stdout.reconfigure(errors="backslashreplace")
        render(result, Console(highlight=False))
        return
    # FORCE_COLOR makes a terminal of whatever stdout is; only its width stays unknown.
    print_text(as_text(result, form, styled=Console().is_terminal))


def show(draw: Callable[[Console], None]) -> None:
    """Prints on stdout what `draw` draws: as wide as the terminal, or plain and uncut elsewhere.

    Raises:
        UsageError: stdout cannot be written.
    """
    if sys.stdout.isatty():
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        draw(Console(highlight=False, markup=False, emoji=False))
        return
    styled, buffer = Console().is_terminal, io.StringIO()
    draw(
        Console(
            file=buffer,
            width=_UNBOUNDED,
            force_terminal=styled,
            highlight=False,
            markup=False,
            emoji=False,
            color_system="auto" if styled else None,
        )
    )
    print_text("".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines()))


def print_text(text: str) -> None:
    """Writes text to stdout, as bytes: no platform turns line ends or letters into its own.

    Raises:
        UsageError: stdout cannot be written.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What was not written must not be tried again when the interpreter ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lives as long as the process
        raise UsageError(f"stdout cannot be written: {error.strerror or error}") from None


def write_text(path: Path, content: str, option: str = "--output") -> None:
    """Writes a file whole or not at all.

    Args:
        path: The file.
        content: All of it.
        option: That named it.

    Raises:
        UsageError: It cannot be written, and what it held is still there.
    """
    _replace(path, content, option)


def as_text(result: Result, form: Format, *, styled: bool = False) -> str:
    """Returns `result` in the format asked for; a table is never truncated, and plain by default.

    Args:
        result: What to write.
        form: How.
        styled: Let a table have colours, as far as the environment allows.
    """
    from onnxattr.report import delimited, json, markdown, table

    if form is Format.table:
        buffer = io.StringIO()
        table.render(
            result,
            Console(
                file=buffer,
                width=_UNBOUNDED,
                force_terminal=styled,
                highlight=False,
                color_system="auto" if styled else None,
            ),
        )
        return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())
    writers = {
        Format.json: json.to_json,
        Format.jsonl: delimited.to_jsonl,
        Format.csv: delimited.to_csv,
        Format.tsv: delimited.to_tsv,
        Format.markdown: markdown.to_markdown,
    }
    return writers[form](result)


def tell(error: OnnxattrError | Failure, console: Console | None = None) -> None:
    """Prints one failure on stderr: which model, what happened, and a hint."""
    name = error.name if isinstance(error, Failure) else error.model
    about = f"{clean(name)}: " if name else ""
    _say(("error: ", "bold red"), (about, "bold"), (_message(error.message), ""), console=console)
    if error.hint:
        _say(("hint: ", "cyan"), (_message(error.hint), ""), console=console)


def trace(text: str) -> None:
    """Prints a traceback on stderr, cleaned line by line: it quotes what a file holds."""
    for line in text.splitlines():
        _say((_message(line), "dim"))


def say(message: str) -> None:
    """Prints one line of plain information on stderr."""
    _say((_message(message), ""))


def warn(message: str) -> None:
    """Prints one warning on stderr."""
    _say(("warning: ", "yellow"), (_message(message), ""))


def deliver(
    result: Ranking | Comparison | Evaluation,
    form: Format,
    output: Path | None,
    *,
    quiet: bool,
    verbosity: int,
) -> None:
    """Writes `result`, after what its reader must know, and may have asked for, on stderr.

    Raises:
        UsageError: The file cannot be written.
    """
    explain(result, quiet=quiet, verbosity=verbosity)
    write(result, form, output)


def explain(
    result: Ranking | Comparison | Attributions | Evaluation | ModelMap,
    *,
    quiet: bool,
    verbosity: int,
) -> None:
    """Prints on stderr what the reader of a result must know, and may have asked for."""
    if quiet:
        return
    if isinstance(result, Evaluation):
        _compare(result, verbosity)
    else:
        _explain(result.models, verbosity)
        if result.stored:
            count = _count(len(result.models), "model")
            _say((f"stored: {len(result.stored)} of {count}", "dim"))
    for line in result.warnings:
        warn(line)


def _explain(models: Iterable[Summary], verbosity: int) -> None:
    """Prints on stderr what was decided for each model and by which rule, if asked for."""
    if not verbosity:
        return
    for model in models:
        decided = [f"{part}: {rule}" for part, rule in model.spec.sources.items()]
        decided.append(f"attributed at {model.representation.value}: {model.representation.rule}")
        if (parity := model.parity) is not None:
            decided.append(f"parity {parity.error:.1e}, at most {parity.tolerance:.0e}")
        else:
            decided.append("black box: nothing is converted")
        if (check := model.gradient) is not None:
            decided.append(f"gradient {check.error:.1e}, at most {check.tolerance:.0e}")
        decided.append(f"batch {model.batch}")
        _say((f"{clean(model.name)}: {_message('; '.join(decided))}", "dim"))


def _compare(result: Evaluation, verbosity: int) -> None:
    """Prints on stderr what each measure chose for each target, if asked for."""
    for one in result.measures if verbosity else ():
        for outcome in one.outcomes:
            found = f"its best {outcome.best}"
            if outcome.chosen != outcome.best:
                found += f", regret {outcome.regret:.3g} ({outcome.relative_regret:.0%})"
            line = f"{one.name} for {outcome.target}: chose {outcome.chosen}, {found}"
            _say((_message(line), "dim"))


class Bars:
    """A progress bar on stderr, shown on terminals only; failures are told above it.

    Args:
        quiet: Tell failures only.
        show: Whether to draw the bar.
    """

    def __init__(self, *, quiet: bool, show: bool) -> None:
        self._quiet = quiet
        console = stderr()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            # FORCE_COLOR asks for colours, not for a bar in a log file.
            disable=quiet or not show or not (sys.stderr.isatty() and console.is_terminal),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Bars":
        """Starts drawing."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops drawing and clears the line."""
        self._progress.stop()

    def begin(self, models: int, probes: int, device: str) -> None:
        """Says what will be done, and on which device."""
        if not self._quiet:
            counts = f"{_count(models, 'model')}, {_count(probes, 'probe')}"
            _say((f"{counts}, on {device}", "dim"), console=self._progress.console)
        self._task = self._progress.add_task("", total=models * probes)

    def model(self, name: str) -> None:
        """Names the model in work."""
        if self._task is not None:
            self._progress.update(self._task, description=clean(name))

    def advance(self, probes: int) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._progress.advance(self._task, probes)

    def start(self, what: str, total: int) -> None:
        """Begins anew, with other work."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total)

    def failed(self, failure: Failure) -> None:
        """Tells why something is left out."""
        tell(failure, self._progress.console)


def _say(*parts: tuple[str, str], console: Console | None = None) -> None:
    """Prints one line on stderr, made of texts and their styles.

    While a progress bar is drawn its own console must be given: any other writes over the bar.
    """
    console = console or stderr()
    if console.options.ascii_only:
        parts = tuple((in_ascii(text), style) for text, style in parts)
    try:
        console.print(Text.assemble(*parts))
    except OSError:
        # On a full disk nobody reads messages; the result may still have a reader.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it lives as long as the process


def _message(text: str) -> str:
    return clean(text, MAX_TEXT)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _unwritable(path: Path, reason: str, option: str = "--output") -> UsageError:
    return UsageError(
        f"`{path}` cannot be written: {reason}", hint=f"choose another place with {option}"
    )


def _replace(path: Path, content: str, option: str = "--output") -> None:
    """Writes a file whole or not at all; a device, a pipe or a link stays what it is."""
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(content)
            return
        write_whole(path.resolve(), content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error), option) from None
