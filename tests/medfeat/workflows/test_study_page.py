"""The page on studies does what it says, block by block."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from medfeat_cli.main import run

PAGE = Path(__file__).parents[3] / "docs" / "study.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^`([\w.]+)`:\n\n)?^```(python|bash|toml)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROMISED = (
    "time of all that is missing: not known",
    "made 12 cells",
    "made 0 cells",
    "#SBATCH --array=1-8",
    "equal: bit for bit",
    "0 cells left, 0 failed",
)


def test_every_block_runs_and_says_what_the_text_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    scope: dict = {}
    for name, kind, text in BLOCKS:
        if kind == "toml":
            Path(name).write_text(text)
        elif kind == "python":
            exec(compile(text, str(PAGE), "exec"), scope)
        else:
            for line in text.strip().splitlines():
                assert run(shlex.split(line)[1:]) == 0, line
    shown = capsys.readouterr()
    everything = shown.out + shown.err
    for promised in PROMISED:
        assert promised in everything, promised
    assert {path.name for path in Path("grid").iterdir()} == {"study.toml", "manifest.json", "report.html"}


def test_its_table_names_every_ready_made_study():
    from medfeat.workflows.studying.study_file import ready_made

    assert sorted(re.findall(r"^\| `(\S+)` \|", TEXT, re.MULTILINE)) == ready_made()
