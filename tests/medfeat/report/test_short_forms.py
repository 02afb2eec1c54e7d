"""What Python prints of a value is one short line, and what failed is shown in a notebook too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from medfeat.backbones import BACKBONES
from medfeat.datasets import dataset_from
from medfeat.evaluation.measures.evaluate import Metrics
from medfeat.report.shown import Shown
from medfeat.types import Interval
from medfeat.workflows.jobs.each import Failure
from medfeat.workflows.load import Loaded

HALF = Interval(0.51234567, 0.4, 0.6)
SHORT = {
    "Interval(0.5123 [0.4, 0.6], 95%)": HALF,
    "Metrics(n=8, auc 0.5123)": Metrics(8, {"auc": HALF}),
    "Loaded(X (3, 2), y (3,), 3 ids)": Loaded(np.zeros((3, 2)), np.zeros(3, np.int64), np.array(["a", "b", "c"])),
    "ObjectDataset('held', {'all': 4}, binary-class)": dataset_from(
        np.zeros((4, 8, 8), np.uint8), name="held", labels=[0, 1, 0, 1]
    ),
    "Entry('resnet18', torchvision, 224 px, pool avg)": BACKBONES["resnet18"],
}


@pytest.mark.parametrize("form", SHORT)
def test_a_value_is_printed_in_a_few_words(form):
    assert repr(SHORT[form]) == form


@dataclass(frozen=True)
class _Job:
    name: str


@pytest.mark.parametrize("field", ["failed", "failures"])
def test_what_failed_stands_below_the_tables_of_a_notebook(field):
    class Report(Shown):
        def tables(self):
            return []

    report = Report()
    setattr(report, field, (Failure(_Job("data x net"), "the file <a> is damaged"),))
    assert "<li>failed: data x net: the file &lt;a&gt; is damaged</li>" in report._repr_html_()
    setattr(report, field, ())
    assert "failed" not in report._repr_html_()
