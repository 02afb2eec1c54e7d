"""The page "bring your own head, backbone or dataset" does what it says, block by block."""

from __future__ import annotations

import re
import shlex

import pytest

from installing import FILES, PAGE, forget
from medfeat.heads import HEADS
from medfeat_cli.main import run

TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```$", FILES.sub("", TEXT), re.MULTILINE | re.DOTALL)
PROMISED = (
    "The mean embedding of each class",
    "120 x 8",
    "centroid rings {'temperature'",
    "120 predicted",
    "noise: (60, 10) (60,) all",
    "labelled: 8 all/0",
    "in the order given: [np.str_('all/0'), np.str_('all/1')] True",
    "mine pools by avg",
    "vectors: (60, 8)",
    "of a program: bayes the head was not saved, so it cannot predict: a __main__.Bayes cannot be saved",
    "folds: 3",
    "frame: (60, 10) ['split', 'id']",
)


@pytest.fixture
def installed(clinic_site, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(clinic_site))
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield
    forget("clinic")
    if "bayes" in HEADS:
        HEADS.remove("bayes")


def test_every_block_runs_and_prints_what_the_text_promises(installed, capsys):
    scope: dict = {"__name__": "__main__"}
    said = []
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), scope)
        else:
            for line in text.strip().splitlines():
                assert run(shlex.split(line)[1:]) == 0, line
        shown = capsys.readouterr()
        said.append(shown.out + shown.err)
    everything = "\n".join(said)
    for promised in PROMISED:
        assert promised in everything, promised
