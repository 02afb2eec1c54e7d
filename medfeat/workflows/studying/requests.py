"""A cell in the terms of the command that makes it, as the values that `extract`, `probe` and `finetune` take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medfeat.comma_lists import as_names
from medfeat.errors import UsageError
from medfeat.evaluation.judging.few_shot import CurveOptions
from medfeat.evaluation.judging.probe_store import Options
from medfeat.workflows import few_shot
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.asking.question import Question
from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views
from medfeat.workflows.jobs.store_jobs import ProbeRequest
from medfeat.workflows.stores.texts import TextsAsked
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.keys import CURVE, EMBEDDING, PROBE, Value
from medfeat.workflows.tuning.finetune_request import FinetuneOptions, FinetuneRequest, NetworkOptions
from medfeat_cache import resolve_root


@dataclass(frozen=True)
class Here:
    """What belongs to this machine and to no study.

    Attributes
    ----------
    cache_dir, data_root
        Where stores and dataset files live; None means the usual places.
    device, offline
        As `medfeat.extract` takes them.
    worker
        What a cluster calls this machine; empty where it is the one the command was given on.
    """

    cache_dir: str | Path | None = None
    data_root: str | Path | None = None
    device: str = "auto"
    offline: bool = False
    worker: str = ""

    @property
    def root(self) -> Path:
        """The folder of the cache."""
        return resolve_root(self.cache_dir)


_OPENED = (
    "size", "name", "intensity", "task", "classes", "path-column", "label-column", "split-column", "patient-column",
    "volumes",
)  # fmt: skip
_ASKED = ("task", "labels", "drop", "keep", "relabel", "partial", "classes")
_TUNED = (
    "mode", "epochs", "batch-size", "lr", "layer-decay", "weight-decay", "patience", "max-minutes", "class-weight",
    "loss", "sampler", "augment", "from-probe", "blocks", "rank", "train-batch-norm", "soup",
)  # fmt: skip


def wanted(cell: Cell, here: Here) -> Wanted:
    """Return what `extract` is asked for an embedding."""
    said: Mapping[str, Any] = cell.options
    request = wanted_request(
        wanted_views(*(said.get(name) for name in ("layer", "pool", "slices"))),
        **_given(said, ("fit", "precision", "dtype", "weights", "seed", "adapt", "trust-remote-code")),
        offline=here.offline,
    )
    request = replace(request, copies=said.get("copies"))
    opened = DataOptions.of(**_given(said, _OPENED), data_root=here.data_root, offline=here.offline)
    return Wanted(said["data"], said["backbone"], request, opened, cache_dir=here.cache_dir)


def probe_request(cell: Cell, here: Here, stores: Sequence[Path]) -> ProbeRequest:
    """Return what `probe` is asked for a head, or for its curve, on stores."""
    said: Mapping[str, Any] = cell.options
    return ProbeRequest(
        store=[str(path) for path in stores],
        question=Question(**_given(said, _ASKED)),
        cache_dir=here.cache_dir,
        one_of_all=cell.any_head,
        texts=TextsAsked(said.get("prompts"), here.offline),
        **_given(said, ("head", "seed")),
    )


def probe_options(cell: Cell) -> dict[str, Any]:
    """Return how a head is probed, as `probe_stores` takes it."""
    return _given(cell.options, ("choose", "class-weight", "refit", "resamples", "budget"))


def curve_options(cell: Cell) -> dict[str, Any]:
    """Return how a curve is drawn, as `few_shot_of` takes it."""
    return _given(cell.options, ("shots", "draws", "resamples"))


def training_request(cell: Cell, here: Here) -> FinetuneRequest:
    """Return what `finetune` is asked for a training."""
    said: Mapping[str, Any] = cell.options
    given = _given(said, ("backbone", "weights", "seed", "pool", "slices", "fit", "trust-remote-code"))
    options = _given(said, _TUNED)
    if "label-smoothing" in said:
        options["smoothing"] = said["label-smoothing"]
    shots = said.get("shots")
    if shots is not None and type(shots) is not int:
        raise UsageError(f"'shots' of a training must be whole numbers, got {shots!r}: give these, or no 'mode'")
    opened = tuple(name for name in _OPENED if name not in ("task", "classes"))
    return FinetuneRequest(
        data=said["data"],
        network=NetworkOptions(**given, offline=here.offline),
        options=FinetuneOptions(**options),
        question=Question(**_given(said, _ASKED)),
        opened=DataOptions.of(**_given(said, opened), data_root=here.data_root, offline=here.offline),
        device=here.device,
        shots=shots,
        cache_dir=here.cache_dir,
        **_given(said, ("precision", "resamples")),
    )


def check(cells: Sequence[Cell]) -> None:
    """Refuse what no cell can mean, before anything is done.

    Raises
    ------
    UsageError
        A mode, a precision or another word that is none, in the words of the command.
    """
    here = Here()
    for cell in cells:
        if cell.kind == EMBEDDING:
            wanted(cell, here)
        elif cell.kind == PROBE:
            Options(**_given(cell.options, ("seed",)), **probe_options(cell))
        elif cell.kind == CURVE:
            said = curve_options(cell)
            CurveOptions(
                as_names(said["shots"]), said.get("draws", 20), int(cell.options.get("seed", 0)),
                said.get("resamples", few_shot.RESAMPLES),
            )  # fmt: skip
        else:
            training_request(cell, here)


def _given(said: Mapping[str, Value], names: Sequence[str]) -> dict[str, Any]:
    """Return those of some options that were said, as parameters are spelled."""
    return {name.replace("-", "_"): said[name] for name in names if name in said}
