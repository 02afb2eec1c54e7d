"""Embed datasets with backbones: every pair of a comma list, one store for each view."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from medfeat.backbones import backbone_names, describe
from medfeat.datasets import DATASETS, dataset_names
from medfeat.errors import MissingFileError, UsageError
from medfeat.extraction.asking import plan_stores, plan_to_fetch
from medfeat.extraction.device import resolve_device
from medfeat.extraction.keep import kept_in_memory
from medfeat.extraction.plan import Plan
from medfeat.extraction.request import Request, StoreOutcome
from medfeat.extraction.session import embed
from medfeat.types import Fit, Precision, Progress, SilentProgress, TaskType, View, as_names
from medfeat.workflows.claiming import claim, remember_labels
from medfeat.workflows.extract_report import ExtractReport, Failure, PlanReport
from medfeat.workflows.opening import DataOptions
from medfeat.workflows.unforeseen import in_one_line, show_traceback
from medfeat_cache import resolve_root

if TYPE_CHECKING:
    import torch


def extract(
    data: str | Path,
    backbone: str | Sequence[str],
    *,
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
        Dataset names (comma list), ``all``, or the path of a folder, CSV or npz.
    backbone
        Backbone names (comma list or sequence) or ``all``.
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
        For your own images, see `medfeat.open_dataset`.
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
    request = Request(
        weights=None if weights is None else str(weights),
        seed=seed,
        adapt=adapt,
        views=_views(layer, pool, slices),
        fit=_checked_fit(fit),
        precision=_checked_precision(precision),
        batch_size=_checked_batch(batch_size),
        offline=offline,
        trust_remote_code=trust_remote_code,
        recheck=recheck,
        compile=compile,
    )
    run = _Run(options, request, resolve_root(cache_dir), resolve_device(device), progress or SilentProgress())
    return run.every(_datasets(data), _networks(backbone, request))


def plan(
    data: str | Path,
    backbone: str | Sequence[str],
    *,
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
    data, backbone, size, weights, seed, adapt, pool, layer, slices, fit, precision, cache_dir, recheck, progress
        As `extract` takes them.
    **data_options
        The other options of `extract` that say what the data is.

    Returns
    -------
    PlanReport
        A plan for each store: reuse, resume or compute.
    """
    options = replace(DataOptions.of(size=size, **data_options), offline=True)
    request = Request(
        weights=None if weights is None else str(weights),
        seed=seed,
        adapt=adapt,
        views=_views(layer, pool, slices),
        fit=_checked_fit(fit),
        precision=_checked_precision(precision),
        recheck=recheck,
    )
    root, progress = resolve_root(cache_dir), progress or SilentProgress()
    plans: list[Plan] = []
    failures: list[Failure] = []
    for source, network in itertools.product(_datasets(data), _networks(backbone, request)):
        try:
            dataset = options.open(source, root=root, progress=progress)
            claim(dataset, root, source=options.place(source), progress=progress)
            plans.extend(plan_stores(dataset, network, request, root=root))
        except MissingFileError as error:
            if source not in DATASETS:
                failures.append(Failure(source, network, str(error)))
            else:
                plans.extend(plan_to_fetch(DATASETS[source], network, request))
        except Exception as error:
            show_traceback(error)
            failures.append(Failure(source, network, in_one_line(error)))
    return PlanReport(tuple(plans), tuple(failures))


class _Run:
    """The pairs of one call: each is tried, none stops the others."""

    def __init__(
        self,
        options: DataOptions,
        request: Request,
        root: Path,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.options, self.request, self.root = options, request, root
        self.device, self.progress = device, progress
        self.alone = False
        self.stores: list[StoreOutcome] = []
        self.failures: list[Failure] = []

    def every(self, datasets: Sequence[str], networks: Sequence[str]) -> ExtractReport:
        """Send each dataset through each network; a pair that is alone raises its error."""
        self.alone = len(datasets) * len(networks) == 1
        if len(networks) == 1 and ":" not in networks[0]:
            describe(networks[0])  # a mistyped name is said before a gigabyte of images is fetched
        self.progress.say(f"device: {self.device}")
        for source in datasets:
            self.dataset(source, networks)
        return ExtractReport(tuple(self.stores), tuple(self.failures), str(self.device))

    def dataset(self, source: str, networks: Sequence[str]) -> None:
        """Open one dataset and send it through every network."""
        try:
            recheck = self.request.recheck
            dataset = self.options.open(source, root=self.root, progress=self.progress, recheck=recheck)
            claimed = claim(dataset, self.root, source=self.options.place(source), progress=self.progress)
            if claimed is not None:
                remember_labels(dataset, self.root, claimed.version.content, self.progress)
        except Exception as error:
            self._failed(error, *(Failure(source, network, in_one_line(error)) for network in networks))
            return
        # Read once, however many networks follow.
        images = kept_in_memory(dataset) if len(networks) > 1 else dataset
        request = replace(self.request, source=self.options.source(source))
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


def _datasets(data: str | Path) -> tuple[str, ...]:
    names = as_names(str(data))
    if isinstance(data, Path) or _is_there(str(data)):
        return (str(data),)
    if not names:
        raise UsageError("--data is empty: name a dataset (see `medfeat list datasets`), or a folder, CSV or npz")
    return tuple(dataset_names()) if names == ("all",) else names


def _is_there(data: str) -> bool:
    try:
        return data not in DATASETS and Path(data).exists()
    except OSError:  # a comma list can be longer than any file name
        return False


def _networks(backbone: str | Sequence[str], request: Request) -> tuple[str, ...]:
    names = as_names(backbone)
    if not names:
        raise UsageError("--backbone is empty: name one or more (see `medfeat list backbones`)")
    names = tuple(backbone_names()) if names == ("all",) else names
    if len(names) > 1 and request.weights not in (None, "random"):
        raise UsageError(
            f"--weights {request.weights} fits one backbone, got {len(names)}: name one, or drop --weights"
        )
    return names


def _views(*parts: str | Sequence[str] | None) -> tuple[View, ...]:
    layers, pools, slices = ([None] if part is None else list(as_names(part)) or [None] for part in parts)
    return tuple(View(*choice) for choice in itertools.product(layers, pools, slices))


def _checked_fit(fit: str) -> Fit:
    if fit not in get_args(Fit):
        raise UsageError(f"--fit must be one of {', '.join(get_args(Fit))}, got {fit!r}")
    return cast(Fit, fit)


def _checked_precision(precision: str) -> str:
    allowed = ("auto", *get_args(Precision))
    if precision not in allowed:
        raise UsageError(f"--precision must be one of {', '.join(allowed)}, got {precision!r}")
    return precision


def _checked_batch(batch_size: int | str) -> int | None:
    if batch_size == "auto":
        return None
    try:
        number = int(batch_size)
    except ValueError as error:
        raise UsageError(f"--batch-size must be auto or a positive whole number, got {batch_size!r}") from error
    if number < 1:
        raise UsageError(f"--batch-size must be auto or a positive whole number, got {number}")
    return number
