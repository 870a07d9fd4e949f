"""The built wheel works outside of the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"onnxattr", "onnxattr_adapters"}
    assert "onnxattr/py.typed" in names
    assert sum(name.endswith(".webp") for name in names) == 200
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 5e6


def test_an_installed_wheel_ranks(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "-q"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = subprocess.run(
        [sys.executable, "-c", "import onnxattr; print(onnxattr.__file__)"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(site)
    models = sorted((ROOT / "samples/models").glob("rgb2*.onnx"))
    ranked = subprocess.run(
        [
            str(site / "bin/onnxattr"),
            "rank",
            *map(str, models),
            "--limit",
            "4",
            "-f",
            "csv",
            "--report",
            "page.html",
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ranked.returncode == 0, ranked.stderr
    assert len(ranked.stdout.splitlines()) == 1 + len(models) * (len(models) - 1)
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
