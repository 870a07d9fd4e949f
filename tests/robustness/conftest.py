"""Where the small models are, and the table that is shown behind the long form."""

import os
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "cli"))


def pytest_terminal_summary(terminalreporter):
    """Shows by category how many cases there are, and how many went as expected."""
    if os.environ.get("ROBUSTNESS") != "full":
        return
    from corpus import CATEGORIES, cases

    category = {case.name: case.category for case in cases()}
    found = {
        outcome: Counter(
            category[match[1]]
            for report in terminalreporter.stats.get(outcome, [])
            if (match := re.search(r"test_outcome\[(.+)\]", report.nodeid))
        )
        for outcome in ("passed", "failed")
    }
    if not any(found.values()):
        return
    terminalreporter.section("hostile files")
    terminalreporter.write_line(f"{'category':20}{'cases':>8}{'as expected':>14}")
    for each in CATEGORIES:
        count = sum(outcome[each] for outcome in found.values())
        terminalreporter.write_line(f"{each:20}{count:8}{found['passed'][each]:14}")
