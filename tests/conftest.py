"""The option that rewrites golden files, and a store that is not the user's."""

import hypothesis
import pytest

# Seconds of an example say how busy the machine is; what bounds time has a test that says so.
hypothesis.settings.register_profile("here", hypothesis.settings(deadline=None))
hypothesis.settings.load_profile("here")


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """No test finds maps of another, nor leaves any among the user's."""
    monkeypatch.setenv("ONNXATTR_STORE", str(tmp_path_factory.mktemp("store")))


def pytest_addoption(parser):
    parser.addoption(
        "--overwrite", action="store_true", help="rewrite golden files instead of comparing"
    )
    parser.addoption(
        "--device", default="meta", help="where tests of devices run, by torch's name; default meta"
    )


@pytest.fixture
def overwrite(request):
    return request.config.getoption("--overwrite")
