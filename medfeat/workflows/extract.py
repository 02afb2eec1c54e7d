"""Embed datasets with backbones: every pair of a comma list, one store for each view."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfeat.backbones import Entry, describe, takes_raw
from medfeat.datasets import DATASETS
from medfeat.datasets.not_here import NotHere
from medfeat.errors import MissingFileError
from medfeat.extraction.ask.asked import plan_stores, plan_to_fetch
from medfeat.extraction.ask.copies import copies_for
from medfeat.extraction.ask.request import Request, StoreOutcome
from medfeat.extraction.ask.store_plan import StorePlan
from medfeat.extraction.loop.in_memory import kept_in_memory
from medfeat.extraction.measure.pace import Paces, passes_an_image
from medfeat.extraction.network.devices import resolve_devices
from medfeat.extraction.network.embedding_length import embedding_length
from medfeat.extraction.network.layers_meant import with_layers
from medfeat.extraction.network.loaded import LastLoaded
from medfeat.extraction.session import embed
from medfeat.saying import SaidOnce, heard, warn_of
from medfeat.types import Dataset, DatasetInfo, Progress, TaskType
from medfeat.workflows.asking.claiming import Claim, claim, remember_labels
from medfeat.workflows.asking.data_options import DataOptions, Source
from medfeat.workflows.asking.wanted import Wanted, wanted_request, wanted_views
from medfeat.workflows.jobs.each import Done, Failure, Overall, each
from medfeat.workflows.results.extract_report import ExtractReport, Pair, PlanReport
from medfeat_cache import find_stores, resolve_root

if TYPE_CHECKING:
    import torch


def extract(
    data: object,
    backbone: str | Entry | Sequence[str | Entry],
    *,
    ids: Sequence[str] | None = None,
    labels: Sequence[Any] | None = None,
    size: int | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    adapt: bool = False,
    pool: str | Sequence[str] | None = None,
    layer: str | Sequence[str] | None = None,
    slices: str | Sequence[str] | None = None,
    copies: str | None = None,
    fit: str = "whole",
    precision: str = "auto",
    batch_size: int | str = "auto",
    dtype: str = "float32",
    device: str = "auto",
    data_root: str | Path | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    name: str | None = None,
    intensity: str | None = None,
    task: TaskType | None = None,
    classes: str | Sequence[str] | None = None,
    path_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    split_column: str | None = None,
    patient_column: str | None = None,
    volumes: str | None = None,
    workers: int | str = "auto",
    unpack: bool = False,
    recheck: bool = False,
    compile: bool = True,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> ExtractReport:
    """Embed every image once and keep the vectors in the cache.

    Parameters
    ----------
    data
        Dataset names (comma list), ``all``, or the path of a folder, CSV or npz; or what a program holds: a dataset,
        an array, a list of images, a dict of these with train, val and test, see `medfeat.dataset_from`.
    backbone
        Backbone names (comma list or sequence) or ``all``; or a network of your own, from `medfeat.backbone_from`.
    ids
        (n,) names of the images of an object; default: ``<split>/<row>``.
    labels
        (n,) or (n, k) labels of an object that holds images alone, over all splits.
    size
        Side of the stored images in pixels; MedMNIST comes in 28, 64, 128 and 224 (3D: 28 and 64).
    weights
        None for the pretrained ones, a file or folder of your own, ``FILE::PREFIX`` for one of several networks in a
        file, or ``random`` (drawn from `seed`).
    seed
        Of random weights.
    adapt
        Let a patch embedding of another patch size be resampled, which is refused otherwise.
    pool, layer, slices
        Poolings, module names and slice policies; several of each give several stores from one pass. ``every`` stands
        for all layers of a network by depth, ``quarter`` for those at the quarters of its depth. ``tokens``, and the
        slice policy ``keep`` (``keep:16`` for sixteen of each axis), keep several vectors an image.
    copies
        ``flip`` or ``crops``: the mean of the vectors of flipped or cropped copies, where that changes no meaning.
    fit
        ``whole``, ``reference`` or ``pad``: how an image becomes the network's square input.
    precision
        ``auto`` (the fastest that agrees with float32, measured), ``fp32``, ``bf16`` or ``fp16``.
    batch_size
        ``auto``, or images a forward pass.
    dtype
        ``float32``, or ``float16``, which takes half the room.
    device
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``; or several GPUs, each with a process of its own over
        its share of the images: ``cuda:0,1`` or ``cuda:all``.
    data_root, cache_dir
        Where dataset files and stores live; None means the usual places.
    offline
        Make no network call.
    name, intensity, task, classes, path_column, label_column, split_column, patient_column, volumes
        For your own images, see `medfeat.open_dataset`, and `medfeat.dataset_from` for objects.
    workers
        Threads that decode and hash images; ``auto`` is one for each core that the process may use.
    unpack
        Keep the images of an .npz in the cache as they are inflated: the next backbone reads them at the disk's speed.
    recheck
        Forget what was remembered of earlier extractions.
    compile
        Allow compiling the network when the run is long enough to repay it.
    trust_remote_code
        Let a Hugging Face repository run its own code.
    progress
        Hears of every batch. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.

    Returns
    -------
    ExtractReport
        One outcome a store; a pair that fails is listed and logged, and does not stop the others.

    Raises
    ------
    MedfeatError
        For a name or an option that cannot be meant, or when no pair could be embedded: with one name as with many.
    """
    options = DataOptions.of(
        size=size,
        data_root=data_root,
        offline=offline,
        name=name,
        intensity=intensity,
        task=task,
        classes=classes,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        patient_column=patient_column,
        volumes=volumes,
    ).read_by(workers, unpack=unpack)
    request = wanted_request(
        wanted_views(layer, pool, slices),
        fit=fit,
        precision=precision,
        batch_size=batch_size,
        dtype=dtype,
        weights=weights,
        seed=seed,
        adapt=adapt,
        offline=offline,
        trust_remote_code=trust_remote_code,
        recheck=recheck,
        compile=compile,
    )
    request = replace(request, copies=copies)
    wanted = Wanted(data, backbone, request, options, ids, cache_dir, labels)
    report = extract_wanted(wanted, device=device, progress=progress, raising=True)
    warn_of(report.problem_lines())
    return report


def extract_wanted(
    wanted: Wanted,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    raising: bool = False,
    loaded: LastLoaded | None = None,
) -> ExtractReport:
    """Do what `extract` says, with what is wanted in one value.

    Parameters
    ----------
    wanted, device, progress
        As `extract` takes them.
    raising
        Raise failures of several pairs too.
    loaded
        Keeps the last network for the next call; None keeps it for the datasets of this one.
    """
    progress = heard(progress)
    sources, networks = wanted.sources(progress), wanted.networks(progress)
    alone, where = len(sources) * len(networks) == 1, resolve_devices(device)
    root = resolve_root(wanted.cache_dir)
    overall = Overall(progress, "store", len(sources) * len(networks))
    said, kept = SaidOnce(progress), loaded or LastLoaded()
    run = _Run(wanted.options, wanted.request, root, where, progress, networks, alone, overall, said, kept)
    if len(networks) == 1 and ":" not in networks[0]:
        describe(networks[0])  # a mistyped name is said before a gigabyte of images is fetched
    named = ", ".join(map(str, where))
    progress.say(f"device: {named}")
    done = list(map(run.dataset, sources))
    overall.end()
    if raising:
        errors = tuple(error for one in done for error in one.errors)
        failed = tuple(failure for one in done for failure in one.failures)
        Done(tuple(one for of in done for one in of.results), failed, errors).raise_if_nothing()
    stores = tuple(store for one in done for outcomes in one.results for store in outcomes)
    return ExtractReport(stores, tuple(failure for one in done for failure in one.failures), named)


def plan(wanted: Wanted, *, device: str = "auto", progress: Progress | None = None) -> PlanReport:
    """Say what `extract_wanted` would do on a device, and why; fetches, loads and embeds nothing.

    Returns
    -------
    PlanReport
        A plan for each store: reuse, resume or compute.
    """
    root, progress = resolve_root(wanted.cache_dir), heard(progress)
    options = replace(wanted.options, offline=True)
    sources, networks, paces = wanted.sources(progress), wanted.networks(progress), Paces(device)

    def planned(pair: Pair) -> list[StorePlan]:
        try:
            given = options.given(pair.source, root=root, progress=progress)
        except MissingFileError as missing:
            if not isinstance(pair.source, str) or pair.source not in DATASETS:
                raise
            return _planned_without(missing, pair, wanted, root=root, paces=paces)
        claim(given.dataset, root, source=given.place, progress=progress)
        request = with_layers(wanted.request, pair.backbone)
        found = plan_stores(given.dataset, pair.backbone, request, root=root, lengths=embedding_length, paces=paces)
        return [replace(one, passes=_passes(one, given.dataset.info, request)) for one in found]

    done = each(itertools.starmap(Pair, itertools.product(sources, networks)), planned)
    return PlanReport(tuple(itertools.chain.from_iterable(done.results)), done.failures, done.errors)


def _planned_without(
    missing: MissingFileError, pair: Pair, wanted: Wanted, *, root: Path, paces: Paces
) -> list[StorePlan]:
    """Plan for a registered dataset whose file is not here: its stores that are here are found by what is known."""
    entry, request = DATASETS[str(pair.source)], with_layers(wanted.request, pair.backbone)
    fetched = plan_to_fetch(entry, pair.backbone, request, lengths=embedding_length)
    if entry.known is None:
        return fetched
    dataset = NotHere(entry.known(entry.checked_size(wanted.options.size)), missing)
    found = plan_stores(dataset, pair.backbone, request, root=root, lengths=embedding_length, paces=paces)
    return [one if one.action == "reuse" else other for one, other in zip(found, fetched, strict=True)]


def _passes(plan: StorePlan, info: DatasetInfo, request: Request) -> float | None:
    copies = copies_for(request.copies, info.name, info.ndim, raw=takes_raw(plan.backbone))
    each_one = passes_an_image(info.ndim, info.size, plan.view.slices, copies, takes_raw(plan.backbone))
    return None if each_one is None else plan.images * each_one


@dataclass(frozen=True)
class _Run:
    """What the datasets of one call share."""

    options: DataOptions
    request: Request
    root: Path
    devices: tuple[torch.device, ...]
    progress: Progress
    networks: tuple[str, ...]
    alone: bool
    overall: Overall
    of_weights: SaidOnce
    loaded: LastLoaded

    def dataset(self, source: Source) -> Done[Pair, list[StoreOutcome]]:
        """Open one dataset and send it through every network; an error that is all there is gets raised."""
        opening = each([Pair(source, ", ".join(self.networks))], self.opened)
        failures = tuple(Failure(Pair(source, name), one.error) for one in opening.failures for name in self.networks)
        done = Done[Pair, list[StoreOutcome]]((), failures, opening.errors)
        for opened in opening.results:
            done = each(
                [Pair(opened.dataset.info.name, name) for name in self.networks], opened.embedded, overall=self.overall
            )
        if self.alone:
            done.raise_if_alone()
        return done

    def opened(self, pair: Pair) -> _Opened:
        """Open a dataset, say which version it is, and keep its labels."""
        try:
            given = self.options.given(
                pair.source, root=self.root, progress=self.progress, recheck=self.request.recheck
            )
        except MissingFileError as missing:
            return self.not_here(pair.source, missing)
        claimed = claim(given.dataset, self.root, source=given.place, progress=self.progress)
        if claimed is not None:
            remember_labels(given.dataset, self.root, claimed.version.content, self.progress, claimed)
        # Read once, however many networks follow.
        images = kept_in_memory(given.dataset) if len(self.networks) > 1 else given.dataset
        return _Opened(self, images, claimed, replace(self.request, source=given.source))

    def not_here(self, source: Source, missing: MissingFileError) -> _Opened:
        """Return a dataset whose file is not here: it may not be fetched, and its stores can be found without it."""
        entry = DATASETS[source] if isinstance(source, str) and source in DATASETS else None
        if not self.options.offline or entry is None or entry.known is None:
            raise missing
        info = entry.known(entry.checked_size(self.options.size))
        if not find_stores(self.root, dataset=info.name, size=info.size):
            raise missing
        self.progress.say(f"{info.name}: its file is not here; stores of the official one are looked for without it")
        return _Opened(self, NotHere(info, missing), None, self.request)


@dataclass(frozen=True)
class _Opened:
    """A dataset that is open."""

    run: _Run
    dataset: Dataset
    claimed: Claim | None
    request: Request

    def embedded(self, pair: Pair) -> list[StoreOutcome]:
        """Send it through one network."""
        run = self.run
        try:
            made = embed(
                self.dataset,
                pair.backbone,
                self.request,
                root=run.root,
                device=run.devices[0],
                beside=run.devices[1:],
                progress=run.progress,
                of_weights=run.of_weights,
                loaded=run.loaded,
            )
        finally:
            run.progress.finish()
        if self.claimed is not None:
            self.claimed.settle()
        return made
