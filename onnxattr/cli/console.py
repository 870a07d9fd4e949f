"""Where things go: the result to stdout or a file, everything else to stderr."""

import io
import os
import sys
import tempfile
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from onnxattr.errors import OnnxattrError, UsageError
from onnxattr.report.rows import Result
from onnxattr.report.text import clean
from onnxattr.types import Failure, Summary

#: Wide enough that no table is ever cut: what is not a terminal has no width.
_UNBOUNDED = 10_000


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


def write(result: Result, form: Format, output: Path | None) -> None:
    """Writes `result` to the file `output`, or to stdout.

    Raises:
        UsageError: The file cannot be written; what it held is still there.
    """
    if output is None and form is Format.table and sys.stdout.isatty():
        from onnxattr.report.table import render

        render(result, Console(highlight=False))
        return
    content = as_text(result, form)
    if output is not None:
        _replace(output, content)
        return
    # Bytes, so that no platform turns line ends or letters into its own.
    sys.stdout.flush()
    sys.stdout.buffer.write(content.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


def as_text(result: Result, form: Format) -> str:
    """Returns `result` in the format asked for; a table is plain and never truncated."""
    from onnxattr.report import delimited, json, markdown, table

    if form is Format.table:
        buffer = io.StringIO()
        table.render(
            result,
            Console(
                file=buffer,
                width=_UNBOUNDED,
                force_terminal=False,
                highlight=False,
                color_system=None,
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


def tell(error: OnnxattrError | Failure) -> None:
    """Prints one failure on stderr: which model, what happened, and a hint."""
    name = error.name if isinstance(error, Failure) else error.model
    line = Text("error: ", "bold red")
    line.append(f"{clean(name)}: " if name else "", "bold").append(clean(error.message))
    console = stderr()
    console.print(line)
    if error.hint:
        console.print(Text.assemble(("hint: ", "cyan"), clean(error.hint)))


def warn(message: str) -> None:
    """Prints one warning on stderr."""
    stderr().print(Text.assemble(("warning: ", "yellow"), clean(message)))


def explain(models: Iterable[Summary], verbosity: int) -> None:
    """Prints on stderr what was decided for each model and by which rule, if asked for."""
    if not verbosity:
        return
    console = stderr()
    for model in models:
        decided = [f"{part}: {rule}" for part, rule in model.spec.sources.items()]
        decided.append(f"attributed at {model.representation.value}: {model.representation.rule}")
        parity = f"parity {model.parity.error:.1e}, at most {model.parity.tolerance:.0e}"
        decided += [parity, f"batch {model.batch}"]
        console.print(Text(f"{clean(model.name)}: {clean('; '.join(decided))}", "dim"))


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
            disable=quiet or not show or not console.is_terminal,
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
            line = f"{models} models × {probes} probes on {device}"
            self._progress.console.print(Text(line, "dim"))
        self._task = self._progress.add_task("", total=models * probes)

    def model(self, name: str) -> None:
        """Names the model in work."""
        if self._task is not None:
            self._progress.update(self._task, description=clean(name))

    def advance(self, probes: int) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._progress.advance(self._task, probes)

    def failed(self, failure: Failure) -> None:
        """Tells why something is left out."""
        tell(failure)


def _replace(path: Path, content: str) -> None:
    """Writes a file whole or not at all."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(content)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(
            f"`{path}` cannot be written: {error.strerror or error}",
            hint="choose another place with -o",
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
