"""Choosing layer, pooling, size and backbone among the cached stores of a dataset: on val, test stays closed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medfeat.evaluation.judging.cross_validation import choose_by
from medfeat.evaluation.judging.probe_store import Options, existing_run
from medfeat.evaluation.judging.reading import gather_for
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.choice import RULE, Tried
from medfeat.evaluation.runs.places import RUNS, runs_root
from medfeat.heads import weighted_head
from medfeat.tasks.readable import Probed
from medfeat.tasks.versions import split_name
from medfeat.types import Progress, Task
from medfeat_cache import canonical_json, make_folder, slug, write_whole


@dataclass(frozen=True)
class Contender:
    """One store with one head, as val saw it."""

    store: str
    backbone: str
    size: int
    embedding: str
    head: str
    dim: int
    best: Tried
    weights: str = ""


@dataclass(frozen=True)
class Selection:
    """What val chose among the stores of a dataset.

    Attributes
    ----------
    dataset, task
        What was asked.
    rule
        How it was chosen, in words.
    chosen
        Position of the winner among `contenders`.
    contenders
        Everything that was tried, in the order it was tried.
    """

    dataset: str
    task: str
    rule: str
    chosen: int
    contenders: tuple[Contender, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        facts: dict[str, Any] = without_nan(asdict(self))
        return facts

    def write(self, root: Path) -> Path:
        """Write the selection down under `<root>/runs/<dataset>/`, before test is read for the winner."""
        key = hashlib.blake2b(canonical_json(self.to_dict()).encode(), digest_size=6).hexdigest()
        path = runs_root(root) / RUNS / slug(split_name(self.dataset)[0]) / f"selection-{key}.json"
        make_folder(path.parent)
        write_whole(path, [json.dumps(self.to_dict(), indent=1, allow_nan=False).encode()], "writing the selection")
        return path


def contender(store: Probed, task: Task, root: Path, options: Options, *, progress: Progress) -> Contender:
    """Let a store with a head stand: fit on train, score on val; the val scores of an unchanged run are taken."""
    run = existing_run(store, task, root, options)
    if run is not None:
        stored = run.choice["val"]
        first, second = (_or_worst(stored[name]) for name in ("first", "second"))
        best = Tried(stored["settings"], first, second, stored["complexity"])
    else:
        asked: dict[str, Any] = {"seed": options.seed, "progress": progress}
        head = weighted_head(options.head, options.class_weight, options.budget, options.texts)
        best = choose_by(options.choose, gather_for(head, store, task), head, **asked).chosen
    return Contender(
        store=store.digest,
        backbone=store.recipe["backbone"],
        size=int(store.recipe.get("size") or 0),
        embedding=wording.embedding(store.recipe),
        head=options.head,
        dim=store.dim,
        best=best,
        weights=wording.weights(store.info),
    )


def select_contender(dataset: str, task: Task, contenders: Sequence[Contender]) -> Selection:
    """Choose the best on val; ties go to the shorter embedding, then to the one that stood first."""
    best = 0
    for i, one in enumerate(contenders):
        if _as_tried(one).beats(_as_tried(contenders[best])):
            best = i
    rule = RULE[task.task_type == "regression"].replace("simpler model", "shorter embedding")
    return Selection(dataset, task.name, rule, best, tuple(contenders))


def _as_tried(one: Contender) -> Tried:
    return Tried(one.best.settings, one.best.first, one.best.second, one.dim)


def _or_worst(score: float | None) -> float:
    return float("-inf") if score is None else score
