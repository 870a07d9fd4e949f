"""How long `onnxattr --help` takes, against an empty typer application that imports rich.

Both are run in turn, so that whatever else the machine does meets both. Prints the median of each
in milliseconds, and the median ratio of neighbours with its interquartile range.

    python benchmarks/startup.py [REPEATS]
"""

import statistics
import subprocess
import sys
import time

EMPTY = """
import rich.console, rich.text, typer
app = typer.Typer()
@app.command()
def one() -> None:
    "Nothing."
@app.command()
def two() -> None:
    "Nothing."
app()
"""
OURS = "from onnxattr.cli.app import main; main()"
IMPORT = "import onnxattr"


def milliseconds(code: str, *arguments: str) -> float:
    """Returns the wall time of a fresh interpreter that runs `code`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1000


def main(repeats: int) -> None:
    """Measures and prints."""
    runs = [
        (milliseconds(EMPTY, "--help"), milliseconds(OURS, "--help"), milliseconds(IMPORT))
        for _ in range(repeats + 1)
    ][1:]
    empty, ours, bare = (statistics.median(column) for column in zip(*runs, strict=True))
    low, middle, high = statistics.quantiles([o / e for e, o, _ in runs], n=4)
    print(f"empty typer app with rich, --help   {empty:6.0f} ms")
    print(f"onnxattr --help                     {ours:6.0f} ms")
    print(f"import onnxattr                     {bare:6.0f} ms")
    print(f"ratio of the first two              {middle:6.2f}   ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
