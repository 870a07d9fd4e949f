"""Files of a kilobyte whose maps, side by side, would fill the memory of the process that compares.

Each of them stays below every limit; what they are brought onto together does not.
"""

import subprocess
import sys

import pytest
from small_models import encoder, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="takes a bound on memory")

#: Bytes that the process may map once its workers have a parent of their own.
MOST = 4 << 30

RANK = """
import resource, sys
import onnxattr

def rank(models, limit):
    options = onnxattr.Options(limit=limit, device="cpu", store=None)
    return onnxattr.rank(models, options=options)

good, bad = sys.argv[2:4], sys.argv[4:]
rank(good, 2)
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
try:
    result = rank([*good, *bad], 8)
except onnxattr.OnnxattrError as error:
    print("refused", error.message)
else:
    assert {"good-0", "good-1"} <= {model.name for model in result.models}
    print("ranked", *(failure.name for failure in result.failures))
"""


def of_size(height, width):
    proto = encoder(3)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    return proto


def test_a_canvas_that_no_memory_holds(tmp_path):
    good = [save(encoder(n), tmp_path / f"good-{n}.onnx") for n in range(2)]
    bad = [
        save(of_size(8192, 1), tmp_path / "tall.onnx"),
        save(of_size(1, 8192), tmp_path / "wide.onnx"),
    ]

    ended = subprocess.run(
        [sys.executable, "-c", RANK, str(MOST), *map(str, good), *map(str, bad)],
        capture_output=True,
        timeout=300,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr.decode()[-1000:]
    assert ended.stdout.startswith(b"ranked")
