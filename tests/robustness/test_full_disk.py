"""Disks that are full or may only be read: one line says so, and the ranking is there all the same.

The disks are real where the system lets a test mount them; a bound on the size of files is always.
"""

import os
import resource
import shutil
import subprocess
import sys

import pytest
from runs import Run, good_models, kept

from onnxattr.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts, and bounds of Linux")

#: Bytes that a file may have: fewer than a block takes.
SMALL = 4096


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return good_models(tmp_path_factory.mktemp("models"), 2)


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory):
    """The numbers of an undisturbed run, and its store."""
    root = tmp_path_factory.mktemp("whole") / "store"
    run = rank(models, "--store", root)
    assert run.process.returncode == 0, run.err
    return numbers(run), root


def rank(models, *arguments, **options):
    fixed = ("--limit", 32, "--device", "cpu", "-f", "json")
    run = Run(["rank", models, *fixed, *arguments], options)
    run.wait()
    assert run.left() == []
    assert "Traceback" not in run.err.decode()
    return run


def numbers(run):
    """Returns a ranking without what depends on the store."""
    differing = ("stored", "seconds", "warnings")
    return {key: value for key, value in run.json.items() if key not in differing}


@pytest.fixture
def disk(tmp_path):
    """A directory on a file system of its own, of 64 kB; and what makes it read-only."""
    folder, mount = tmp_path / "disk", shutil.which("mount")
    folder.mkdir()
    if mount is None or os.geteuid() != 0:
        pytest.skip("only the administrator may mount")

    def call(*options):
        return subprocess.run([mount, *options, folder], capture_output=True, check=False)

    if call("-t", "tmpfs", "-o", "size=64k", "tmpfs").returncode:
        pytest.skip("the system does not let a test mount")
    yield folder, lambda: call("-o", "remount,ro").check_returncode()
    subprocess.run([shutil.which("umount") or "umount", folder], check=True)


def fill(folder):
    """Leaves no byte on the disk of a directory."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))


def unusual(run):
    """Warnings beside those of every run: of a range, and of few probes."""
    usual = ("is assumed", "probes are few")
    return [line for line in run.told("warning") if not any(part in line for part in usual)]


def require_warning(run, *parts):
    """Makes sure that one line, beside those of every run, tells what went wrong."""
    assert run.process.returncode == 0, run.err
    (line,) = unusual(run)
    assert all(part in line for part in parts), line
    assert run.told("error") == run.told("hint") == []


def require_error(run, code, *parts):
    """Makes sure that one line tells why there is no result."""
    assert run.process.returncode == code, run.err
    (line,) = run.told("error")
    assert all(part in line for part in parts), line
    assert "bug" not in run.err.decode()
    assert run.out == b""


FULL = ("cannot be written: No space left on device", "new maps are not kept")


def test_a_full_store(models, whole, disk):
    folder, _ = disk
    fill(folder)

    run = rank(models, "--store", folder / "store")

    require_warning(run, *FULL)
    assert numbers(run) == whole[0]


def test_a_store_that_fills_up(models, whole, disk):
    """Two of the four blocks fit."""
    folder, _ = disk
    shutil.copytree(whole[1], folder / "store")
    _, *others = sorted(kept(folder / "store"))
    for name in others:
        (folder / "store" / name).unlink()
    (folder / "filler").write_bytes(bytes(64 * 1024 - 4 * 2**12 * 2))
    before = kept(folder / "store")

    run = rank(models, "--store", folder / "store")

    require_warning(run, *FULL)
    assert numbers(run) == whole[0]
    after = kept(folder / "store")
    assert before.items() <= after.items() <= kept(whole[1]).items()
    assert Store(folder / "store").check() == (len(after), [])
    assert list((folder / "store" / "tmp").iterdir()) == []


def test_a_store_that_may_only_be_read(models, whole, disk):
    folder, protect = disk
    shutil.copytree(whole[1], folder / "store")
    name = sorted(kept(folder / "store"))[0]
    (folder / "store" / name).unlink()
    before = kept(folder / "store")
    protect()

    run = rank(models, "--store", folder / "store")

    require_warning(run, "cannot be written: Read-only file system", "new maps are not kept")
    assert numbers(run) == whole[0]
    assert kept(folder / "store") == before


def test_a_full_store_that_may_only_be_read(models, whole, disk):
    """Everything is there: nothing needs to be written."""
    folder, protect = disk
    shutil.copytree(whole[1], folder / "store")
    protect()

    run = rank(models, "--store", folder / "store")

    assert run.process.returncode == 0
    assert unusual(run) == []
    assert numbers(run) == whole[0]
    assert len(run.json["stored"]) == 2


def test_small_files(models, whole, tmp_path):
    shutil.copytree(whole[1], tmp_path / "store")
    name = sorted(kept(tmp_path / "store"))[0]
    (tmp_path / "store" / name).unlink()
    before = kept(tmp_path / "store")

    run = rank(models, "--store", tmp_path / "store", preexec_fn=small_files)

    require_warning(run, "cannot be written: File too large", "new maps are not kept")
    assert numbers(run) == whole[0]
    assert kept(tmp_path / "store") == before
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


def test_a_result_on_a_full_disk(models, whole, disk):
    folder, _ = disk
    output = folder / "ranking.json"
    output.write_bytes(b"old")
    fill(folder)

    run = rank(models, "--store", whole[1], "-o", output)

    require_error(run, 2, f"`{output}` cannot be written: No space left on device")
    assert output.read_bytes() == b"old"
    assert sorted(os.listdir(folder)) == ["filler", "ranking.json"]


def test_a_result_on_a_disk_that_may_only_be_read(models, whole, disk):
    folder, protect = disk
    output = folder / "ranking.json"
    output.write_bytes(b"old")
    protect()

    run = rank(models, "--store", whole[1], "-o", output)

    require_error(run, 2, f"`{output}` cannot be written")
    assert output.read_bytes() == b"old"


def test_a_result_that_is_too_large(models, whole, tmp_path):
    output = tmp_path / "ranking.json"
    output.write_bytes(b"old")

    run = rank(models, "--store", whole[1], "-o", output, preexec_fn=small_files)

    require_error(run, 2, f"`{output}` cannot be written: File too large")
    assert output.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["ranking.json"]


def test_stdout_on_a_full_disk(models, whole):
    with open("/dev/full", "wb") as full:
        run = rank(models, "--store", whole[1], stdout=full)
        run.out = b""

    (line,) = run.told("error")
    assert "No space left on device" in line
    assert "bug" not in run.err.decode()
    assert run.process.returncode != 0


def test_stderr_on_a_full_disk(models, whole):
    """Nobody reads the messages, and the result is there."""
    with open("/dev/full", "wb") as full:
        run = Run(
            ["rank", models, "--limit", 32, "--device", "cpu", "-f", "json", "--store", whole[1]],
            {"stderr": full},
        )
        run.wait()

    assert run.process.returncode == 0
    assert numbers(run) == whole[0]
