"""Write docs/results.md: official data, real weights, every head, with intervals, costs and the yardstick beside it.

    MEDFEAT_REAL_DATA=FOLDER python tools/make_results.py [CACHE]

FOLDER holds the official npz files and the weights that the page names. The cache is kept, so that a second run only
makes what is missing; without MEDFEAT_REAL_DATA nothing is embedded and the page is made of what the cache holds.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import medfeat
from medfeat.cost import usable_cores
from medfeat.evaluation.runs.run import Run
from medfeat.extraction.network.device import processor_name
from medfeat.report.figures import save, scores_figure
from medfeat.report.tables import Table, markdown, with_interval
from medfeat.workflows.extract import extract
from medfeat.workflows.probe import probe
from medfeat_cli.progress import for_terminal

SETS = ("breastmnist", "retinamnist", "adrenalmnist3d")
WEIGHTS = {
    "squeezenet1_1": "squeezenet1_1_torchvision_fp16src.pth",
    "mobilenetv2_100": "mobilenet_v2_tf2ptq_timm.pth",
}
POLICIES = "mean-concat,max-concat,mean-average,max-average"
# RAPTOR makes tens of thousands of numbers of a volume: with the smallest network only.
EVERY_POLICY = f"{POLICIES},raptor"
CHOICE = "## Which head, and chosen how"
"""Begins the section that `tools/simulate_choice.py` writes, which stands before the next."""
DEFAULT = "## Layers, heads and who chooses"
"""Begins the section that `tools/settle_tables.py` writes."""
SETTLED = "## The default on test"
"""Begins the section that `tools/settle_test.py` writes."""
TUNED = "## Fine-tuned, beside the probe"
"""Begins the section that `tools/make_tuned_results.py` writes."""
SECTIONS = (CHOICE, DEFAULT, SETTLED, TUNED)
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
FIGURES = PAGE.parent / "figures"
BAR = for_terminal()

# What an independent pipeline (Pillow, float32, scikit-learn, the official evaluator) gives at the same recipe.
YARDSTICK = {
    ("breastmnist", "squeezenet1_1"): (0.899, 0.878),
    ("breastmnist", "mobilenetv2_100"): (0.871, 0.833),
    ("breastmnist", "pixels"): (0.788, 0.788),
    ("retinamnist", "squeezenet1_1"): (0.747, 0.543),
    ("retinamnist", "mobilenetv2_100"): (0.697, 0.493),
    ("retinamnist", "pixels"): (0.726, 0.515),
}

HEAD = """# Results on official data with real weights

Made by `tools/make_results.py`, which anyone with the files can run. {machine}

Every number is a frozen backbone with a small head trained on cached embeddings, but for the last section, where the
networks themselves were tuned. Nothing was chosen on test: hyper-parameters were chosen on val, and the rows are sorted
by val. Intervals are of 95 %, of the test set. Weights: SqueezeNet-1.1 (torchvision,
IMAGENET1K_V1, rounded to fp16) and MobileNetV2 (timm `mobilenetv2_100`, dequantised from 8 bit). Images are 28 px,
enlarged whole to 224 px with each network's own filter, and embedded in float32; volumes go through the network as 84
slices along the three axes, in the fastest precision that agrees with float32 (the default). Seconds of extraction
count from the first batch to the last durable row, without loading and compiling the network; slice policies of one
pass share them. Wh is an estimate for extraction and probe together, at an assumed 10 W a core.

These test sets are small (156, 400 and 298 samples): the intervals are wide, and differences inside them mean little.
"""

YARDSTICK_HEAD = """
## Beside an independent yardstick

