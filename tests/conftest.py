"""The option that rewrites golden files."""

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--overwrite", action="store_true", help="rewrite golden files instead of comparing"
    )


@pytest.fixture
def overwrite(request):
    return request.config.getoption("--overwrite")
