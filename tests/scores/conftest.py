"""Files with tables in them."""

import pytest


@pytest.fixture
def file(tmp_path):
    """Writes a file and returns its path."""

    def file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file
