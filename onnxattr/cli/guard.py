"""Exit codes: expected errors become one line and a code, everything else is a bug of ours."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from onnxattr.cli.console import tell, trace
from onnxattr.cli.signals import Interruption, interruptible
from onnxattr.errors import OnnxattrError, UsageError

OK, INCOMPLETE, USAGE, NOTHING, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130


@contextmanager
def guard(debug: bool) -> Iterator[Interruption]:
    """Turns exceptions of the body into messages on stderr and exit codes.

    2 wrong usage; 3 nothing could be ranked; 70 a bug in the tool; 130 interrupted, 143 terminated.

    Args:
        debug: Print the traceback of exceptions, too.
    """
    with interruptible() as interruption:
        code = OK
        try:
            yield interruption
        except KeyboardInterrupt:
            tell(OnnxattrError("interrupted"))
            code = INTERRUPTED
        except OnnxattrError as error:
            if debug:
                trace(traceback.format_exc())
            tell(error)
            code = exit_code(error)
        except typer.Exit as ending:
            code = ending.exit_code
        except (typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if debug:
                trace(traceback.format_exc())
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            hint = "this is a bug in onnxattr; --debug shows where"
            tell(OnnxattrError(f"internal: {reason}", hint=hint))
            code = BUG
        code = interruption.code or code
    if code != OK:
        raise typer.Exit(code) from None


def exit_code(error: OnnxattrError) -> int:
    """Returns the exit code for an error that ends a command."""
    return USAGE if isinstance(error, UsageError) else NOTHING
