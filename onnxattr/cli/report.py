"""`--report`: a result as a page, beside what is written anyway."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from onnxattr.cli.console import check_output, say, write_text
from onnxattr.errors import UsageError

if TYPE_CHECKING:
    from onnxattr.report.html import Reported

#: What a page may be called.
_SUFFIXES = (".html", ".htm")

_TYPED: ContextVar[tuple[str, ...]] = ContextVar("typed", default=())


def remember(arguments: Sequence[str]) -> None:
    """Keeps what stands behind the program's name, for pages to show it."""
    _TYPED.set(tuple(arguments))


def check_report(
    report: Path | None, output: Path | None = None, folder: Path | None = None
) -> None:
    """Makes sure, before any work is done, that a page can be written.

    Args:
        report: Where; None for no page.
        output: The file that the result itself goes to, if any.
        folder: The directory that it goes to, which is made if it is not there.

    Raises:
        UsageError: It is no HTML, the same file as `output`, or in no place to write to.
    """
    if report is None:
        return
    if report.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"--report writes HTML, and `{report}` does not end in .html",
            hint="name it FILE.html; -o and --format write other forms",
        )
    if output is not None and output.resolve() == report.resolve():
        raise UsageError(
            f"`{report}` cannot be both the result and its report",
            hint="choose another place with --report",
        )
    if folder is not None and folder.resolve() == report.resolve():
        raise UsageError(
            f"`{report}` cannot be both a directory and a report",
            hint="choose another place with --report",
        )
    if folder is not None and report.resolve().parent == folder.resolve():
        return  # It is checked, and made, with what else goes there.
    check_output(report, "--report")


@contextmanager
def reported(result: Reported, report: Path | None, *, quiet: bool) -> Iterator[None]:
    """Writes a result's page before the body, which delivers the result itself.

    A page that cannot be written does not keep the result back: it is told after the body. And a
    result that nobody reads to its end, as behind `| head`, does not keep the page back.

    Raises:
        UsageError: The page cannot be written.
    """
    told: UsageError | None = None
    if report is not None:
        from onnxattr.report.html import to_html

        try:
            page = to_html(result, shlex.join(("onnxattr", *_TYPED.get())))
            write_text(report, page, "--report")
        except UsageError as error:
            told = error
        else:
            if not quiet:
                say(f"wrote `{report}`")
    yield
    if told is not None:
        raise told
