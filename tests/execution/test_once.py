"""One program, one short answer, within bounds."""

import os
import sys
import threading
import time

import pytest

from onnxattr.errors import LimitError, WorkerError
from onnxattr.execution.once import run_once

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def run(code, request=b"", **bounds):
    given = {"memory": 2**32, "seconds": 60.0, "limit": 100, "folder": "/", "environment": {}}
    return run_once([sys.executable, "-c", code], request, **given | bounds)


def test_the_answer_is_what_a_program_writes():
    assert run("import sys; print(sys.stdin.read().upper())", b"question") == b"QUESTION\n"


def test_environment_and_folder_are_what_was_asked_for(tmp_path):
    code = "import os; print(os.getcwd(), sorted(k for k in os.environ if k.startswith('ONLY')))"
    answer = run(code, environment={"ONLY_ONE": "1"}, folder=tmp_path)
    assert answer.decode() == f"{tmp_path.resolve()} ['ONLY_ONE']\n"


def test_errors_of_a_program_are_not_shown(capfd):
    run("import sys; sys.stderr.write('noise'); print(1)")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("", "ended with code 0"),
        ("print('half', end='')", "ended with code 0"),
        ("import sys; sys.exit(7)", "ended with code 7"),
        ("import os; os.abort()", "was killed by SIGABRT"),
        ("print('x' * 200)", "ended with code"),
    ],
)
def test_without_an_answer_the_end_is_told(code, how):
    with pytest.raises(WorkerError) as caught:
        run(code)
    assert how in caught.value.message


def test_an_endless_answer_is_cut_off():
    with pytest.raises(WorkerError):
        run("while True: print('x' * 10000, end='')", seconds=30)


def test_a_program_that_is_not_there():
    with pytest.raises(WorkerError, match="`/no/such` cannot be started: No such file"):
        run_once(["/no/such"], b"", memory=1, seconds=1.0, limit=1, folder="/", environment={})


def test_a_closed_input_is_no_error():
    code = "import os; os.close(0); print('done')"
    assert run(code, b"x" * 10_000_000) == b"done\n"


@pytest.mark.parametrize(
    ("bounds", "error"),
    [
        ({"seconds": 1.0}, "more than 1 s and was stopped"),
        ({"memory": 2**20}, "more than 0.000977 GiB of memory"),
    ],
)
def test_bounds_end_it(tmp_path, bounds, error):
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    with pytest.raises(LimitError, match=error):
        run(code + "time.sleep(600)", **bounds)
    if (tmp_path / "pid").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


def test_it_can_be_stopped():
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(WorkerError, match="before the interruption"):
        run("import time; time.sleep(600)", stop=stop)
    assert time.monotonic() - started < 30
