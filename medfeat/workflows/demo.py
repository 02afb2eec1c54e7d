"""The whole main job on made-up images: extract, probe, baselines, a picture. The internet is not needed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.backbones import readiness
from medfeat.report.tables import plain
from medfeat.saying import heard
from medfeat.types import Progress
from medfeat.workflows.extract import extract
from medfeat.workflows.load import load
from medfeat.workflows.probe import ProbeReport, probe
from medfeat.workflows.results.extract_report import ExtractReport

DATA = "synthetic"
DEEP = "squeezenet1_1"
_BASELINES = "stats,pixels"


@dataclass(frozen=True)
class DemoReport:
    """What the demo made.

    Attributes
    ----------
    extracted, probed
        The reports of the two commands it stands for.
    picture
        PNG: scores with their intervals, and the embeddings in two dimensions.
    notes
        What one must know to read it.
    seconds
        Wall time.
    """

    extracted: ExtractReport
    probed: ProbeReport
    picture: Path
    notes: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "extract": self.extracted.to_dict(),
            "probe": self.probed.to_dict(),
            "picture": str(self.picture),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """Return what a person reads, the table first."""
        where = [f"picture: {self.picture}", f"stores and runs: {self.picture.parent}", f"took {self.seconds:.0f} s"]
        return [*self.extracted.lines(), "", *plain(self.probed.tables()).splitlines(), "", *self.notes, *where]


def demo(out: str | Path = "demo", *, progress: Progress | None = None) -> DemoReport:
    """Run the demo.

    Parameters
    ----------
    out
        A folder for stores, runs and the picture; made if it is not there.
    progress
        Hears of every step.

    Returns
    -------
    DemoReport
        With the score of a deep backbone beside those of baselines. Where the pretrained weights are not on this
        machine the deep backbone is untrained, and is called random everywhere.
    """
    from medfeat.report.overview import overview_figure

    started = time.perf_counter()
    folder = Path(out).absolute()
    progress = heard(progress)
    ready, found = readiness(DEEP)
    notes = ["The images are made up: a score here says that everything works, nothing about medicine."]
    if not ready:
        notes.append(f"The pretrained weights of {DEEP} are not here ({found}): it runs with random weights.")
    baselines = extract(DATA, _BASELINES, cache_dir=folder, offline=True, progress=progress)
    weights = None if ready else "random"
    deep = extract(DATA, DEEP, weights=weights, cache_dir=folder, offline=True, progress=progress)
    probed = probe(DATA, cache_dir=folder, progress=progress)
    name = deep.stores[0].backbone
    X, labels, _ = load(DATA, name, split="test", cache_dir=folder)
    classes = probed.runs[0].task["classes"]
    runs = [*probed.runs, *probed.baselines]
    picture = overview_figure(runs, X, labels.astype(np.int64), classes, folder / "demo.png", embedding=name)
    extracted = ExtractReport(baselines.stores + deep.stores, baselines.failures + deep.failures, deep.device)
    return DemoReport(extracted, probed, picture, tuple(notes), time.perf_counter() - started)
