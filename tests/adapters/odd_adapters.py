"""Adapters that do what a worker must survive, chosen by the source."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from onnxattr_adapters import ExportError, require


def export(source, path, **options):
    """Does what the first line of the source says; the rest of it is copied."""
    what, _, rest = Path(source).read_bytes().partition(b"\n")
    what = what.decode()
    if what == "refuse":
        raise ExportError("not this one,\nsays \x1b[31mthe adapter")
    if what == "long":
        raise ExportError("x" * 100_000)
    if what == "bug":
        raise ValueError("a bug")
    if what == "silent bug":
        raise ValueError
    if what == "exit":
        sys.exit(0)
    if what == "require":
        require("os", "no_such_framework")
    if what == "import":
        import no_such_framework  # noqa: F401
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "leave":
        os._exit(0)
    if what == "hang":
        time.sleep(600)
    if what == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (Path(source).parent / "child").write_text(str(child.pid))
        time.sleep(600)
    if what == "fill":
        filled = [bytearray(2**20) for _ in range(400)]
        time.sleep(600)
        del filled
    if what == "print":
        sys.stdout.write("noise " * 10_000)
        os.write(2, b"noise")
    if what == "nothing":
        return
    if what == "link":
        Path(path).symlink_to("/etc/hostname")
        return
    if what == "litter":
        Path("litter").write_text("x")
        Path(os.environ["TMPDIR"], "litter").write_text("x")
    if what == "options":
        raise ExportError(f"options {sorted(options.items())}")
    Path(path).write_bytes(rest)


ODD = SimpleNamespace(
    install="odd-package",
    recognises=lambda source: source.endswith((".odd", ".safe")),
    holds_code=lambda source: not source.endswith(".safe"),
    export=export,
    takes=("example",),
)
TWIN = SimpleNamespace(**vars(ODD) | {"recognises": lambda s: s.endswith(".twin"), "takes": ()})
OTHER_TWIN = SimpleNamespace(**vars(TWIN) | {"takes": ("state_dict",)})
BROKEN = SimpleNamespace(install="half-a-package")
