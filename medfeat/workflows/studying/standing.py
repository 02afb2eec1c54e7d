"""What the cache knows of a cell: it is asked of stores and runs themselves, as `extract` and `probe` ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.errors import MissingFileError, UnsuitedHeadError
from medfeat.evaluation.judging.few_shot import Curve
from medfeat.evaluation.runs.places import RUNS, runs_roots
from medfeat.evaluation.runs.reuse import believed_run
from medfeat.evaluation.runs.run import Run
from medfeat.heads import head_identity
from medfeat.types import SilentProgress
from medfeat.workflows.extract import plan
from medfeat.workflows.few_shot import curves_before
from medfeat.workflows.jobs.unforeseen import in_one_line
from medfeat.workflows.probe import probed_before
from medfeat.workflows.studying import requests
from medfeat.workflows.studying.alike import digest_here, own_weights, stores_of, weights_there
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.keys import CURVE, EMBEDDING
from medfeat.workflows.studying.notes import note_of
from medfeat.workflows.studying.requests import Here
from medfeat.workflows.tuning.finetune_plan import frozen_store
from medfeat_cache import read_header

DONE, MISSING, LEFT_OUT, NOT_HERE = "done", "missing", "left out", "data not here"


@dataclass(frozen=True)
class Standing:
    """What is known of a cell.

    Attributes
    ----------
    state
        ``done``, ``missing``, ``left out`` (a head that cannot learn the task) or ``data not here``.
    why
        In words, where it is not done.
    stores, runs, curves
        Its answer.
    began
        The store that a training began from.
    images, passes, disk_bytes, seconds
        Of an embedding that is missing: what goes through the network, in images and in all slices and copies, the room
        it takes, and how long by the pace of earlier ones; None where nobody knows.
    """

    state: str
    why: str = ""
    stores: tuple[Path, ...] = ()
    runs: tuple[Run, ...] = ()
    curves: tuple[Curve, ...] = ()
    began: tuple[Path, ...] = ()
    images: int = 0
    passes: float | None = None
    disk_bytes: int | None = None
    seconds: float | None = None


class Known:
    """Asks the cache of cells; embeddings that were found are remembered, as many cells read each.

    Parameters
    ----------
    here
        The machine, and where its cache is.
    theirs
        By the key of a cell, the same cell of a manifest: the stores and trainings that it names are found where the
        data, or the file of the weights, is gone.
    """

    def __init__(self, here: Here, theirs: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._here, self._theirs = here, theirs or {}
        self._embedded: dict[str, Standing] = {}

    def of(self, cell: Cell) -> Standing:
        """Return what is known of a cell now; what cannot be asked is missing, and says why."""
        try:
            if cell.kind == EMBEDDING:
                return self._embedding(cell)
            return self._read(cell) if cell.of is not None else self._training(cell)
        except Exception as error:
            return Standing(MISSING, in_one_line(error))

    def _embedding(self, cell: Cell) -> Standing:
        if cell.key in self._embedded:
            return self._embedded[cell.key]
        wanted = requests.wanted(cell, self._here)
        planned = plan(wanted, device=self._here.device, progress=SilentProgress())
        missing = any(isinstance(error, MissingFileError) for error in planned.errors)
        stores = () if planned.failures else tuple(one.store for one in planned.plans if one.store is not None)
        if not planned.plans or len(stores) < len(planned.plans):
            away = missing or own_weights(cell) or any(one.to_fetch for one in planned.plans)
            stores = stores_of(cell, self._named(cell, "store"), self._here) if away else ()
        if stores:
            self._embedded[cell.key] = Standing(DONE, stores=stores)
            return self._embedded[cell.key]
        if planned.failures:
            lost = own_weights(cell) and not weights_there(cell)
            return Standing(NOT_HERE if missing and not lost else MISSING, planned.failures[0].error)
        left = [one for one in planned.plans if one.store is None]
        disk, seconds = [one.disk_bytes for one in left], [one.seconds for one in left]
        passes = [one.passes for one in left]
        return Standing(
            NOT_HERE if any(one.to_fetch for one in left) else MISSING,
            left[0].why,
            images=max(one.images for one in left),
            passes=None if None in passes else max(one or 0.0 for one in passes),
            disk_bytes=None if None in disk else sum(one or 0 for one in disk),
            # views come from one pass
            seconds=None if None in seconds else max(one or 0.0 for one in seconds),
        )

    def _read(self, cell: Cell) -> Standing:
        assert cell.of is not None  # told apart where this is called
        embedded = self._embedding(cell.of)
        if embedded.state != DONE:
            return waiting_for(embedded)
        note = note_of(self._here.root, cell)
        if (
            cell.any_head
            and note is not None
            and note.unsuited
            and note.head == head_identity(str(cell.options["head"]))
        ):
            return Standing(LEFT_OUT, note.unsuited)
        asked = requests.probe_request(cell, self._here, embedded.stores)
        try:
            if cell.kind == CURVE:
                return _answered(curves=[one for _, one in curves_before(asked, **requests.curve_options(cell))])
            found = probed_before(asked, **requests.probe_options(cell))
        except UnsuitedHeadError as error:
            if cell.any_head:
                return Standing(LEFT_OUT, in_one_line(error))
            raise
        return _answered(runs=[run for _, run in found]) if found else Standing(LEFT_OUT, "suits none of its stores")

    def _named(self, cell: Cell, what: str) -> list[str]:
        """Return what a manifest names for a cell: ``store`` or ``run``."""
        return [str(one[what]) for one in self._theirs.get(cell.key, {}).get("figures", ()) if what in one]

    def _training(self, cell: Cell) -> Standing:
        names = self._named(cell, "run")
        if names and own_weights(cell):
            digest = digest_here(cell, self._here)
            meant = digest == self._theirs[cell.key].get("weights_digest") if digest else not weights_there(cell)
            found = _answered(runs=[_run_of(self._here.root, name) for name in names])
            if meant and found.state == DONE:
                return found
        note, asked = note_of(self._here.root, cell), requests.training_request(cell, self._here)
        store = frozen_store(asked, SilentProgress())
        if note is None or not note.answer or store is None or read_header(store).digest != note.store:
            return Standing(MISSING, "" if store is not None else "its frozen features are not here yet")
        return replace(_answered(runs=[_run_of(self._here.root, key) for key in note.answer]), began=(store,))


def waiting_for(embedded: Standing) -> Standing:
    """Return what is known of a cell whose embedding is not done."""
    return Standing(embedded.state, embedded.why or "its embedding is not here yet")


def _answered(*, runs: Sequence[Run | None] = (), curves: Sequence[Curve | None] = ()) -> Standing:
    there = tuple(run for run in runs if run is not None), tuple(one for one in curves if one is not None)
    whole = len(there[0]) == len(runs) and len(there[1]) == len(curves)
    return replace(Standing(DONE if whole else MISSING), runs=there[0], curves=there[1])


def _run_of(root: Path, key: str) -> Run | None:
    places = [path for one in runs_roots(root) for path in (one / RUNS).glob(f"*/{key[:12]}")]
    return believed_run(places[0], None) if places else None
