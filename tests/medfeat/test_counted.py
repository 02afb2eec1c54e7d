"""What is counted is in the singular where it is one, with the verb that goes with it."""

from __future__ import annotations

from types import SimpleNamespace

from medfeat.counted import counted, counted_are, counted_have
from medfeat.report.own_tables import _split
from medfeat.workflows.export import ExportReport


def test_one_is_singular_and_thousands_are_parted():
    assert [counted(n, "class", "classes") for n in (0, 1, 1200)] == ["0 classes", "1 class", "1,200 classes"]
    assert [counted_are(n, "image") for n in (1, 2)] == ["1 image is", "2 images are"]
    assert [counted_have(n, "run") for n in (1, 2)] == ["1 run has", "2 runs have"]


def test_messages_about_one_thing_say_so(tmp_path):
    assert "1 file, 0.0 MB" in ExportReport("k" * 64, tmp_path, {"run.json": 9}).lines()[0]
    run = SimpleNamespace(task={"origin": "own"}, test=SimpleNamespace(n=1))
    assert _split(run) == "own; intervals: test-set uncertainty of 1 sample"
