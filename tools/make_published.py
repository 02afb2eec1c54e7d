"""Make the table of published results that medfeat ships, from the collected reference.

Usage: ``python tools/make_published.py FOLDER`` where FOLDER holds published.csv and sources.csv: one row a value, with
the columns dataset, method, backbone, protocol, input_size, metric, value, value_std, source_id, confidence and note;
and biofuse_2026.csv: one row a result, with the columns dataset, size, backbone, test_auc and test_acc.
What is decided here: AUC and ACC of one result share a row; each source's protocol is put into words once; means over
datasets are left out, because they belong to no dataset; pictures a value was read from are named with the source.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "medfeat" / "evaluation" / "compare"
COLUMNS = ("dataset", "system", "backbone", "training", "pixels", "native_size", "auc", "auc_std", "acc", "acc_std")
COLUMNS += ("source", "confidence", "quoted", "test_selected", "note")

TRAINING = {
    "finetune": "fine-tuned",
    "linear-probe": "linear probe",
    "knn": "kNN",
    "frozen-head": "frozen, larger head",
    "automl": "AutoML",
}
# "end-to-end" says that all layers were trained, not where they started: that is known for these sources only
END_TO_END = {
    "medmnistv2": "from scratch",
    "cmproject": "from scratch",  # only its quotations of medmnistv2
    "medvit": "from scratch",
    "raptor2025": "from scratch",
    "doerrich2025": "fine-tuned",
}
CAUTIONS = {
    "medmnistv2": "28 px data throughout: 'ResNet (224)' enlarges it by nearest neighbour. Networks start from scratch,"
    " the best val-AUC epoch is tested, at least 3 runs are averaged. Organ and Vessel were cleaned later.",
    "doerrich2025": "Values read from its pictures. Images below 224 px sit in a black frame (zero-padded), so"
    " only its 224 px rows compare directly. Its linear probes leave the network in train mode. 3 seeds; kNN: k = 11.",
    "cmproject": "Student report on 28 px data. Most OCT rows were trained on the official val split by mistake; the"
    " VGG-16 Blood figure comes from OCT data. Rows marked quoted repeat medmnistv2.",
    "raptor2025": "64 px volumes. A logistic regression tuned on val: the closest 3D reference. How its fine-tuned"
    " competitors were trained was not re-read.",
    "medvit": "Read in secondary tables only. OrganA and OrganC are in doubt.",
    "medvitv2": "The code keeps the epoch that is best on test, so values are optimistic.",
    "medmamba": "From the author's README and secondary tables; the README variant is assumed to be T.",
    "medkan": "From one secondary table.",
    "colora": "OCT only in part; 'balanced' rows train on 31,016 images. The frozen figure differs between its tables.",
    "bitmedvit": "From the author's README; input size not stated.",
}


BIOFUSE = {
    "source": "biofuse2026",
    "citation": "Hossain and Harris-Birtill. BioFuse. PLoS ONE 21(3): e0320989, 2026; the tables of its code,"
    " results/224",
    "url": "https://github.com/mnhcorp/biofuse",
    "caution": "Single frozen medical foundation models at native 224 px, from a run of 2024-09 in its code; which of"
    " its classifiers made the figures is not stated. Pretraining data of several models overlaps some sets.",
}
HISTOLOGY = ("UNI", "CONCH", "Prov-GigaPath", "Hibou-B")
OVERLAPS = {"chestmnist": ("RAD-DINO", "CheXagent"), "pathmnist": HISTOLOGY}


def system(row: dict[str, str]) -> str:
    """Name what was trained, so that it can be told from its neighbours in a table."""
    method, backbone = row["method"].removesuffix(" [quoted]"), row["backbone"]
    if row["source_id"] == "doerrich2025":
        return backbone
    if row["source_id"] == "colora" or method.startswith("RAPTOR"):
        return f"{method}, {backbone}"
    return method


def training(row: dict[str, str]) -> str:
    """Put into words which layers were trained, and from where."""
    return TRAINING.get(row["protocol"]) or END_TO_END.get(row["source_id"], "end-to-end")


def pixels(row: dict[str, str]) -> tuple[str, str]:
    """Put into words what the network was shown, and the native size of the images as far as it is known."""
    source, size = row["source_id"], row["input_size"]
    if source == "doerrich2025":
        return ("native 224" if size == "224" else f"{size} zero-padded to 224"), size
    if source == "raptor2025":
        return f"{size} native", size
    if source in ("medmnistv2", "cmproject") or "28px upsampled" in row["note"]:
        return {"28": "28 native", "": "28, enlargement not stated"}.get(size, f"28 enlarged to {size}"), "28"
    return (f"{size}, native size not stated" if size else "not stated"), ""


def note(row: dict[str, str]) -> str:
    """Keep what concerns this row alone."""
    plain = "" if row["source_id"] in ("doerrich2025", "medmnistv2", "raptor2025") else row["note"]
    return "enlarged by nearest neighbour" if "NEAREST" in row["note"] else plain


def joined(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Put AUC and ACC of one result into one row, in the order of the reference."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        if row["dataset"].startswith("average"):
            continue
        words, native = pixels(row)
        facts = {
            "dataset": row["dataset"],
            "system": system(row),
            "backbone": row["backbone"],
            "training": training(row),
            "pixels": words,
            "native_size": native,
            "source": row["source_id"],
            "confidence": row["confidence"],
            "quoted": "1" if row["method"].endswith("[quoted]") else "",
            "test_selected": "1" if "on TEST split" in row["note"] else "",
            "note": note(row),
        }
        kept = found.setdefault(tuple(facts.values()), facts)
        metric = row["metric"]
        if metric in kept:
            raise SystemExit(f"two {metric} values for {facts}: keep one, or tell them apart by their note")
        kept[metric], kept[f"{metric}_std"] = row["value"], row["value_std"]
    return list(found.values())


def biofuse(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Put the test scores of single frozen models into the shipped columns."""
    return [
        {
            "dataset": row["dataset"],
            "system": row["backbone"],
            "backbone": row["backbone"],
            "training": "frozen, classifier not stated",
            "pixels": f"native {row['size']}",
            "native_size": row["size"],
            "auc": row["test_auc"],
            "acc": row["test_acc"],
            "source": BIOFUSE["source"],
            "confidence": "medium",
            "note": "pretraining data overlaps the set's source"
            if row["backbone"] in OVERLAPS.get(row["dataset"], ())
            else "",
        }
        for row in rows
    ]


def write(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    """Write a CSV that compares well line by line."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(folder: Path, target: Path = TARGET) -> None:
    """Read the reference in `folder` and write both tables to `target`."""
    with (folder / "published.csv").open(newline="", encoding="utf-8") as file:
        rows = joined(list(csv.DictReader(file)))
    with (folder / "biofuse_2026.csv").open(newline="", encoding="utf-8") as file:
        rows += biofuse(list(csv.DictReader(file)))
    with (folder / "sources.csv").open(newline="", encoding="utf-8") as file:
        sources = [
            {
                "source": row["source_id"],
                "citation": row["citation"],
                "url": row["url"],
                "caution": CAUTIONS[row["source_id"]],
            }
            for row in csv.DictReader(file)
        ]
    write(target / "published.csv", COLUMNS, rows)
    write(target / "published_sources.csv", ("source", "citation", "url", "caution"), [*sources, BIOFUSE])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
