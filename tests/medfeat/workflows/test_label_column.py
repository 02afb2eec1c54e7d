"""Another column of the CSV that images came from is asked of the same vectors, by its name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.runs.run import read_scores
from medfeat.workflows.cross_validate import cross_validate
from medfeat.workflows.looking.made_again import made_again
from medfeat.workflows.probe import probe

from .embedded import QUICK, embed

ROWS, STAGES = 40, ("low", "mid", "high", "top")


@pytest.fixture
def clinic(tmp_path):
    """A CSV as a clinic has it: an `id` that is none of the images, two labels, a file that is not there."""
    lines = ["id,file,finding,stage,hospital"]
    for i in range(ROWS):
        pixels = np.random.default_rng(i).integers(60 * (i % 4), 60 * (i % 4) + 60, (12, 12), np.uint8)
        if i:
            Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
        lines.append(f"case {i},{i:02}.png,{'ab'[i % 2]},{['low', 'mid', 'high', 'top'][i % 4]},{'NS'[i < 20]}")
    (tmp_path / "clinic.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "clinic.csv"


@pytest.fixture
def stored(clinic, counting, cache_root):
    embed(cache_root, clinic, path_column="file", label_column="finding")
    return cache_root


def test_another_column_is_another_task_of_the_same_vectors(stored, counting):
    seen = counting.images
    usual, run = (
        probe("clinic", label_column=one, head="linear", cache_dir=stored, **QUICK).runs[0] for one in (None, "stage")
    )
    assert counting.images == seen
    assert (run.task["name"], run.task["classes"]) == ("stage", ["high", "low", "mid", "top"])
    assert usual.task["classes"] == ["a", "b"]
    scores = read_scores(run.folder)
    truth = [run.task["classes"].index(STAGES[int(name[:2]) % 4]) for name in scores["test_ids"]]
    assert scores["test_labels"].ravel().tolist() == truth
    assert sorted(scores["test_ids"].tolist()) == sorted(read_scores(usual.folder)["test_ids"].tolist())
    assert "--label-column stage" in made_again(run, {}, {})


def test_groups_are_found_in_the_file_of_the_images(stored):
    report = cross_validate("clinic", group_column="hospital", cache_dir=stored, head="linear", **QUICK)
    assert sorted(report.found[0].to_dict()["within"]) == ["N", "S"]


def test_columns_that_are_nowhere_are_told(stored, counting):
    with pytest.raises(DataError, match=r"no column 'grade'; its header is id, path, finding, stage, hospital"):
        probe("clinic", label_column="grade", cache_dir=stored, head="linear", **QUICK)
    embed(stored)
    with pytest.raises(UsageError, match=r"--label-column is a column of --labels FILE.csv: .* came from no CSV$"):
        probe("synthetic-binary", label_column="grade", cache_dir=stored, head="linear", **QUICK)
