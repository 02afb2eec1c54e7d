"""Writing a run's folder: it appears under its name whole, or not at all."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import MedfeatError
from medfeat.evaluation.measures.evaluate import Metrics
from medfeat.evaluation.runs.choice import Choice, Scored
from medfeat.evaluation.runs.places import RUN_FILE, WRITER_LOCK
from medfeat.evaluation.runs.run import ATTENTION_FILE, CHOICE_FILE, NOT_WRITTEN, SCORES_FILE, Run
from medfeat.evaluation.runs.vouching import vouch
from medfeat.tasks import Samples
from medfeat.tasks.bags import PatientBags
from medfeat.types import IdArray
from medfeat_cache.files import make_folder, share, sync_folder, temporary_name
from medfeat_cache.lock import Lock

LIBRARIES = ("medfeat", "numpy", "scipy", "scikit-learn", "xgboost")
_OFFICIAL_ID = re.compile(r"(train|val|test)/(\d+)")


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `folder`; it takes that name when the block ends well, and goes when it does not.

    A lock in it tells `medfeat cache gc` that somebody is at work; the digests of everything are written last.
    """
    hidden = temporary_name(folder)
    try:
        make_folder(hidden)
        lock = Lock(hidden / WRITER_LOCK).acquire()
    except OSError as error:
        raise MedfeatError(f"cannot write runs to {folder.parent} ({error}): choose another --cache-dir") from error
    try:
        yield hidden
        lock.release()
        _publish(hidden, folder)
    finally:
        lock.release()
        shutil.rmtree(hidden, ignore_errors=True)


def _publish(hidden: Path, folder: Path) -> None:
    aside = temporary_name(folder)
    try:
        for path in hidden.rglob("*"):
            _sync(path)
            share(path)
        vouch(hidden)
        sync_folder(hidden)
        if folder.exists():  # unreadable or changed, or it would have been reused
            folder.replace(aside)
        hidden.replace(folder)
        sync_folder(folder.parent)
    except OSError as error:
        if not (folder / RUN_FILE).is_file():  # unless another process has just written the same run
            raise MedfeatError(f"cannot write the run {folder} ({error}): is the disk full?") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_folder(path)
    elif path.is_file():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def write_choice(folder: Path, choice: Choice) -> None:
    """Write down what val chose; called before the labels of test are handed out."""
    _write_json(folder / CHOICE_FILE, choice.to_dict())


def write_run(folder: Path, run: Run) -> None:
    """Write `run.json`."""
    facts = run.to_dict()
    _write_json(folder / RUN_FILE, {key: facts[key] for key in facts if key not in NOT_WRITTEN})


def _write_json(path: Path, facts: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_scores(folder: Path, scored: Scored) -> None:
    """Write ids, labels and scores of every sample of val and test, and patients if known; plain arrays, no pickle.

    Where folds chose, the same of train, by the folds' models that had not seen the sample.
    """
    groups: dict[str, Any] = {
        f"{part.name}_groups": part.group for part in (scored.val, scored.test) if part.group is not None
    }
    left = scored.choice.left_out
    if left is not None:
        groups |= {"train_ids": left.ids, "train_labels": left.labels, "train_scores": left.scores}
        groups |= {} if left.group is None else {"train_groups": left.group}
    np.savez(
        folder / SCORES_FILE,
        val_ids=scored.val.ids,
        val_labels=scored.val.y,
        val_scores=scored.choice.val_scores,
        test_ids=scored.test.ids,
        test_labels=scored.test.y,
        test_scores=scored.test_scores,
        **groups,
    )


def write_attention(folder: Path, scored: Scored, samples: Samples) -> None:
    """Write how much each vector of the samples of val and test counted, where the head says it; plain arrays.

    ``val_attention`` and ``test_attention`` are (n, P), beside ``val_ids`` and ``test_ids``. Of patients, each of whom
    has another number of images, ``val_images`` and ``test_images`` (n, P) say which, empty where there is none.
    """
    attend = getattr(scored.choice.model, "attention", None)
    if attend is None:
        return
    splits = ("val", "test")
    found: dict[str, Any] = {f"{name}_ids": samples.ids(name) for name in splits}
    for name in splits:
        X = samples.X(name)
        found[f"{name}_attention"] = attend(X)
        if isinstance(X, PatientBags):
            found[f"{name}_images"] = np.full(X.shape[:2], "", dtype=np.concatenate(X.names).dtype)
            found[f"{name}_images"][X.present] = np.concatenate(X.names)
    np.savez(folder / ATTENTION_FILE, **found)


def write_official(
    folder: Path, scored: Scored, split: str, *, flag: str, size: int, count: int, metrics: Metrics, run: str
) -> Path | None:
    """Write the benchmark's own result file, which `medmnist.Evaluator.parse_and_evaluate` reads.

    Parameters
    ----------
    folder
        Where to.
    scored
        Ids like ``test/7`` (row 7 of the official split) and their scores, which are written with all their digits.
    split
        ``val`` or ``test``.
    flag, size, count
        Name of the dataset, side of its images in pixels (28 has no suffix in the name), rows of the official split.
    metrics
        Whose AUC and ACC stand in the name.
    run
        Name of the run; dots and ``@`` have a meaning there and are replaced.

    Returns
    -------
    Path or None
        None when the ids are not those of the whole official split: the evaluator wants every row.
    """
    part, scores = (scored.val, scored.choice.val_scores) if split == "val" else (scored.test, scored.test_scores)
    rows = _official_rows(part.ids, split, count)
    if rows is None:
        return None
    suffix, name = "" if size == 28 else f"_{size}", re.sub(r"[^A-Za-z0-9_-]+", "-", run)
    path = folder / f"{flag}{suffix}_{split}_[AUC]{metrics.auc.value:.3f}_[ACC]{metrics.acc.value:.3f}@{name}.csv"
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([rows[i], *map(float, scores[i])] for i in np.argsort(rows))
    return path


def _official_rows(ids: IdArray, split: str, count: int) -> list[int] | None:
    """Return the official row of each id, or None when they are not exactly the official split's `count` rows."""
    matches = [_OFFICIAL_ID.fullmatch(name) for name in ids.tolist()]
    rows = [int(match[2]) for match in matches if match and match[1] == split]
    return rows if len(rows) == len(ids) and sorted(rows) == list(range(count)) else None


def versions() -> dict[str, str]:
    """Return the versions of the libraries that made a run."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
