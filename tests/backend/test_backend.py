"""The ONNX backend suite: values as expected, gradients as finite differences have them.

Each case is run with its parameters fed and with its parameters stored. `cases` says which count,
`exclusions` what is not as the suite has it; `docs/operators.md` shows the outcome.
"""

import pytest
from cases import MODES, arranged, is_core, reference, suite
from exclusions import GEOMETRY, REFUSED, VALUES, VERSIONS, ZERO
from outcomes import gradient, has_gradients, matching, mode_of, values
from report import PAGE, page
from versions import earlier, problem

from onnxattr.convert.refusals import refusals
from onnxattr.convert.support import unsupported
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise

ALL = [(id, mode) for id in suite() for mode in MODES]
SMOOTH = [(id, mode) for id, mode in ALL if has_gradients(suite()[id])]


def zero(id, name, mode, patterns=ZERO):
    return matching(f"{id} {name}", patterns) or matching(f"{id} {name}, {mode}", patterns)


@pytest.mark.parametrize(("id", "mode"), ALL)
def test_values(id, mode):
    problem = values(suite()[id], mode)
    reason = matching(id, VALUES | REFUSED)
    assert bool(problem) == bool(reason), problem or f"it is excluded ({reason}), and yet passes"


@pytest.mark.parametrize(("id", "mode"), SMOOTH)
def test_gradients(id, mode):
    if reason := matching(id, REFUSED):
        pytest.skip(reason)
    outcome = gradient(suite()[id], mode)
    assert not outcome.problem
    for name in outcome.checked:
        reason = zero(id, name, mode)
        is_zero = name in outcome.zero
        assert is_zero == bool(reason), f"`{name}` has {'no' if is_zero else 'a'} gradient"


@pytest.mark.parametrize("key", earlier())
def test_values_in_earlier_opsets(key):
    assert not problem(key) or matching(key, VERSIONS)


@pytest.mark.parametrize("mode", MODES)
def test_what_runs_is_not_refused_and_what_is_refused_is_named(mode):
    """`inspect` says before a case is run whether it can be."""
    for id, case in suite().items():
        if case.kind == "real" or mode_of(case, mode) != mode:
            continue
        dialect = normalise(load(arranged(case, mode)[0]))
        stopped = bool(unsupported(dialect) or refusals(dialect).refused)
        assert stopped == bool(matching(id, REFUSED)), id


def test_the_cases_that_count_are_those_of_the_comparison():
    if reference() is None:
        pytest.skip("the list of cases that count is not here")
    core = {id for id, case in suite().items() if is_core(case)}
    assert core == reference()["core"]
    assert len(core) == 1756
    assert len(reference()["gradable"]) == 1353


@pytest.mark.parametrize("mode", MODES)
def test_how_many_match(mode):
    if reference() is None:
        pytest.skip("the list of cases that count is not here")
    assert sum(not values(suite()[id], mode) for id in reference()["core"]) >= 1740


@pytest.mark.parametrize("mode", MODES)
def test_every_gradient_that_there_can_be_is_right(mode):
    """Also by an engine that is not ours, for every input."""
    if reference() is None:
        pytest.skip("the list of cases that can have a gradient is not here")
    for id in reference()["gradable"]:
        outcome = gradient(suite()[id], mode)
        assert outcome.checked, id
        assert not outcome.problem, id
        assert all(outcome.engine), id


def test_every_exclusion_is_of_something():
    ids = list(suite())
    for pattern in (*VALUES, *REFUSED):
        assert any(matching(id, {pattern: "it"}) for id in ids), pattern
    gradients = [(id, n, m) for id, m in SMOOTH for n in gradient(suite()[id], m).zero]
    for pattern in ZERO:
        assert any(zero(*entry, {pattern: "it"}) for entry in gradients), pattern
    for pattern in VERSIONS:
        assert any(matching(key, {pattern: "it"}) for key in earlier()), pattern
    found = {
        (node.op_type, i)
        for case in suite().values()
        for node in case.model.graph.node
        for i, name in enumerate(node.input)
        if name
    }
    assert GEOMETRY.keys() <= found


def test_the_page_is_up_to_date(overwrite):
    if overwrite:
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "run `python tests/backend/report.py`"
