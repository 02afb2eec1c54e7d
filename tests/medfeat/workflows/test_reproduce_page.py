"""The pages on reproducing and on cards: blocks run, figures and the card are those that commands make."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.workflows.study import checked_cells, plan
from medfeat.workflows.studying.study_file import study_named
from medfeat_cli.main import run

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "reproduce.md").read_text(encoding="utf-8")
CARD = (DOCS / "data-card.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^`([\w.]+)`:\n\n)?^```(bash|toml|text)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROMISED = ("study course: 44 cells", "made 12 cells", "The course project's table", "equal: bit for bit")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A folder without data and with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))


def test_every_block_runs_and_says_what_the_text_promises(capsys):
    for name, kind, text in BLOCKS:
        if kind == "toml":
            Path(name).write_text(text)
        elif kind == "bash":
            for line in text.strip().splitlines():
                assert run(shlex.split(line)[1:]) == 0, line
    shown = capsys.readouterr()
    for promised in PROMISED:
        assert promised in shown.out + shown.err, promised
    assert re.search(r"^embedding\t4\t0\t0\t0\t0\t0$", shown.out, re.MULTILINE)
    assert re.search(r"^probe\t8\t0\t0\t0\t0\t0$", shown.out, re.MULTILINE)


def test_the_file_for_one_row_of_the_study_is_one(tmp_path):
    (text,) = [text for name, _, text in BLOCKS if name == "breast.toml"]
    Path("breast.toml").write_text(text)
    cells = checked_cells(study_named("breast.toml"))
    kinds = [cell.kind for cell in cells]
    assert (kinds.count("embedding"), kinds.count("probe")) == (20, 40)
    theirs = tomllib.loads((DOCS.parent / "medfeat" / "studies" / "medmnist+.toml").read_text(encoding="utf-8"))
    asked = tomllib.loads(text)
    assert set(asked["backbone"]) <= set(theirs["backbone"])
    assert (asked["size"], asked["head"]) == (theirs["size"], theirs["head"])
    images = sum(medmnist_sets()["breastmnist"].counts.values()) * len(asked["size"]) * len(asked["backbone"])
    assert f"{images:,}" in TEXT


def test_what_the_studies_take_is_what_their_plans_say():
    planned = plan("course")
    kinds = [one.cell.kind for one in planned.cells]
    assert f"{kinds.count('embedding')} embeddings, {kinds.count('probe')} probes" in TEXT
    assert f"| stores | {planned.disk_bytes / 1e9:.1f} GB |" in TEXT
    counts = [sum(medmnist_sets()[name].counts.values()) for name in ("bloodmnist", "octmnist")]
    assert f"{counts[0]:,} of BloodMNIST, {counts[1]:,} of OCTMNIST" in TEXT
    assert f"{sum(counts):,} a network, {11 * sum(counts) / 1e6:.1f} million in all" in TEXT


def test_the_large_study_takes_what_the_page_says():
    from medfeat.backbones.backbone_table import BACKBONES

    asked = [cell.options for cell in checked_cells(study_named("medmnist+")) if cell.kind == "embedding"]
    images = [sum(medmnist_sets()[one["data"]].counts.values()) for one in asked]
    room = sum(4 * n * BACKBONES[one["backbone"]].info.dim for n, one in zip(images, asked, strict=True))
    assert f"{sum(images) / 1e6:.1f} million images" in TEXT
    assert f"\n{room / 1e9:.0f} GB of stores" in TEXT
    assert f"{len(checked_cells(study_named('medmnist+'))):,} cells" in TEXT


def test_the_example_card_is_the_one_that_its_commands_write(tmp_path):
    (example,) = re.findall(r"^```markdown\n(.*?)^```$", CARD, re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^```bash\n(.*?)^```$", CARD, re.MULTILINE | re.DOTALL)
    for line in commands.splitlines()[:2]:
        assert run(shlex.split(line)[1:]) == 0
    (made,) = Path("cache").glob("runs/*/*/card.md")
    text = made.read_text(encoding="utf-8").replace(made.parent.name[:12], "RUN")
    when = r"made \S+ by medfeat \d+\.\d+\.\d+"
    number = r"(?<![\w.])\d+\.\d+"
    said = [re.sub(when, "made", one) for one in (example, text)]
    assert re.sub(number, "#", said[0]) == re.sub(number, "#", said[1])
    found = [[float(one) for one in re.findall(number, part)] for part in said]
    assert found[0] == pytest.approx(found[1], abs=0.02)  # another processor adds up in another order
