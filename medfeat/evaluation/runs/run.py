"""A run: one head on one store and one task, with everything needed to believe it and to make it again.

It lives in `<root>/runs/<dataset>/<key12>/`, or where `medfeat.evaluation.runs.places` says; `write_run` writes it.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted_have
from medfeat.datasets.npz.npz_arrays import npz_members, read_array
from medfeat.errors import DataError
from medfeat.evaluation.measures.evaluate import Metrics, without_nan
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.choice import PROTOCOL
from medfeat.evaluation.runs.places import RUN_FILE, run_folders
from medfeat.evaluation.runs.run_shape import check_shape
from medfeat.evaluation.runs.vouching import AGAIN, refuse_changed
from medfeat.tasks import OFFICIAL
from medfeat.types import Fitted, Task
from medfeat_cache import canonical_json
from medfeat_cache.commands import command
from medfeat_cache.reading import JSON_BYTES, parse_json, read_bounded

CHOICE_FILE = "choice.json"
SCORES_FILE = "scores.npz"
ATTENTION_FILE = "attention.npz"
MODEL_FOLDER = "model"
# Of a run as it was found, not of what was found out.
NOT_WRITTEN = ("folder", "reused", "data", "vouched")
_OLDER = "intervals of an older protocol, too narrow at high scores: probe again"
NOT_SAVED = "the head was not saved, so it cannot predict"


@dataclass(frozen=True, repr=False)
class Run:
    """What one probe found, as `run.json` keeps it.

    Attributes
    ----------
    key
        Over store, task, head and what it does, protocol version, seed and options: the folder's name.
    dataset, size, backbone, head
        What was probed; `size` is the side of the stored images.
    store
        ``digest`` and ``recipe`` of the store, its ``embedding`` and file of ``weights`` in words, and ``dim``.
    task
        Name, type, classes, origin and digest of the question, and the images it is bound to.
    protocol
        ``training`` and ``pixels`` in words, ``rule`` of the choice, version, seed, refit, resamples.
    choice
        What val chose, and everything it chose among.
    val, test
        Scores of both splits.
    baselines
        Official scores of the majority class on val and test.
    costs
        Seconds and estimated energy of extraction (as far as the store knows) and of this probe.
    cautions, notes
        What must be said beside the scores.
    versions
        Of the libraries.
    created_utc
        When.
    folder
        Where it lies; None before it is written.
    reused
        Whether it was found instead of made.
    vouched
        Whether its digests, written last, were there and agree; a run of before there were any has nothing to show.
    data
        What to say for its images now, ``name@2`` where the cache holds several versions; empty for the dataset's name.
    """

    key: str
    dataset: str
    size: int
    backbone: str
    head: str
    store: Mapping[str, Any]
    task: Mapping[str, Any]
    protocol: Mapping[str, Any]
    choice: Mapping[str, Any]
    val: Metrics
    test: Metrics
    baselines: Mapping[str, Any]
    costs: Mapping[str, Any]
    cautions: tuple[str, ...]
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    created_utc: str
    folder: Path | None = None
    reused: bool = False
    vouched: bool = True
    data: str = ""

    @property
    def shown(self) -> str:
        """Its images as tables name them."""
        return self.data or self.dataset

    def __repr__(self) -> str:
        name = self.headline[0]
        score = f"test {name} {self.test.values[name].value:.3f}" if name in self.test.values else "no score"
        return f"Run({self.key[:12]}: {self.shown} / {self.backbone} / {self.head}, {score})"

    @property
    def weights(self) -> str:
        """The file of weights that its network was given; empty for those of a library and of a training."""
        return "" if "fine_tuning" in self.protocol else str(self.store.get("weights") or "")

    @property
    def network(self) -> str:
        """Its network where it is named alone; beside others, `networks_of` names it."""
        return wording.network(self.backbone, self.weights)

    @property
    def headline(self) -> tuple[str, str]:
        """The two metrics that head every table for this task: AUC and ACC, or R2 and MAE for regression."""
        return headline(self.task["type"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain |= {"val": self.val.to_dict(), "test": self.test.to_dict()}
        plain["folder"] = str(self.folder) if self.folder else None
        found: dict[str, Any] = without_nan(plain)
        return found

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Run:
        """Read back what `to_dict` wrote."""
        known = {field.name for field in fields(cls)} - set(NOT_WRITTEN)
        check_shape(stored, known)
        facts = {name: stored[name] for name in known}
        facts |= {"val": Metrics.from_dict(stored["val"]), "test": Metrics.from_dict(stored["test"])}
        facts |= {"cautions": tuple(stored["cautions"]), "notes": tuple(stored["notes"])}
        return cls(**facts)


def networks_of(runs: Iterable[Run]) -> list[str]:
    """Name the network of each of some runs that are shown together."""
    return wording.networks((run.backbone, run.weights) for run in runs)


@dataclass(frozen=True)
class RunSpec:
    """What decides a run's key, and so its folder.

    `head_digest` says what the head of that name does, `texts` is a digest of those it compares images with.
    """

    store_digest: str
    task_digest: str
    head: str
    seed: int
    refit: bool
    resamples: int
    protocol: int = PROTOCOL
    head_digest: str = ""
    choose: str = "val"
    class_weight: str = "none"
    texts: str = ""

    @property
    def key(self) -> str:
        """64 hex digits; the folder is named by the first 12."""
        facts = {name: value for name, value in asdict(self).items() if value or name != "texts"}
        return hashlib.blake2b(canonical_json(facts).encode(), digest_size=32).hexdigest()


def headline(task_type: str) -> tuple[str, str]:
    """Return the names of the two metrics that head every table for a task type."""
    return ("r2", "mae") if task_type == "regression" else ("auc", "acc")


def task_digest(task: Task) -> str:
    """Return a digest of all a task asks, and of its name: labels, splits, classes and clusters by id, in any order."""
    order = np.argsort(task.ids, kind="stable")
    # A run goes by its task's name wherever it is shown: the official question under another name is another run.
    name = [] if task.name == OFFICIAL else [task.name]
    digest = hashlib.blake2b(canonical_json([task.task_type, list(task.classes), *name]).encode(), digest_size=32)
    columns: list[NDArray[Any]] = [task.ids, task.split, *([] if task.group is None else [task.group])]
    for column in columns:
        digest.update("\0".join(column[order].tolist()).encode() + b"\0\0")
    digest.update(np.ascontiguousarray(task.labels[order]).astype("<f8").tobytes())
    return digest.hexdigest()


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises
    ------
    DataError
        The folder holds no run that this version can read.
    """
    try:
        content = read_bounded(folder / RUN_FILE, JSON_BYTES)
        agreed = refuse_changed(folder, RUN_FILE, content)
        found = Run.from_dict(parse_json(content, folder / RUN_FILE))
        older = (_OLDER,) if int(found.protocol["version"]) < PROTOCOL else ()
        return replace(found, folder=folder, reused=True, vouched=agreed, cautions=(*found.cautions, *older))
    except DataError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"no field {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise DataError(f"{folder} is no readable run ({said}): remove the folder and probe again") from error


