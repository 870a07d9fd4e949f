"""Makes the adapters importable from a checkout that is not installed."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "adapters"
if str(FOLDER) not in sys.path:
    sys.path.insert(0, str(FOLDER))
