"""Published results on the MedMNIST sets, each with its protocol, its source and how far it can be trusted."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from medfeat.errors import UsageError, unknown_name
from medfeat_cache.commands import command

# The course project's own systems in the order of its table, and the backbone of ours that stands beside each.
COURSE_SYSTEMS = {
    "AlexNet": ("alexnet",),
    "BEiT": ("beit",),
    "Inception-v3": ("inception_v3",),
    "VGG-16": ("vgg16",),
    "VGG-19": ("vgg19",),
    "ResNet-18": ("resnet18",),
    "ResNet-34": ("resnet34",),
    "ResNet-50": ("resnet50",),
    "ResNet-101": ("resnet101",),
    "ResNet-152": ("resnet152",),
    "SqueezeNet": ("squeezenet1_0", "squeezenet1_1"),
}
COURSE_DATASETS = ("bloodmnist", "octmnist")
_COURSE_SOURCE = "cmproject"


@dataclass(frozen=True)
class PublishedRow:
    """One published result.

    Attributes
    ----------
    dataset
        A MedMNIST name.
    system, backbone
        What was trained.
    training
        ``linear probe``, ``kNN``, ``fine-tuned``, ``from scratch``, ``end-to-end`` (start not stated),
        ``frozen, larger head``, ``frozen, classifier not stated`` or ``AutoML``.
    pixels
        What the network was shown: ``28 native``, ``28 enlarged to 224``, ``native 224``, ``64 zero-padded to 224`` ...
    native_size
        Side of the dataset's images in pixels; None when not stated.
    auc, acc
        Official scores as fractions; None when not published.
    auc_std, acc_std
        Spread over seeds, where published; not a confidence interval.
    source
        Key into `sources`.
    confidence
        ``high``: primary source, checked; ``medium``: README or secondary table; ``low``: known problem, no target.
    quoted
        The row repeats another source's number.
    test_selected
        The epoch was chosen on test, which flatters.
    note
        Anything else one must know.
    """

    dataset: str
    system: str
    backbone: str
    training: str
    pixels: str
    native_size: int | None
    auc: float | None
    auc_std: float | None
    acc: float | None
    acc_std: float | None
    source: str
    confidence: str
    quoted: bool
    test_selected: bool
    note: str

    @property
    def protocol(self) -> str:
        """Training and pixels in words."""
        return f"{self.training}, {self.pixels}"


@dataclass(frozen=True)
class Source:
    """Where results were published, and what to keep in mind when reading them."""

    source: str
    citation: str
    url: str
    caution: str


def rows(dataset: str) -> tuple[PublishedRow, ...]:
    """Return every published result on a dataset, quotations of other sources left out.

    Parameters
    ----------
    dataset
        One of `datasets`.

    Raises
    ------
    UsageError
        When nothing was published on that name.

    Examples
    --------
    >>> rows("bloodmnist")[0].system, rows("bloodmnist")[0].protocol
    ('ResNet-18 (28)', 'from scratch, 28 native')
    """
    found = tuple(row for row in _table() if row.dataset == dataset and not row.quoted)
    if not found:
        raise unknown_name("dataset", dataset, datasets(), f"(see {command('list', 'published')})")
    return found


def datasets() -> tuple[str, ...]:
    """Return the names on which something was published, in the table's order."""
    return tuple(dict.fromkeys(row.dataset for row in _table()))


def sources() -> dict[str, Source]:
    """Return every source by its key."""
    return {line["source"]: Source(**line) for line in _lines("published_sources.csv")}


def course(dataset: str) -> tuple[PublishedRow, ...]:
    """Return the course project's table for BloodMNIST or OCTMNIST: its 11 systems, then its five quoted baselines."""
    if dataset not in COURSE_DATASETS:
        raise UsageError(f"the course table has {' and '.join(COURSE_DATASETS)}, got {dataset!r}")
    mine = [row for row in _table() if row.dataset == dataset and row.source == _COURSE_SOURCE]
    return tuple(sorted(mine, key=lambda row: row.quoted))


@cache
def _table() -> tuple[PublishedRow, ...]:
    return tuple(_row(line) for line in _lines("published.csv"))


def _row(line: dict[str, str]) -> PublishedRow:
    facts: dict[str, Any] = dict(line)
    for key in ("auc", "auc_std", "acc", "acc_std"):
        facts[key] = float(line[key]) if line[key] else None
    facts["native_size"] = int(line["native_size"]) if line["native_size"] else None
    for key in ("quoted", "test_selected"):
        facts[key] = bool(line[key])
    return PublishedRow(**facts)


def _lines(name: str) -> Iterator[dict[str, str]]:
    text = resources.files("medfeat.evaluation.compare").joinpath(name).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())