def list_runs(root: Path, dataset: str | None = None) -> tuple[list[Run], list[str]]:
    """Return every run in the cache, and one line for each folder that cannot be read or believed."""
    runs, problems = [], []
    with _uncollected():
        for folder in run_folders(root, dataset):
            try:
                runs.append(read_run(folder))
            except DataError as error:
                problems.append(str(error))
    unvouched = sum(not run.vouched for run in runs)
    if unvouched:
        said = counted_have(unvouched, "run")
        problems.append(
            f"{said} no digests (of an older medfeat): nothing vouches for them; see {command('runs', 'verify')}"
        )
    return runs, problems


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let Python look for no garbage meanwhile: among thousands of runs that stay, that is half of reading them."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def load_run_model(run: Run) -> Fitted:
    """Return the trained head of a run, ready to score features of its store's recipe."""
    from medfeat.heads.saving import load_model

    if run.folder is None:
        raise DataError(f"run {run.key[:12]} has not been written yet: its head is not on disk")
    refuse_changed_model(run.folder)
    return load_model(run.folder / MODEL_FOLDER)


def refuse_changed_model(folder: Path) -> None:
    """Refuse the saved head of a run when any of its files was changed after the run was written."""
    for path in sorted((folder / MODEL_FOLDER).glob("*")):
        refuse_changed(folder, f"{MODEL_FOLDER}/{path.name}")


def read_scores(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the per-sample scores of a run: ``val_ids``, ``val_scores``, ``val_labels`` and the same of test.

    Where folds chose, also of train, as models said that had not seen the sample.

    Raises
    ------
    DataError
        The file was changed after the run was written, is damaged, or declares more than it holds.
    """
    return _read_arrays(folder, SCORES_FILE)


def read_attention(folder: Path) -> dict[str, NDArray[Any]] | None:
    """Return how much each vector of a sample counted: ``val_ids``, ``val_attention`` (n, P) and the same of test.

    Of patients ``val_images`` (n, P) too, the ids of the images. None where the head of the run weighs nothing; raises
    as `read_scores`.
    """
    return _read_arrays(folder, ATTENTION_FILE) if (folder / ATTENTION_FILE).exists() else None


def _read_arrays(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path} is missing or no file: probe again")
    refuse_changed(folder, name)
    members = npz_members(path)
    packed = sorted(name for name, member in members.items() if not member.stored)
    if packed:
        raise DataError(f"{path}: {packed[0]!r} is compressed, as medfeat never writes scores: {AGAIN}")
    return {key: read_array(member) for key, member in members.items()}
