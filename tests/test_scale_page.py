"""The page about a hundred million images: its tables are those of the simulation, and its blocks do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
from PIL import Image

from medfeat_cache import find_stores
from medfeat_cli.main import run
from scale_plans import MADE, PAGE, STALE_S, filled

TEXT = PAGE.read_text(encoding="utf-8")


def test_its_tables_are_those_of_the_simulation():
    assert filled(TEXT) == TEXT
    assert len(re.findall(r"made by benchmarks/scale_plans.py -->", TEXT)) == len(MADE)


def test_what_it_says_of_locks_and_parts_is_what_the_code_has():
    from medfeat.extraction.measure.choose import _MAX_PART_ROWS
    from medfeat_cache import lock
    from scale_plans import CHUNK

    assert (CHUNK, STALE_S) == (_MAX_PART_ROWS, lock.STALE_S)


def test_three_parts_are_cut_embedded_and_searched_as_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(f"{number}.png")
    Path("all.csv").write_text("path,label\n" + "".join(f"{number}.png,{number % 2}\n" for number in range(5)))
    cut, searched = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (embed,) = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert "PART = 500_000" in cut and embed.count("part-000") == 2
    exec(compile(cut.replace("500_000", "2"), "cut", "exec"), {})
    for number in range(3):
        assert run(shlex.split(embed.replace("part-000", f"part-00{number}"))[1:]) == 0
    exec(compile(searched, "searched", "exec"), {})
    said = capsys.readouterr().out
    assert "3 parts" in said and re.search(r"\[\(0\.99\d+|\[\(1\.0", said) and "'0.png'), (" in said
    assert [sum(one.counts.values()) for part in sorted(Path("stores").iterdir()) for one in find_stores(part)] == [
        2,
        2,
        1,
    ]
