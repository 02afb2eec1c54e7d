"""What a training leaves in its folder: weights, a log with its picture, and last what says that all is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from medfeat.evaluation.runs.reuse import believed_run
from medfeat.evaluation.runs.run import Run
from medfeat.finetuning.loop import Trained
from medfeat.finetuning.tuned_weights import WEIGHTS_FILE, write_weights
from medfeat.report.figures import curve_figure
from medfeat.report.run_tables import NAMES
from medfeat_cache import make_folder, replacing, write_whole
from medfeat_cache.reading import read_json

FORMAT = "medfeat-tuned"
VERSION = 1
_DONE_FILE = "tuned.json"
_LOG_FILE = "log.csv"
_CURVE_FILE = "curve.png"


def write_network(folder: Path, network: nn.Module, story: Mapping[str, Any]) -> Path:
    """Write the tuned weights where they stay, and return their file.

    Parameters
    ----------
    folder
        Of the training; made where it is not there.
    network
        Without head.
    story
        What it was made from.
    """
    make_folder(folder)
    for half in folder.glob(".*"):  # of a killed command
        half.unlink(missing_ok=True)
    path = folder / WEIGHTS_FILE
    write_weights(network, path, story)
    return path


def finished_run(folder: Path) -> Run | None:
    """Return the run of a training that was finished here; None where there is none."""
    try:
        run = str(read_json(folder / _DONE_FILE)["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return believed_run(folder.parents[2] / run, None)


def finish(folder: Path, run: Run, facts: Mapping[str, Any], trained: Trained) -> None:
    """Write the log and its picture, and last what says that everything is there."""
    columns = ("number", "loss", "first", "second", "lr", "seconds", "images_per_second")
    rows = [
        ",".join("" if (value := asdict(epoch)[name]) is None else str(value) for name in columns)
        for epoch in trained.epochs
    ]
    log = "\n".join([",".join(("epoch", "loss", "val", "val_second", *columns[4:])), *rows]) + "\n"
    write_whole(folder / _LOG_FILE, [log.encode()], "writing the log of a training")
    score = NAMES[run.headline[0]]
    losses = [epoch.loss for epoch in trained.epochs[1:]]
    figure = curve_figure(losses, [epoch.first for epoch in trained.epochs], trained.best, score)  # type: ignore[arg-type]  # the start alone has no loss
    with replacing(folder / _CURVE_FILE, "drawing a training") as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    assert run.folder is not None  # it has just been written
    done = {"format": FORMAT, "version": VERSION, "run": run.folder.relative_to(folder.parents[2]).as_posix(), **facts}
    write_whole(folder / _DONE_FILE, [json.dumps(done, indent=1).encode()], "finishing a training")
