"""What a study found, in a folder that can be sent: every cell with its figures, and a digest of what they are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError
from medfeat.evaluation.judging.few_shot import Curve
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs.run import Run, read_scores
from medfeat.evaluation.runs.write_run import versions
from medfeat.workflows.studying.alike import by_content, own_weights
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.planning import Planned
from medfeat_cache import FeatureStore, make_folder, read_header, write_whole
from medfeat_cache.errors import saying
from medfeat_cache.reading import read_json

MANIFEST, TOML, PAGE = "manifest.json", "study.toml", "report.html"
_FORMAT, _VERSION = "medfeat-study", 1
_INSTEAD = "choose another --out"


def figures_of(planned: Planned) -> list[dict[str, Any]]:
    """Return the figures of a cell: an entry a store, a run or a curve; no ids, no vectors, no weights, no paths."""
    standing = planned.standing
    return [
        *map(_store, standing.stores),
        *map(_run, standing.runs),
        *map(_curve, standing.curves),
    ]


def write_folder(
    folder: Path, text: str, cells: Iterable[Planned], failed: Mapping[str, str], facts: Mapping[str, Any]
) -> Path:
    """Write the study and its manifest into the folder to send; return the manifest.

    Parameters
    ----------
    folder
        Made where it is not there.
    text
        The study as it was written.
    cells, failed
        Every cell as it stands now, and why some failed, by key.
    facts
        What else is to be kept: the machine, what was planned and what it took.
    """
    whole = list(cells)
    digests = {
        one.cell.key: _weights(one.standing.stores or one.standing.began) for one in whole if own_weights(one.cell)
    }
    told = [
        {"cell": one.cell.name, "kind": one.cell.kind, "key": one.cell.key, "data": one.cell.data,
         "state": "failed" if one.cell.key in failed else one.standing.state,
         "why": failed.get(one.cell.key, one.standing.why), "figures": figures_of(one),
         **_by_content(one.cell, digests.get((one.cell.of or one.cell).key, ""))}
        for one in whole
    ]  # fmt: skip
    kept = {"format": _FORMAT, "version": _VERSION, "versions": versions(), **facts, "cells": told}
    with saying(folder, "writing the study to", _INSTEAD):
        make_folder(folder)
    write_whole(folder / TOML, [text.encode("utf-8")], "writing the study", _INSTEAD)
    content = json.dumps(without_nan(kept), indent=1, allow_nan=False).encode()
    write_whole(folder / MANIFEST, [content], "writing the manifest", _INSTEAD)
    return folder / MANIFEST


def _weights(stores: Sequence[Path]) -> str:
    """Return the digest of the weights that stores were made with; empty where there is none."""
    found = {str(read_header(path).recipe.get("weights_digest") or "") for path in stores}
    return found.pop() if len(found) == 1 else ""


def _by_content(cell: Cell, digest: str) -> dict[str, str]:
    """Return what tells a cell with own weights wherever their file lies."""
    return {"weights_digest": digest, "by_content": by_content(cell, digest)} if digest else {}


def read_folder(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of the study in a folder, and its manifest.

    Raises
    ------
    DataError
        It is not the folder of a study.
    """
    try:
        kept = read_json(folder / MANIFEST)
        text = (folder / TOML).read_text(encoding="utf-8")
        if (kept["format"], kept["version"]) != (_FORMAT, _VERSION):
            raise DataError(f"{folder} is {kept['format']} {kept['version']}, this medfeat reads {_FORMAT} {_VERSION}")
        for cell in kept["cells"]:
            if not all(isinstance(cell[name], str) for name in ("cell", "kind", "key", "data", "state", "why")):
                raise ValueError("a cell is not as it was written")
            if not all(isinstance(one, dict) for one in cell["figures"]):
                raise ValueError("figures are not as they were written")
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"no field {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise DataError(f"{folder} is no folder of a study ({said}): give one that a study wrote") from error
    return text, dict(kept)


def _store(path: Path) -> dict[str, Any]:
    digest, total, squares, count = hashlib.blake2b(digest_size=16), 0.0, 0.0, 0
    with FeatureStore(path) as store:
        for group in store.groups:
            for rows in store.iter_column(group, "embeddings"):
                digest.update(np.ascontiguousarray(rows).tobytes())
                wide = rows.astype(np.float64)
                total, squares, count = total + wide.sum(), squares + np.square(wide).sum(), count + wide.size
        images, shape, recipe = sum(store.n(group) for group in store.groups), list(store.shape), store.recipe
        name = store.digest[:12]
    spread = max(squares / count - (total / count) ** 2, 0.0) ** 0.5 if count else 0.0
    return {
        "store": name, "layer": recipe.get("layer"), "pool": recipe.get("pool"), "slices": recipe.get("slices"),
        "precision": recipe.get("precision"), "images": images, "shape": shape, "bits": digest.hexdigest(),
        "figures": {"mean": total / count if count else 0.0, "standard deviation": spread},
    }  # fmt: skip


def _run(run: Run) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=16)
    if run.folder is not None:
        scores = read_scores(run.folder)
        for split in ("val", "test"):
            order = np.argsort(scores[f"{split}_ids"], kind="stable")
            digest.update(np.ascontiguousarray(scores[f"{split}_scores"][order], np.float64).tobytes())
    recipe = run.store["recipe"]
    values: dict[str, float] = {}
    for split, metrics in (("val", run.val), ("test", run.test)):
        values |= {f"{split} {name}": metrics.values[name].value for name in run.headline if name in metrics.values}
    return {
        "run": run.key[:12], "dataset": run.dataset, "backbone": run.backbone, "head": run.head,
        "layer": recipe.get("layer"), "pool": recipe.get("pool"), "slices": recipe.get("slices"),
        "bits": digest.hexdigest(), "figures": values,
        "test": {name: asdict(run.test.values[name]) for name in run.headline if name in run.test.values},
    }  # fmt: skip


def _curve(curve: Curve) -> dict[str, Any]:
    values = {
        f"{point.shots} shots, {name}": interval.value
        for point in curve.points
        for name, interval in point.values.items()
    }
    bits = hashlib.blake2b(json.dumps(without_nan(values), sort_keys=True).encode(), digest_size=16).hexdigest()
    return {"dataset": curve.dataset, "backbone": curve.backbone, "head": curve.head, "embedding": curve.embedding,
            "bits": bits, "figures": values}  # fmt: skip
