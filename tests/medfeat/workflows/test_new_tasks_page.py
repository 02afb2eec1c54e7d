"""The page "reuse embeddings for a new task" does what it says, block by block."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from medfeat.workflows.extract import extract
from medfeat_cache import FeatureStore, find_stores
from medfeat_cli.main import run

from .embedded import export_images

PAGE = Path(__file__).parents[3] / "docs" / "new-tasks.md"
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PROMISED = (
    "synthetic, task halves",
    "unchanged runs were reused",
    "synthetic, task reader2",
    "ridge",
    "over draws",
    "concat of 2",
    "chosen among",
    "trained on ",
    "images, ",
    "nearest to test/7",
    "likely label errors",
    "stats, linear, 5 folds",
    "stats, linear, 3 groups",
    "linear on worse copies of its test images",
)


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with everything the page names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    extract("synthetic-binary", "stats", device="cpu")
    images = export_images(tmp_path / "new_images", "synthetic", "val")
    for number, image in enumerate(sorted(images.iterdir())):
        if number >= 20:
            image.unlink()
        else:
            image.rename(images / f"{number}.png")
    ids = [f"{group}/{i}" for group, n in (("train", 1200), ("val", 200), ("test", 400)) for i in range(n)]
    for name, rule in (("reader2", lambda i: ("benign", "malignant")[i % 3 == 0]), ("ages", lambda i: 40 + i % 17 / 2)):
        rows = [f"{one},{rule(i)}" for i, one in enumerate(ids)]
        Path(f"{name}.csv").write_text("\n".join(["id,label", *rows]))
    Path("hospitals.csv").write_text(
        "\n".join(["id,hospital", *(f"{one},{'ABC'[i % 3]}" for i, one in enumerate(ids))])
    )
    return tmp_path


def test_every_block_runs_and_prints_what_the_text_promises(there, capsys):
    scope: dict = {}
    said = []
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), scope)
        else:
            for line in text.replace("\\\n", " ").strip().splitlines():
                assert run(shlex.split(line)[1:]) == 0, line
        shown = capsys.readouterr()
        said.append(shown.out + shown.err)
    everything = "\n".join(said)
    for promised in PROMISED:
        assert promised in everything, promised
    assert Path("curve.png").stat().st_size > 5000
    assert len(Path("silver.csv").read_text().splitlines()) == 21
    assert Path("audit/duplicates.csv").is_file() and Path("audit/label_errors.csv").is_file()
    stores = find_stores(there / "cache", dataset="synthetic", backbone="stats")
    with FeatureStore(stores[0].path) as store:
        assert sum(store.n(group) for group in store.groups) == 1800
