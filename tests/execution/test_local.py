"""Worker processes: what one of them does costs its own job and nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time

import odd_jobs
import psutil
import pytest

from onnxattr.errors import LimitError, WorkerError
from onnxattr.execution import process
from onnxattr.execution.local import Workers, memory_limit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture(params=["forked", "spawned"])
def kind(request, monkeypatch):
    """Workers of both kinds find the module of jobs, and are started anew."""
    if request.param == "forked" and not process.FORKS:
        pytest.skip("this system cannot fork workers safely")
    monkeypatch.setattr(process, "FORKS", request.param == "forked")
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    process.abandon()
    yield request.param
    process.abandon()


def job(what, amount=0):
    def converse(channel, place):
        channel.send(odd_jobs.Do(what, amount))
        return channel.receive(odd_jobs.Done, 1000).value

    return converse


def outcomes(*jobs, places=1, memory=1 << 33, seconds=20.0, stop=None):
    workers = Workers("odd_jobs", ["cpu"] * places, memory=memory, seconds=seconds, stop=stop)
    found = dict(workers.run(jobs))
    return [found.get(i) for i in range(len(jobs))]


def test_a_worker_serves_one_job_after_another(kind):
    first, second = outcomes(job("pid"), job("pid"))
    assert first == second != str(os.getpid())


@pytest.mark.parametrize(
    ("what", "amount", "told"),
    [
        ("crash", 0, "was killed by SIGSEGV"),
        ("leave", 7, "ended with code 7"),
        ("leave", 0, "ended with code 0"),
        ("swell", 0, f"sent {1 << 62} bytes where 1000 are the most"),
        ("babble", 0, "what is no message"),
    ],
)
def test_what_a_worker_does_costs_its_job_alone(kind, what, amount, told):
    before, bad, after = outcomes(job("pid"), job(what, amount), job("pid"))
    assert isinstance(bad, WorkerError)
    assert told in bad.message
    assert before.isdigit()
    assert after.isdigit()
    assert before != after  # It was replaced.


def test_no_pickle_is_read(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process.abandon()
    (outcome,) = outcomes(job("plant"))
    assert isinstance(outcome, WorkerError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["sleep", "spin"])
def test_time(kind, what):
    started = time.monotonic()
    late, after = outcomes(job(what, 60), job("pid"), seconds=1.5)
    assert isinstance(late, LimitError)
    assert "more than 1.5 s" in late.message
    assert after.isdigit()
    assert time.monotonic() - started < 1.5 + 2 * 1.5


def test_memory(kind):
    late, after = outcomes(job("allocate"), job("pid"), memory=300 << 20)
    assert isinstance(late, LimitError)
    assert "0.293 GiB of memory" in late.message
    assert after.isdigit()


def test_bounds_that_the_system_enforces(kind, tmp_path, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("address space is bounded on Linux only")
    monkeypatch.chdir(tmp_path)
    process.abandon()
    (outcome,) = outcomes(job("bounds"))
    assert outcome == "(False, False, (0, 0))"


def test_a_worker_is_not_heard(kind, capfd):
    assert outcomes(job("talk")) == ["spoken"]
    assert capfd.readouterr() == ("", "")


def test_several_workers_work_at_once(kind):
    outcomes(job("pid"))  # What must be imported is, for the workers that are forked.
    started = time.monotonic()
    assert outcomes(*[job("sleep", 2)] * 3, places=3) == ["None"] * 3
    assert time.monotonic() - started < 5


def test_stopping(kind):
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    started = time.monotonic()
    found = outcomes(job("pid"), job("sleep", 60), job("pid"), stop=stop)
    assert time.monotonic() - started < 4
    assert found[1:] == [None, None]
    alive = [p for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]
    # What forks workers is kept for the next ones.
    assert len(alive) == (kind == "forked")


def test_stopping_while_the_template_imports(kind, tmp_path, monkeypatch):
    """Torch takes seconds to import, and nobody may have to wait for that."""
    (tmp_path / "slow_import.py").write_text("import time; time.sleep(30)")
    monkeypatch.syspath_prepend(tmp_path)
    process.abandon()
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    workers = Workers(
        "odd_jobs",
        ["cpu"],
        memory=1 << 33,
        seconds=60,
        preload=("slow_import",),
        stop=stop,
    )
    monkeypatch.setattr(Workers, "_warm", kind == "forked")
    started = time.monotonic()
    assert list(workers.run([job("sleep", 60)])) == []
    assert time.monotonic() - started < 4


def test_an_error_where_outcomes_are_read_leaves_no_process(kind):
    workers = Workers("odd_jobs", ["cpu"], memory=1 << 33, seconds=20)
    running = workers.run([job("pid"), job("sleep", 60)])
    _, pid = next(running)
    running.close()
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == "zombie"


SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
import odd_jobs
from onnxattr.execution.local import Workers
def converse(channel, place):
    channel.send(odd_jobs.Do("pid"))
    print(channel.receive(odd_jobs.Done).value, flush=True)
    channel.send(odd_jobs.Do("spin"))
    channel.receive(odd_jobs.Done)
list(Workers("odd_jobs", ["cpu"], memory=1 << 33, seconds=60).run([converse]))
"""


def test_workers_die_with_their_parent():
    """Also a parent that is killed, and whose main module has no guard against being imported."""
    if not process.FORKS:
        pytest.skip("elsewhere a worker looks after its parent once a second")
    here = os.path.dirname(__file__)
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(here=here)], stdout=subprocess.PIPE, text=True
    )
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    worker.wait(timeout=5)
    assert not worker.is_running()


def test_files_of_the_working_directory_are_not_imported(kind, tmp_path, monkeypatch):
    """A vendor's directory may hold a `torch.py`, or a `msgspec.py`."""
    for name in ("msgspec", "json", "torch", "psutil"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    process.abandon()
    assert outcomes(job("pid"))[0].isdigit()
    assert not (tmp_path / "ran").exists()


def test_memory_limit():
    assert memory_limit(5) == 5
    assert 0 < memory_limit(None) <= psutil.virtual_memory().total * 3 // 4
