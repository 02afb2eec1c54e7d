"""A notebook shows bars and warnings by default, a script nothing, and a log hears everything."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from medfeat import saying
from medfeat.errors import MedfeatError, UsageError
from medfeat.saying import MedfeatWarning, heard, in_notebook, warn_of
from medfeat.types import SilentProgress
from medfeat.workflows.embed import embed
from medfeat.workflows.extract import extract
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe

QUICK = {"resamples": 20}


@pytest.fixture
def notebook(monkeypatch):
    """Stand in for the shell that a notebook's kernel runs."""
    shell = SimpleNamespace(kernel=object(), below=[])

    def display(shown, *, raw, display_id):
        assert raw and display_id
        shell.below.append(shown["text/plain"])
        return SimpleNamespace(update=lambda shown, raw: shell.below.append(shown["text/plain"]))

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return shell


@pytest.fixture
def bare_logging(monkeypatch):
    """Logging as a program finds it, and as the tests have it again afterwards."""
    root = logging.getLogger()
    before = root.level
    monkeypatch.setattr(root, "handlers", [])
    root.setLevel(logging.WARNING)
    # A library that sets up logging, as MLflow does, may have shut those that were there.
    monkeypatch.setattr(logging.getLogger("medfeat"), "disabled", False)
    yield
    root.setLevel(before)


def images(folder, *, bad=True):
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(6):
        place = folder / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(place / f"{i}.png")
    if bad:
        (folder / "a" / "bad.png").write_bytes(b"no picture")
    return folder


def test_a_script_and_a_terminal_of_ipython_are_no_notebook(monkeypatch, notebook):
    assert in_notebook()
    notebook.kernel = None
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()
    assert isinstance(heard(None), SilentProgress)


def test_a_notebook_shows_a_bar_and_what_is_worth_keeping(notebook, monkeypatch, capsys):
    monkeypatch.setattr(saying, "_SHORTEST", 0)
    progress = heard(None)
    progress.start(10, "embedding")
    progress.advance(4)
    progress.say("device: cpu")
    progress.finish()
    assert capsys.readouterr() == ("device: cpu\n", "")
    *bars, left = notebook.below
    assert bars[0].startswith("embedding:   0%|") and left == ""


@pytest.mark.parametrize(("level", "shown"), [("INFO", ["logged"]), ("WARNING", ["printed"]), (None, ["printed"])])
def test_a_log_that_a_notebook_shows_is_not_printed_beside_it(
    notebook, bare_logging, capsys, monkeypatch, level, shown
):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest came after the fixture
    if level:
        logging.basicConfig(level=level, format="logged %(message)s")
    heard(None).say("device: cpu")
    told = capsys.readouterr()
    assert [*["printed"] * (told.out == "device: cpu\n"), *["logged"] * (told.err == "logged device: cpu\n")] == shown


def test_embed_says_its_device_once_a_process(cache_root, caplog, monkeypatch):
    monkeypatch.setattr(sys.modules["medfeat.workflows.embed"], "_SAID", set())
    with caplog.at_level(logging.INFO, logger="medfeat"):
        for seed in (0, 1):
            pixels = np.random.default_rng(seed).integers(0, 256, (2, 8, 8), np.uint8)
            embed(pixels, "stats", device="cpu", cache_dir=cache_root)
    assert [record.getMessage() for record in caplog.records].count("device: cpu") == 1


def test_a_warning_stands_once_beside_a_log(notebook, monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger("medfeat"), "handlers", [logging.StreamHandler(sys.stderr)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(["bad.png was skipped"])
    assert capsys.readouterr().err == "bad.png was skipped\n"


def test_progress_that_was_asked_for_is_used(notebook):
    mine = SilentProgress()
    assert heard(mine) is mine


def test_images_that_cannot_be_read_are_warned_of_in_a_notebook_and_logged_in_a_script(
    notebook, monkeypatch, cache_root, tmp_path, caplog, capsys
):
    folder = images(tmp_path / "own")
    with pytest.warns(MedfeatWarning, match=r"bad\.png was skipped"):
        extract(str(folder), "stats", cache_dir=cache_root, device="cpu")
    monkeypatch.delitem(sys.modules, "IPython")
    capsys.readouterr()
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, logger="medfeat"):
        warnings.simplefilter("error")
        extract(str(folder), "stats", cache_dir=cache_root, device="cpu")
    levels = {record.levelname: record.getMessage() for record in caplog.records if record.name == "medfeat"}
    assert "bad.png was skipped" in levels["WARNING"] and "INFO" in levels
    assert capsys.readouterr() == ("", "")


def test_a_script_without_logging_hears_nothing():
    code = "from medfeat.saying import heard, warn_of; heard(None).say('x'); warn_of(['y'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_warnings_are_one_a_line(notebook):
    with pytest.warns(MedfeatWarning) as caught:
        warn_of(["one", "two"])
    assert [str(one.message) for one in caught] == ["one", "two"]


def test_results_are_short_where_python_prints_them_and_tables_in_a_notebook(make_store, cache_root):
    make_store()
    report = probe(head="linear", cache_dir=cache_root, **QUICK)
    assert repr(report) == "ProbeReport(1 run, reused=0, 1 note)"
    run = report.runs[0]
    assert repr(run) == f"Run({run.key[:12]}: bloodmnist / resnet18 / linear, test auc {run.test.auc.value:.3f})"
    page = report._repr_html_()
    assert page.count("<table") == 1 and f"{run.test.auc.value:.3f}" in page and "resnet18" in page
    labelled = predict(run.folder, data="bloodmnist", cache_dir=cache_root)
    assert len(repr(labelled)) < 400 and "400 ids" in repr(labelled)
    assert "<table" in labelled._repr_html_()


def test_names_that_are_no_html_stay_words(make_store, cache_root):
    make_store(dataset="<b>x", backbone="a&b")
    page = probe(head="linear", cache_dir=cache_root, **QUICK)._repr_html_()
    assert "<b>" not in page and "a&amp;b" in page


@pytest.mark.parametrize("names", ["nonesuch", ["nonesuch"], ["nonesuch", "nonesuch"]])
def test_a_name_that_is_not_known_is_raised_alone_and_in_a_list(cache_root, names):
    with pytest.raises(UsageError, match="nonesuch"):
        extract("synthetic-binary", names, cache_dir=cache_root)


def test_a_list_of_which_nothing_could_be_done_is_raised_and_one_that_went_on_is_logged(cache_root, caplog):
    with pytest.raises(MedfeatError, match=r"nothing was done, 2 failed: .*nonesuch.*; .*otherone"):
        extract("synthetic-binary", ["nonesuch", "otherone"], cache_dir=cache_root)
    with caplog.at_level(logging.WARNING, logger="medfeat"):
        report = extract("synthetic-binary", ["nonesuch", "stats"], cache_dir=cache_root, device="cpu")
    assert len(report.stores) == 1 and len(report.failures) == 1
    assert "nonesuch" in caplog.records[-1].getMessage()
