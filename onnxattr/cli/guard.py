"""Exit codes: expected errors become one line and a code, everything else is a bug of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from onnxattr.cli.console import tell
from onnxattr.errors import OnnxattrError, UsageError

OK, INCOMPLETE, USAGE, NOTHING, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130


@contextmanager
def guard(debug: bool) -> Iterator[None]:
    """Turns exceptions of the body into messages on stderr and exit codes.

    2 wrong usage; 3 nothing could be ranked; 70 a bug in the tool; 130 interrupted.

    Args:
        debug: Let exceptions through, with their traceback.
    """
    try:
        yield
    except KeyboardInterrupt:
        tell(OnnxattrError("interrupted"))
        raise typer.Exit(INTERRUPTED) from None
    except OnnxattrError as error:
        if debug:
            raise
        tell(error)
        raise typer.Exit(exit_code(error)) from None
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except Exception as error:
        if debug:
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        tell(
            OnnxattrError(
                f"internal: {reason}", hint="this is a bug in onnxattr; --debug shows where"
            )
        )
        raise typer.Exit(BUG) from None


def exit_code(error: OnnxattrError) -> int:
    """Returns the exit code for an error that ends a command."""
    return USAGE if isinstance(error, UsageError) else NOTHING
