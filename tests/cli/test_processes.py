"""The installed command as users run it: a process, its streams, a terminal, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from small_models import encoder, save

COMMAND = str(Path(sysconfig.get_path("scripts")) / "onnxattr")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals and signals")


def start(*arguments, **options):
    command = [COMMAND, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)


def read_terminal(descriptor):
    """All that is written to a terminal until its last writer closes it."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # What Linux answers once no writer is left.
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def test_streams_and_exit_code(good):
    (good / "empty.onnx").touch()

    process = start("rank", good, "--limit", 3, "-f", "json", "--device", "cpu")
    out, err = process.communicate(timeout=100)

    assert process.returncode == 1
    assert [m["name"] for m in json.loads(out)["models"]] == ["depth-keras", "edges-torch"]
    assert err.decode().splitlines() == [
        "3 models, 3 probes, on cpu",
        "error: empty: the file is empty",
        "hint: export or download it again",
        "warning: input range [0, 1] is assumed for all models; --range says otherwise",
        "warning: 3 probes are too few for intervals and ties to be trusted",
    ]


def test_interrupt(good):
    for number in range(200):
        save(encoder(number), good / f"{number}.onnx")

    # A shell that runs the tests in the background has them ignore Ctrl-C, and their children too.
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    process = start("rank", good, "--device", "cpu", **listening)
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)

    assert first == b"202 models, 64 probes, on cpu\n"
    assert process.returncode == 130
    assert re.search(rb"\d of 202 models finished before the interruption|partial", err)
    assert len(err.splitlines()) < 5
    assert out == b"" or b"Partial ranking" in out


def test_a_reader_that_goes_away(good):
    reader, writer = os.pipe()
    os.close(reader)

    process = start("inspect", good, "-f", "json", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=100)

    assert process.returncode == 1
    assert err == b""


def test_a_terminal_without_unicode(good):
    """Colours, a progress bar and a table, none of which the encoding may break."""
    save(encoder(3), good / "größe-模型.onnx")
    (good / "empty.onnx").touch()
    parent, child = os.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80", "TERM": "xterm"}

    process = start(
        "rank", good, "--limit", 3, "--device", "cpu", stdout=child, stderr=child, env=environment
    )
    os.close(child)
    shown = read_terminal(parent).decode("ascii")
    os.close(parent)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)

    assert process.wait(timeout=100) == 1
    assert "\x1b[1;31merror: \x1b[0m" in shown
    assert re.search(r"[\r\n]error: empty: the file is empty\r\n", plain)
    assert r"gr\xf6\xdfe-\u6a21\u578b" in plain
    assert "NHWC 12x12" in plain
    assert "####" in plain or "...." in plain
    assert "Traceback" not in plain
    # A letter's escape is longer than the letter; everything else fits.
    lines = [line for line in plain.replace("\r", "\n").splitlines() if "\\" not in line]
    assert [line for line in lines if len(line) > 80] == []