The plainest correct pipeline (Pillow, float32, scikit-learn, the official evaluator), which shares nothing with
medfeat, at the same recipe and the same grid of C. On BreastMNIST's raw pixels the yardstick's solver stops before it
has converged (scikit-learn's default tolerance); with a tolerance of 1e-8 it finds medfeat's numbers. Untrained
networks are not compared: another way to build the network draws other random weights from the same seed.

"""


def extract_all(folder: Path, cache: Path) -> None:
    """Embed each set with each network, with an untrained one and with the weights-free baselines."""
    for name in SETS:
        volumes = name.endswith("3d")
        common = {"data_root": folder, "cache_dir": cache, "progress": BAR}
        extract(name, "pixels,stats", **common)
        precision = "auto" if volumes else "fp32"
        for backbone, file in WEIGHTS.items():
            policies = EVERY_POLICY if backbone == "squeezenet1_1" else POLICIES
            slices = policies if volumes else None
            extract(name, backbone, weights=folder / file, slices=slices, precision=precision, **common)
        if not volumes:
            extract(name, "mobilenetv2_100", weights="random", precision=precision, **common)


def rows(runs: list[Run]) -> Iterator[tuple[str, ...]]:
    """One row a run, best on val first."""
    for run in sorted(runs, key=lambda one: -one.val.values["auc"].value):
        stages = run.costs["extraction"], run.costs["probe"]
        seconds = [stage.get("seconds") for stage in stages]
        energy = sum(stage.get("energy_wh") or 0.0 for stage in stages)
        yield (
            run.backbone,
            str(run.store["embedding"]),
            run.head,
            f"{run.val.auc.value:.3f}",
            with_interval(run.test.auc),
            with_interval(run.test.acc),
            *("–" if value is None else f"{value:.1f}" for value in seconds),
            f"{energy:.3f}",
            "; ".join(run.cautions),
        )
    majority = runs[0].baselines["majority class"]
    auc, acc = (f"{majority['test'][metric]:.3f}" for metric in ("auc", "acc"))
    yield "majority class", "", "", f"{majority['val']['auc']:.3f}", auc, acc, "–", "–", "–", "looks at no image"


def yardstick_rows(runs: list[Run]) -> Iterator[tuple[str, ...]]:
    """Our linear head beside the yardstick."""
    for run in runs:
        wanted = YARDSTICK.get((run.dataset, run.backbone))
        if run.head != "linear" or wanted is None:
            continue
        auc, acc = run.test.auc.value, run.test.acc.value
        yield (
            run.dataset,
            run.backbone,
            f"{auc:.4f}",
            f"{wanted[0]:.3f}",
            f"{auc - wanted[0]:+.4f}",
            f"{acc:.4f}",
            f"{wanted[1]:.3f}",
        )


def _machine() -> str:
    versions = f"torch {version('torch')}, scikit-learn {version('scikit-learn')}, medfeat {medfeat.__version__}"
    return f"Measured on {usable_cores()} cores of {processor_name()}; {versions}."


def put_section(title: str, text: str) -> None:
    """Write one of `SECTIONS` into the page, in the place of what stands there under that title."""
    page = PAGE.read_text(encoding="utf-8")
    after = SECTIONS[SECTIONS.index(title) + 1 :]
    end = min((page.index(one) for one in after if one in page), default=len(page))
    begin = page.index(title) if title in page else end
    page = f"{page[:begin].rstrip()}\n\n{title}\n{text.rstrip()}\n\n{page[end:]}"
    PAGE.write_text(page.rstrip() + "\n", encoding="utf-8")


def main() -> None:
    """Make what is missing, and write the page."""
    folder = os.environ.get("MEDFEAT_REAL_DATA")
    cache = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    if folder:
        extract_all(Path(folder), cache)
    columns = ("backbone", "embedding", "head", "val AUC", "test AUC", "test ACC", "extract s", "probe s", "Wh", "note")
    parts, every = [], []
    for name in SETS:
        runs = list(probe(name, [*WEIGHTS, "mobilenetv2_100-random0"], head="all", cache_dir=cache, progress=BAR).runs)
        runs += probe(name, "pixels,stats", cache_dir=cache, progress=BAR).runs
        every += runs
        parts.append(markdown([Table(name, columns, tuple(rows(runs)))]))
        compared = medfeat.compare(name, cache_dir=cache, head="linear")
        picture = save(scores_figure(compared.comparisons[0], ours=12), FIGURES / f"{name}.png", dpi=110)
        parts.append(f"![{name}: our linear heads beside published results](figures/{picture.name})\n")
    columns = ("dataset", "backbone", "AUC", "yardstick", "difference", "ACC", "yardstick ACC")
    stick = Table("", columns, tuple(yardstick_rows(every)))
    page = HEAD.format(machine=_machine()) + YARDSTICK_HEAD + markdown([stick]) + "\n" + "\n".join(parts)
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    others = [old.index(begins) for begins in SECTIONS if begins in old]
    kept = "\n" + old[min(others) :] if others else ""
    PAGE.write_text(page + kept, encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
