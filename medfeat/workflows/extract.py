"""Embed datasets with backbones: every pair of a comma list, one store for each view."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfeat.backbones import Entry, describe
from medfeat.datasets import DATASETS
from medfeat.errors import MissingFileError
from medfeat.extraction.ask.asked import plan_stores, plan_to_fetch
from medfeat.extraction.ask.request import Request, StoreOutcome
from medfeat.extraction.ask.store_plan import StorePlan
from medfeat.extraction.loop.in_memory import kept_in_memory
from medfeat.extraction.network.device import resolve_device
from medfeat.extraction.network.embedding_length import embedding_length
from medfeat.extraction.session import embed
from medfeat.types import Progress, SilentProgress, TaskType
from medfeat.workflows.asking.claiming import claim, remember_labels
from medfeat.workflows.asking.data_options import DataOptions, Source
from medfeat.workflows.asking.wanted import checked_request, wanted_data, wanted_networks
from medfeat.workflows.results.extract_report import ExtractReport, Failure, PlanReport
from medfeat.workflows.results.unforeseen import in_one_line, show_traceback
from medfeat_cache import resolve_root

if TYPE_CHECKING:
    import torch


def extract(
    data: object,
    backbone: str | Entry | Sequence[str | Entry],
    *,
    ids: Sequence[str] | None = None,
    size: int | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    adapt: bool = False,
    pool: str | Sequence[str] | None = None,
    layer: str | Sequence[str] | None = None,
    slices: str | Sequence[str] | None = None,
    fit: str = "whole",
    precision: str = "auto",
    batch_size: int | str = "auto",
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
        Poolings, module names and slice policies; several of each give several stores from one pass.
    fit
        ``whole``, ``reference`` or ``pad``: how an image becomes the network's square input.
    precision
        ``auto`` (the fastest that agrees with float32, measured), ``fp32``, ``bf16`` or ``fp16``.
    batch_size
        ``auto``, or images a forward pass.
    device
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    data_root, cache_dir
        Where dataset files and stores live; None means the usual places.
    offline
        Make no network call.
    name, intensity, task, classes, path_column, label_column, split_column, patient_column, volumes
        For your own images, see `medfeat.open_dataset`, and `medfeat.dataset_from` for objects.
    recheck
        Forget what was remembered of earlier extractions.
    compile
        Allow compiling the network when the run is long enough to repay it.
    trust_remote_code
        Let a Hugging Face repository run its own code.
    progress
        Hears of every batch; None shows nothing.

    Returns
    -------
    ExtractReport
        One outcome a store; a pair that fails is listed and does not stop the others.

    Raises
    ------
    MedfeatError
        For a name or an option that cannot be meant. When only one pair is asked for, its error is raised as it is.
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
    )
    request = replace(
        checked_request(layer, pool, slices, fit=fit, precision=precision, batch_size=batch_size),
        weights=None if weights is None else str(weights),
        seed=seed,
        adapt=adapt,
        offline=offline,
        trust_remote_code=trust_remote_code,
        recheck=recheck,
        compile=compile,
    )
    run = _Run(options, request, resolve_root(cache_dir), resolve_device(device), progress or SilentProgress())
    return run.every(wanted_data(data, ids, run.progress), wanted_networks(backbone, request, run.progress))


def plan(
    data: object,
    backbone: str | Entry | Sequence[str | Entry],
    *,
    ids: Sequence[str] | None = None,
    size: int | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    adapt: bool = False,
    pool: str | Sequence[str] | None = None,
    layer: str | Sequence[str] | None = None,
    slices: str | Sequence[str] | None = None,
    fit: str = "whole",
    precision: str = "auto",
    cache_dir: str | Path | None = None,
    recheck: bool = False,
    progress: Progress | None = None,
    **data_options: Any,
) -> PlanReport:
    """Say what `extract` would do with the same arguments, and why; fetches, loads and embeds nothing.

    Parameters
    ----------
    data, backbone, ids, size, weights, seed, adapt, pool, layer, slices, fit, precision, cache_dir, recheck, progress
        As `extract` takes them.
    **data_options
        The other options of `extract` that say what the data is.

    Returns
    -------
    PlanReport
        A plan for each store: reuse, resume or compute.
    """
    options = replace(DataOptions.of(size=size, **data_options), offline=True)
    request = replace(
        checked_request(layer, pool, slices, fit=fit, precision=precision),
        weights=None if weights is None else str(weights),
        seed=seed,
        adapt=adapt,
        recheck=recheck,
    )
    root, progress = resolve_root(cache_dir), progress or SilentProgress()
    plans: list[StorePlan] = []
    failures: list[Failure] = []
    sources, networks = wanted_data(data, ids, progress), wanted_networks(backbone, request, progress)
    for source, network in itertools.product(sources, networks):
        try:
            plans.extend(_plans(options, source, network, request, root=root, progress=progress))
        except Exception as error:
            show_traceback(error)
            failures.append(Failure(str(source), network, in_one_line(error)))
    return PlanReport(tuple(plans), tuple(failures))


def _plans(
    options: DataOptions, source: Source, network: str, request: Request, *, root: Path, progress: Progress
) -> list[StorePlan]:
    try:
        given = options.given(source, root=root, progress=progress)
    except MissingFileError:
        if not isinstance(source, str) or source not in DATASETS:
            raise
        return plan_to_fetch(DATASETS[source], network, request, lengths=embedding_length)
    claim(given.dataset, root, source=given.place, progress=progress)
    return plan_stores(given.dataset, network, request, root=root, lengths=embedding_length)


class _Run:
    """The pairs of one call: each is tried, none stops the others."""

    def __init__(
        self, options: DataOptions, request: Request, root: Path, device: torch.device, progress: Progress
    ) -> None:
        self.options, self.request, self.root = options, request, root
        self.device, self.progress, self.alone = device, progress, False
        self.stores: list[StoreOutcome] = []
        self.failures: list[Failure] = []

    def every(self, datasets: Sequence[Source], networks: Sequence[str]) -> ExtractReport:
        """Send each dataset through each network; what goes wrong with one pair alone is raised."""
        self.alone = len(datasets) * len(networks) == 1
        if len(networks) == 1 and ":" not in networks[0]:
            describe(networks[0])  # a mistyped name is said before a gigabyte of images is fetched
        self.progress.say(f"device: {self.device}")
        for source in datasets:
            self.dataset(source, networks)
        return ExtractReport(tuple(self.stores), tuple(self.failures), str(self.device))

    def dataset(self, source: Source, networks: Sequence[str]) -> None:
        """Open one dataset and send it through every network."""
        try:
            recheck = self.request.recheck
            given = self.options.given(source, root=self.root, progress=self.progress, recheck=recheck)
            dataset = given.dataset
            claimed = claim(dataset, self.root, source=given.place, progress=self.progress)
            if claimed is not None:
                remember_labels(dataset, self.root, claimed.version.content, self.progress)
        except Exception as error:
            self._failed(error, *(Failure(str(source), network, in_one_line(error)) for network in networks))
            return
        # Read once, however many networks follow.
        images = kept_in_memory(dataset) if len(networks) > 1 else dataset
        request = replace(self.request, source=given.source)
        for network in networks:
            try:
                self.stores += embed(
                    images, network, request, root=self.root, device=self.device, progress=self.progress
                )
                if claimed is not None:
                    claimed.settle()
            except Exception as error:
                self._failed(error, Failure(dataset.info.name, network, in_one_line(error)))
            finally:
                self.progress.finish()

    def _failed(self, error: Exception, *failures: Failure) -> None:
        if self.alone:
            raise error
        show_traceback(error)
        self.failures += failures
