"""A run as a folder that another person opens by its path: network, head, recipe and card; nothing in it runs code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from medfeat.backbones.weights.own_weights import KNOWN, facts_to_keep
from medfeat.evaluation.runs.card import CARD_FILE
from medfeat.evaluation.runs.places import RUN_FILE
from medfeat.evaluation.runs.run import CHOICE_FILE, MODEL_FOLDER, SCORES_FILE
from medfeat.evaluation.runs.saved_probe import BUNDLED_WEIGHTS, PROBE_FILE, SavedProbe, with_weights
from medfeat.finetuning.tuned_weights import write_weights
from medfeat.workflows.stores.how_to_extract import network_words
from medfeat_cache.commands import command_line
from medfeat_cache.errors import saying

README = "README.md"
_USE = """
## How to use it

This folder is all that is needed: weights, head, recipe and this card. Nothing in it runs code when it is opened.

```bash
{predict}
{extract}
```
"""


def write_bundle(probe: SavedProbe, network: nn.Module, story: Mapping[str, Any] | None, folder: Path) -> None:
    """Write a run's folder with its network beside its head, and without ids, labels of test or paths of this machine.

    Parameters
    ----------
    probe
        Of the run.
    network
        Whose features the head takes.
    story
        What a training said of the weights; None for weights that medfeat did not tune.
    folder
        Is there, and is empty.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    run = probe.run.folder
    assert run is not None  # a saved probe was read from it
    with saying(folder, "exporting a run"):
        shutil.copyfile(run / CHOICE_FILE, folder / CHOICE_FILE)
        story_of_run = _without_folders(json.loads((run / RUN_FILE).read_bytes()))
        (folder / RUN_FILE).write_text(json.dumps(story_of_run, indent=1, ensure_ascii=False), encoding="utf-8")
        (folder / MODEL_FOLDER).mkdir()
        for path in (run / MODEL_FOLDER).glob("head.*"):
            shutil.copyfile(path, folder / MODEL_FOLDER / path.name)
        facts = json.loads((run / MODEL_FOLDER / PROBE_FILE).read_bytes())
        used = facts["info"]["asked"]["weights"]
        facts["info"] = with_weights(facts["info"], {"origin": "file", "adapt": bool(used.get("adapt"))})
        (folder / MODEL_FOLDER / PROBE_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        np.savez(folder / SCORES_FILE, **_nameless(probe))
        card = (run / CARD_FILE).read_text(encoding="utf-8")
        predict = command_line("predict", run="THIS_FOLDER", images="IMAGES", out="labels.csv")
        words = network_words(probe.recipe, probe.info) | {"weights": "THIS_FOLDER", "seed": None}
        extract = command_line("extract", **words, data="NAME")
        (folder / README).write_text(card + _USE.format(predict=predict, extract=extract), encoding="utf-8")
    write_weights(network, folder / BUNDLED_WEIGHTS, {KNOWN: _known(probe.info), **(story or {})})


def _nameless(probe: SavedProbe) -> dict[str, Any]:
    """Return what error rates are calibrated on; whose images and patients those are is nobody's business."""
    n, of, unseen = len(probe.val), probe.unseen_groups, probe.unseen  # val first
    columns: dict[str, Any] = {"labels": unseen.labels, "scores": unseen.scores}
    columns |= {} if of is None else {"groups": np.unique(of, return_inverse=True)[1].astype(np.str_)}
    found = {f"val_{name}": column[:n] for name, column in columns.items()}
    return found | ({f"train_{name}": column[n:] for name, column in columns.items()} if probe.in_folds else {})


def _known(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the store of a run says of its network's weights, for the file that they go into."""
    said = info.get("backbone") or {}
    pretraining, licence = (str(said.get(name, "unknown")) for name in ("pretraining", "licence"))
    return facts_to_keep(pretraining, licence, tuple(said.get("overlap") or ()))


def _without_folders(run: dict[str, Any]) -> dict[str, Any]:
    """Return what `run.json` holds with the files of its question by their names alone."""
    asked = run["task"].get("asked") or {}
    for name in ("labels", "prompts"):
        if name in asked:
            asked[name] = Path(asked[name]).name
    return run
