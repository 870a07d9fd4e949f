"""An audit that is told to stop: it ends with what there is, and accuses nobody by the rest."""

import threading

import audited_files as files
import pytest

import onnxattr
from onnxattr.errors import RankingError
from onnxattr.pipeline.audit_work import Work
from onnxattr.pipeline.options import Silent
from onnxattr.types.audit import DERIVED, IDENTICAL, UNDECIDABLE

FEW = onnxattr.Options(limit=4, device="cpu", store=None)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    victim = files.net(0)
    return files.saved(
        tmp_path_factory.mktemp("stopped"),
        victim=files.file_of(victim),
        permuted=files.file_of(files.permuted(victim)),
        reexported=files.file_of(victim, prefix="z_"),
        stranger=files.file_of(files.net(1)),
    )


def audit(paths, stop, progress=None):
    known = [paths[name] for name in ("permuted", "reexported", "stranger")]
    return onnxattr.audit(paths["victim"], against=known, options=FEW, stop=stop, progress=progress)


def test_nothing_is_begun_after_the_end(paths):
    stop = threading.Event()
    stop.set()
    with pytest.raises(RankingError, match="interrupted before the suspect was read"):
        audit(paths, stop)


def test_what_weights_told_before_stands(paths, monkeypatch):
    stop = threading.Event()
    before = Work.watch

    def stopping(work, ways):
        stop.set()
        return before(work, ways)

    monkeypatch.setattr(Work, "watch", stopping)
    found = audit(paths, stop)
    assert (found.verdict.kind, found.verdict.reference) == (IDENTICAL, "reexported")
    assert found.unfinished == ("permuted", "reexported", "stranger")
    assert found.warnings[0].startswith("the audit is partial: 3 models were not finished")
    kinds = {each.reference: each.finding.kind for each in found.relations}
    assert kinds["permuted"] == "derived"
    assert found.failures == ()
    # Of what only the stranger's weights say, nothing follows.
    known = onnxattr.audit(
        paths["victim"], against=paths["stranger"], options=FEW, stop=_once(monkeypatch, before)
    )
    assert known.verdict.kind == UNDECIDABLE
    assert known.verdict.reasons == ("the audit ended before all was compared",)


def _once(monkeypatch, before):
    stop = threading.Event()

    def stopping(work, ways):
        stop.set()
        return before(work, ways)

    monkeypatch.setattr(Work, "watch", stopping)
    return stop


def test_without_maps_the_rest_is_compared(paths):
    stop = threading.Event()

    class Stopping(Silent):
        def begin(self, models, probes, device):
            stop.set()

    found = audit(paths, stop, Stopping())
    assert found.verdict.kind in (IDENTICAL, DERIVED)
    assert found.nearest is None
    measured = {e.measure: e.value for e in found.relations[0].behaviour}
    assert measured["rsa"] == pytest.approx(1, abs=1e-6)
    assert measured["whitened gradients"] != measured["whitened gradients"]
    assert set(found.unfinished) == {"victim", "permuted", "reexported", "stranger"}
