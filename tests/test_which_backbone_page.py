"""The page that recommends backbones says what the files say that it names."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from medfeat.backbones.backbone_table import BACKBONES
from medfeat.datasets.medmnist_table import medmnist_sets

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "which-backbone.md").read_text(encoding="utf-8")
PUBLISHED = ROOT / "medfeat" / "evaluation" / "compare" / "published.csv"
SETS = {name for name, facts in medmnist_sets().items() if facts.ndim == 2}


def tables(text=TEXT):
    """Return the tables of the page as lists of rows of cells, without their headings."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in one.splitlines()] for one in found]
    return [one[2:] for one in rows]


@pytest.fixture(scope="module")
def published():
    with PUBLISHED.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mean(rows, metric, **wanted):
    found = {row["dataset"]: float(row[metric]) for row in rows if all(row[k] == v for k, v in wanted.items())}
    assert set(found) == SETS
    return sum(found.values()) / len(found)


def test_the_means_are_those_of_the_published_table(published):
    rows = [row for row in published if row["source"] == "doerrich2025"]
    first = tables()[0]
    assert len(first) == 10
    for name, network, *figures in first:
        assert name.strip("`") in BACKBONES
        here = [row for row in rows if row["system"] == network]
        made = (
            ("auc", "linear probe", "28"),
            *((metric, "linear probe", "224") for metric in ("auc", "acc")),
            ("acc", "kNN", "224"),
            ("acc", "fine-tuned", "224"),
        )
        for figure, (metric, training, size) in zip(figures, made, strict=True):
            value = mean(here, metric, training=training, native_size=size)
            assert figure == f"{value:.3f}", (network, metric, training, size)


def test_the_best_of_each_set_is_the_best_of_the_published_table(published):
    rows = tables()[1]
    assert {row[0] for row in rows} == SETS
    for dataset, _, network, auc, medical, medical_auc in rows:
        frozen = [
            row
            for row in published
            if (row["dataset"], row["source"], row["training"], row["native_size"])
            == (dataset, "doerrich2025", "linear probe", "224")
        ]
        theirs = [row for row in published if (row["dataset"], row["source"]) == (dataset, "biofuse2026")]
        for best, name, figure in ((frozen, network, auc), (theirs, medical.removesuffix(" (†)"), medical_auc)):
            top = max(float(row["auc"]) for row in best)
            assert f"{top:.3f}" == figure
            assert name in {row["system"] for row in best if float(row["auc"]) == top}


def test_what_was_measured_here_stands_on_the_page_of_results():
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for dataset, *figures in tables()[2]:
        name = dataset.partition(",")[0]
        part = results[results.index(f"### {name}") :].partition("\n### ")[0]
        for network, figure in zip(("squeezenet1_1", "mobilenetv2_100", "pixels"), figures, strict=True):
            there = [line for line in part.splitlines() if line.startswith(f"| {network} |") and "| linear |" in line]
            assert any(figure in line for line in there), (dataset, network)


def test_costs_and_licences_are_those_of_the_files():
    costs = json.loads((ROOT / "benchmarks" / "results" / "backbone_cost.json").read_text(encoding="utf-8"))
    measured = {row["network"]: row for row in costs["rows"]}
    images = sum(medmnist_sets()["bloodmnist"].counts.values())
    said = {}
    for names, millions, seconds, minutes, licence, overlap in tables()[3]:
        first, *others = re.findall(r"`(\w+)`", names)
        row = measured[first]
        assert float(millions) == row["millions_of_parameters"]
        assert float(seconds) == pytest.approx(row["seconds_an_image"], abs=5.1e-4)
        assert float(minutes.removesuffix(" min")) == pytest.approx(row["seconds_an_image"] * images / 2 / 60, abs=0.6)
        for name in (first, *others):
            info = BACKBONES[name].info
            assert re.match(r"[\w.-]+", info.licence)[0] in licence, name
            assert not info.overlap and "none known" in overlap
            same = BACKBONES[first].info
            assert (info.input_size, info.dim) == (same.input_size, same.dim)
        said[first] = names
    assert set(said) == set(measured)
