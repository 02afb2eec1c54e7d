"""A probe that can be used again: recipe, head, calibration and card in its run's folder. Loading it runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.measures.calibration import fit_temperature, scale
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.runs.places import RUNS, runs_roots
from medfeat.evaluation.runs.run import (
    MODEL_FOLDER,
    NOT_SAVED,
    SCORES_FILE,
    Run,
    read_run,
    read_scores,
    refuse_changed_model,
)
from medfeat.heads import HEADS, trusted_types
from medfeat.heads.inputs import bad_rows
from medfeat.heads.saving import load_model
from medfeat.types import Fitted, FloatArray, IdArray, TaskType
from medfeat_cache import differing_fields, mean_of, recipe_digest, write_whole
from medfeat_cache.commands import command, elsewhere
from medfeat_cache.reading import read_json

FORMAT = "medfeat-probe"
VERSION = 1
PROBE_FILE = "probe.json"
BUNDLED_WEIGHTS = "model.safetensors"
"""Of the network, in the folder of a run that was exported for others."""
# What a store's recipe says of its data; everything else must be equal for a head to mean the same.
_OF_DATA = ("dataset", "fingerprint")


@dataclass(frozen=True)
class SavedProbe:
    """A trained head with all that is needed to give it new images.

    Attributes
    ----------
    run
        The run it was trained in.
    recipe
        How images were embedded for it.
    info
        What the store knew beside the recipe: ``asked``, ``settings``, ``dataset`` and ``backbone``.
    model
        Features in, scores out; holds its own scaler.
    task_type, classes
        What it answers.
    temperature
        By which its probabilities are calibrated, fitted on `unseen`.
    val
        What it said about val.
    val_groups
        (n,) patients of val, None where they are not known.
    unseen, unseen_groups
        What temperature and error rates are calibrated on: val, and where folds chose what their models said of train.
    """

    run: Run
    recipe: Mapping[str, Any]
    info: Mapping[str, Any]
    model: Fitted
    task_type: TaskType
    classes: tuple[str, ...]
    temperature: float
    val: LabelledScores
    val_groups: IdArray | None
    unseen: LabelledScores
    unseen_groups: IdArray | None

    @property
    def in_folds(self) -> bool:
        """Whether it is calibrated on train and val, as folds saw them, and not on val alone."""
        return len(self.unseen) > len(self.val)

    def parts(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Return recipe and facts of each store whose features stand side by side; of one store, its own."""
        recipes = self.recipe.get("stores")
        return list(zip(recipes, self.info["stores"], strict=True)) if recipes else [(self.recipe, self.info)]

    def scores(self, X: FloatArray) -> NDArray[np.float64]:
        """Return (n, c) scores of (n, d) features, as the run's own are; of (n, P, d) bags, where it was made of bags.

        A head that takes no bags sees their mean, as it did when it was trained.
        """
        dim, bags = int(self.run.store["dim"]), len(self.run.store.get("shape", ())) > 1
        if X.ndim != 2 + bags or X.shape[-1] != dim:
            wanted = f"several vectors of length {dim} a sample" if bags else f"features of length {dim}"
            raise DataError(f"run {self.run.key[:12]} needs {wanted}, got shape {X.shape}")
        X = mean_of(X) if bags and not self.attends else X
        if len(bad_rows(X)):
            raise DataError(
                f"features of {counted(len(bad_rows(X)), 'image')} are NaN or infinite: no label can be given"
            )
        X = X.astype(np.float32) if X.dtype == np.float16 else X
        return np.asarray(self.model.scores(X), np.float64)

    @property
    def attends(self) -> bool:
        """Whether its model weighs the several vectors of a sample."""
        return hasattr(self.model, "attention")

    def attention(self, X: FloatArray) -> NDArray[np.float32]:
        """Return (n, P) weights of the vectors of (n, P, d) bags; only where it `attends`."""
        found: NDArray[np.float32] = self.model.attention(X)  # type: ignore[attr-defined]  # `attends` says so
        return found

    def calibrated(self, scores: FloatArray) -> NDArray[np.float64]:
        """Return the scores at its temperature."""
        if self.task_type == "regression":
            return np.asarray(scores, np.float64)
        return scale(scores, self.temperature, self.task_type)


def write_probe(run: Run, info: Mapping[str, Any], folder: Path) -> None:
    """Write beside a saved head what it needs to be used again."""
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "recipe": dict(run.store["recipe"]),
        "dim": run.store["dim"],
        "task": {key: run.task[key] for key in ("name", "type", "classes", "origin")},
        "temperature": run.test.temperature,
        "info": _needed(info) | ({"stores": list(map(_needed, info["stores"]))} if "stores" in info else {}),
    }
    write_whole(folder / PROBE_FILE, [json.dumps(facts, indent=1).encode()], "saving the probe")


def _needed(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: info[key] for key in ("asked", "settings", "dataset", "backbone") if key in info}


