"""Write the last section of docs/results.md: networks tuned in every mode on official data, beside their probes.

    MEDFEAT_REAL_DATA=FOLDER python tools/make_tuned_results.py CACHE [SET ...]

FOLDER holds the official npz files and the weights that the page names. What the cache holds is not made again; with
names of sets only these are trained and the page is left alone, so that several can be trained side by side.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from make_results import PAGE, TUNED, WEIGHTS

import medfeat
from medfeat.extraction.device import processor_name
from medfeat.report.tables import Table, markdown, number, with_interval
from medfeat.workflows.finetune import TUNED as FOLDER
from medfeat.workflows.finetune import finetune
from medfeat.workflows.finetune_report import FinetuneReport
from medfeat_cli.progress import for_terminal

SETS = ("breastmnist", "retinamnist")
# Where only part of the network runs in an epoch, there is time for more of them.
EPOCHS = {"full": 3, "lora": 3, "last-blocks": 10, "head": 10}

HEAD = """
Networks tuned from their linear probes with `medfeat finetune`, everything left at its default but the number of
epochs: 3 of `full` and `lora`, 10 of `last-blocks` and `head`. Val chose the epoch, epoch 0 being the probe itself:
where no epoch was better on val, the start was kept and the difference is nothing. Then test was read. Differences
are tuned minus probe with 95 % paired bootstrap intervals; loss is the mean over train of the first and of the last
epoch; seconds are of training alone, on {threads} thread(s) of a busy machine ({processor}, torch {torch}).
EfficientNet-Lite0 is missing: its weights were not at hand.

"""


def tune(folder: Path, cache: Path, name: str) -> Iterator[FinetuneReport]:
    """Tune each network in each mode on a set, or find what was."""
    for backbone, file in WEIGHTS.items():
        for mode, epochs in EPOCHS.items():
            yield finetune(
                name,
                backbone,
                weights=folder / file,
                data_root=folder,
                mode=mode,
                epochs=epochs,
                precision="fp32",
                device="cpu",
                cache_dir=cache,
                progress=for_terminal(),
            )


def losses(report: FinetuneReport, cache: Path) -> tuple[float, float]:
    """Return the training loss of the first and of the last epoch, from the log beside the weights."""
    (run,) = report.runs
    for log in (cache / FOLDER / run.dataset).glob("*/log.csv"):
        if run.key[:12] in (log.parent / "tuned.json").read_text():
            found = [float(row["loss"]) for row in csv.DictReader(log.open()) if row["loss"]]
            return found[0], found[-1]
    raise LookupError(f"no log of run {run.key[:12]}")


def row(report: FinetuneReport, cache: Path) -> tuple[str, ...]:
    """One line a training."""
    (pair,) = report.beside
    settings = pair.run.choice["settings"]
    first, last = losses(report, cache)
    return (
        pair.run.backbone,
        settings["mode"],
        f"{settings['epoch']} of {pair.run.protocol['fine_tuning']['epochs']}",
        f"{first:.3f} to {last:.3f}",
        f"{number(pair.start.val.auc.value)} to {number(pair.run.val.auc.value)}",
        with_interval(pair.run.test.auc),
        *(with_interval(one.difference) for one in pair.differences),
        number(pair.run.costs["probe"]["seconds"], 0),
        number(pair.run.costs["probe"]["energy_wh"], 2),
    )


def main() -> None:
    """Train what is missing; write the section when every set was asked for."""
    folder, cache = Path(os.environ["MEDFEAT_REAL_DATA"]), Path(sys.argv[1])
    columns = (
        "network", "mode", "epoch chosen", "loss", "val AUC", "test AUC", "AUC, minus probe", "ACC, minus probe",
        "training s", "Wh",
    )  # fmt: skip
    tables = []
    for name in sys.argv[2:] or SETS:
        rows = tuple(row(report, cache) for report in tune(folder, cache, name))
        tables.append(Table(f"{name}, fine-tuned", columns, rows))
    print(markdown(tables))
    if sys.argv[2:]:
        return
    facts = {"threads": torch.get_num_threads(), "processor": processor_name(), "torch": version("torch")}
    text = PAGE.read_text(encoding="utf-8")
    before = text[: text.index(TUNED)] if TUNED in text else text.rstrip("\n") + "\n\n"
    PAGE.write_text(before + TUNED + "\n" + HEAD.format(**facts) + markdown(tables), encoding="utf-8")
    print(f"wrote {PAGE} with medfeat {medfeat.__version__}")


if __name__ == "__main__":
    main()