def load_probe(folder: Path) -> SavedProbe:
    """Read the probe of a run's folder.

    Raises
    ------
    MissingFileError
        No head was saved there.
    DataError
        A file that is not what it says, or that belongs to another run.
    """
    run = read_run(folder)
    _refuse_without_head(run)
    refuse_changed_model(folder)
    path = folder / MODEL_FOLDER / PROBE_FILE
    try:
        facts = read_json(path)
        if facts["format"] != FORMAT or facts["version"] != VERSION:
            raise DataError(f"{path} is {facts['format']} {facts['version']}, this medfeat reads {FORMAT} {VERSION}")
        recipe, info, task = facts["recipe"], facts["info"], facts["task"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no saved probe ({type(error).__name__}): run {command('probe')} again") from error
    if recipe_digest(recipe) != run.store["digest"] or task["classes"] != list(run.task["classes"]):
        fields = ", ".join(differing_fields(run.store["recipe"], recipe)) or "classes"
        raise DataError(
            f"{path} was saved for another recipe than its run ({fields} differ): run {command('probe')} again"
        )
    if (folder / BUNDLED_WEIGHTS).is_file():
        info = with_weights(info, {"origin": "file", "path": str(folder / BUNDLED_WEIGHTS)})
    (val, val_groups), (unseen, groups) = _calibration(folder, task["type"])
    model = load_model(folder / MODEL_FOLDER, trusted=trusted_types(run.head))
    # Not as it was saved: a run of before may have taken a few samples for certainty.
    temperature = fit_temperature(unseen, groups)
    return SavedProbe(
        run=run,
        recipe=recipe,
        info=info,
        model=model,
        task_type=task["type"],
        classes=tuple(task["classes"]),
        temperature=temperature,
        val=val,
        val_groups=val_groups,
        unseen=unseen,
        unseen_groups=groups,
    )


def with_weights(info: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a store knew, but for where its network's weights are."""
    return {**info, "asked": {**info["asked"], "weights": dict(weights)}}


def _refuse_without_head(run: Run) -> None:
    """Say why there is no head to load: it could not be saved, or the package that brings it is not here."""
    unsaved = next((note for note in run.notes if note.startswith(NOT_SAVED)), None)
    if unsaved is not None:
        raise DataError(f"run {run.key[:12]}: {unsaved}")
    # A tuned network's head is a linear probe's, whatever it is called.
    if run.head not in HEADS and "fine_tuning" not in run.protocol:
        raise DataError(
            f"run {run.key[:12]} was made by the head {run.head!r}: install the package that brings it, "
            "or make it known by medfeat.extend.HEADS.add(NAME, HEAD)"
        )


_Told = tuple[LabelledScores, IdArray | None]


def _calibration(folder: Path, task_type: TaskType) -> tuple[_Told, _Told]:
    """Return what is known of val, and of all samples that a model scored without having seen them."""
    try:
        found = read_scores(folder)
        both = ("val", "train") if "train_scores" in found else ("val",)
        return _told(found, ("val",), task_type), _told(found, both, task_type)
    except DataError:
        raise
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{folder / SCORES_FILE} cannot be read ({type(error).__name__}): probe again") from error


def _told(found: Mapping[str, NDArray[Any]], splits: Sequence[str], task_type: TaskType) -> _Told:
    labels, scores = (np.concatenate([found[f"{split}_{name}"] for split in splits]) for name in ("labels", "scores"))
    known = "val_groups" in found
    groups = np.concatenate([found[f"{split}_groups"] for split in splits]) if known else None
    return LabelledScores.of(labels, scores, task_type), groups


def find_run(root: Path, run: str | Path) -> Path:
    """Return the folder of a run named by its path, or by the beginning of its key.

    Raises
    ------
    UsageError
        None, or more than one.
    """
    if isinstance(run, Path) or "/" in run or Path(run).is_dir():
        if not Path(run).is_dir():
            raise UsageError(f"there is no run in {run}: {_listed(root)} shows what there is")
        return Path(run)
    folders = [path for one in runs_roots(root) for path in (one / RUNS).glob("*/*") if path.is_dir()]
    # A folder is named by the first 12 digits of its key; JSON tells the whole key.
    found = sorted(path for path in folders if run and path.name.startswith(run[:12]))
    if len(found) != 1:
        said = f"{len(found)} runs begin with {run!r}" if found else f"no run begins with {run!r}"
        raise UsageError(f"{said} in {root / RUNS}: {_listed(root)} shows what there is")
    return found[0]


def _listed(root: Path) -> str:
    return command("runs", "list", cache_dir=elsewhere(root))


def refuse_patients(probe: SavedProbe) -> None:
    """Refuse a probe whose samples are patients, where images are to be labelled one by one."""
    if probe.recipe.get("bag"):
        raise UsageError(
            f"run {probe.run.key[:12]} judges a patient by all images together, which cannot be asked of new images "
            "yet: choose a run without --bag patients"
        )


def refuse_other_recipe(trained: Mapping[str, Any], other: Mapping[str, Any], what: str) -> None:
    """Refuse features that were not made as those a head was trained on; the data itself may differ.

    Raises
    ------
    UsageError
        Naming each differing field with both values. Own images have no size of their own, which is no difference.
    """
    differ = {name: pair for name, pair in differing_fields(trained, other).items() if name not in _OF_DATA}
    if not (trained.get("size") and other.get("size")):
        differ.pop("size", None)
    if differ:
        said = "; ".join(f"{name} {_short(pair[0])} there, {_short(pair[1])} here" for name, pair in differ.items())
        raise UsageError(f"{what} was embedded by another recipe than the probe was trained on: {said}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:20]}..."
