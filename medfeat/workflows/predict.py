"""`medfeat predict`: a saved probe labels images; where it cannot keep to an error rate, it says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medfeat.backbones import takes_colour
from medfeat.counted import none_of
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.judging.cross_validation import CV
from medfeat.evaluation.measures.conformal import calibrate
from medfeat.evaluation.measures.novelty import Familiar
from medfeat.evaluation.runs.saved_probe import SavedProbe, load_probe, refuse_other_recipe, refuse_patients
from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
from medfeat.saying import heard, warn_of
from medfeat.tasks import fuse
from medfeat.types import BadImage, FloatArray, IdArray, Progress
from medfeat.workflows.results.predict_report import PredictReport
from medfeat.workflows.runs import BEST, named_run
from medfeat.workflows.stores.how_to_extract import extract_first, network_words
from medfeat.workflows.stores.one_store import store_path_of
from medfeat.workflows.stores.remake import EmbeddedImages, NewImages, Remake
from medfeat.workflows.stores.store_names import find_meant
from medfeat.workflows.stores.trained_on import as_one_vector, trained_on
from medfeat_cache import Catalogue, FeatureStore, read_header, resolve_root
from medfeat_cache.commands import command, elsewhere

_ERROR_RATE = 0.1


def predict(
    run: str | Path,
    images: object = None,
    *,
    data: str | None = None,
    store: str | None = None,
    out: str | Path | None = None,
    error_rate: float = _ERROR_RATE,
    intensity: str | None = None,
    path_column: str | None = None,
    volumes: str | None = None,
    size: int | None = None,
    data_root: str | Path | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    offline: bool = False,
    trust_remote_code: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> PredictReport:
    """Label images with a saved probe.

    Parameters
    ----------
    run
        Folder of a run, the beginning of its key, or ``best`` of the dataset that `data` names: on val, or in folds
        where val has fewer than 128 samples and runs were cross-validated; which one is told.
    images
        What to embed by the probe's recipe: a folder, CSV, npz, image or DICOM series, or a registered name; or what a
        program holds: an array (n, H, W[, 3]) of uint8, a list of Pillow images, tensors, a dataset, see
        `medfeat.dataset_from`, which also gives images ids of their own. Those of an array or a list stay in its order.
    data
        Instead of images: a dataset in the cache that was embedded by the probe's recipe; nothing is embedded. Beside
        images it says of which dataset the best run is meant.
    store
        Instead of either: first digits of the digest of such a store.
    out
        CSV to write: id, label, confidence, set, abstain, ood, its p-value, and a score a class.
    error_rate
        Share of images whose set may miss the truth; calibrated on val, or where folds chose the run on what they said
        of train and val, so it holds for images like those. Where patients are known, a patient counts as one sample.
    intensity, path_column, volumes, size
        How to read the images; by default as the probe's own were.
    data_root, weights
        Where files and weights are now.
    device, offline, trust_remote_code
        As in `medfeat.extract`.
    cache_dir
        Where runs and stores live.
    progress
        Hears of every batch. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.

    Returns
    -------
    PredictReport
        Silver-standard labels: keep those that are neither abstained nor ``ood``, unlike the images of training.

    Raises
    ------
    UsageError
        A run that is not there, data of another recipe, an error rate that is none.
    DataError
        A saved probe that is damaged, or is not what it says; nothing in it was run.
    """
    beside = run == BEST and (images is not None or store is not None)  # then `data` says whose best run is meant
    if sum(one is not None for one in (images, store, None if beside else data)) != 1:
        raise UsageError("give --images (to be embedded), or --data or --store (in the cache already)")
    root, progress = resolve_root(cache_dir), heard(progress)
    cache, probe = Catalogue(root), load_probe(named_run(root, run, data=data, say=progress.say))
    refuse_patients(probe)
    if probe.run.protocol.get("choose") == CV and not probe.in_folds:
        progress.say(
            f"run {probe.run.key[:12]} was made before its folds' scores of train were kept, and is calibrated on val "
            f"alone: {command('runs', 'delete', probe.run.key[:12], cache_dir=elsewhere(root))}, then probe again"
        )
    conformal = calibrate(probe.unseen, error_rate, probe.unseen_groups, in_folds=probe.in_folds)
    familiar, unknown = _familiar(probe, cache)
    bad: list[BadImage] = []
    if images is not None:
        options = RemakeOptions(
            data_root=data_root, weights=weights, device=device, offline=offline, trust_remote_code=trust_remote_code
        )
        remakes = [Remake(MadeFrom.of(*part), options, root, progress) for part in probe.parts()]
        new = NewImages(images, intensity=intensity, path_column=path_column, volumes=volumes, size=size)
        parts = _of_images([remake.embed(remake.open_new(new), new.groups) for remake in remakes], bad)
    else:
        named = [_fitting(cache, store, probe)] if store is not None else None
        paths = named or [matching_store(cache, str(data), *part) for part in probe.parts()]
        parts = _of_store(paths)
    found = [_said(probe, familiar, *part) for part in parts]
    if not found:
        said = f": {bad[0].id}: {bad[0].reason}" if bad else ""
        what = data or store if images is None else NewImages(images)
        raise DataError(f"{none_of(len(bad), 'image')} of {what} could be read{said}")
    whole = _joined(found)
    facts: dict[str, Any] = {"conformal": conformal, "ood_unknown": unknown, "bad": tuple(bad)}
    facts |= {"attention": whole.attention, "ood_p": None if familiar is None else whole.ood_p}
    facts |= {"embedded": len(whole.ids) if images is not None else 0, "out": None if out is None else Path(out)}
    return _report(probe, whole.ids, whole.scores, **facts)


def _report(probe: SavedProbe, ids: IdArray, scores: NDArray[np.float64], **facts: Any) -> PredictReport:
    """Write what is to be written, and warn of what must not be overlooked."""
    report = PredictReport(
        run=probe.run.key,
        task_type=probe.task_type,
        classes=probe.classes,
        ids=ids,
        scores=scores,
        calibrated=probe.calibrated(scores),
        **facts,
    )
    if report.out is not None:
        report.write(report.out)
    warn_of(chain(report.problem_lines(), report.cautions))
    return report


_Part = tuple[IdArray, FloatArray]


def _familiar(probe: SavedProbe, cache: Catalogue) -> tuple[Familiar | None, str]:
    """Return what is familiar to a probe, or why that cannot be told."""
    if len(probe.parts()) > 1:
        return None, "it reads several stores side by side"
    try:
        found = trained_on(probe, cache)
    except DataError as error:
        return None, str(error)
    if found.can_tell:
        return found, ""
    return None, f"val has {found.counted} independent samples, too few to tell"


class _Said(NamedTuple):
    """What is said of some images: ids, scores, p-values of being familiar, and attention where the head has any."""

    ids: IdArray
    scores: NDArray[np.float64]
    ood_p: NDArray[np.float64]
    attention: NDArray[np.float32] | None


def _said(probe: SavedProbe, familiar: Familiar | None, ids: IdArray, features: FloatArray) -> _Said:
    name = str(probe.recipe.get("backbone"))
    if takes_colour(name) and features.shape[-1] != probe.run.store["dim"]:
        raise DataError(
            f"{ids[0]} gives {features.shape[-1]} numbers by {name}, and the images of training gave "
            f"{probe.run.store['dim']} each: one is grey and the other in colour; save the new images as those were"
        )
    scores = probe.scores(features)  # looks at their form
    p = np.ones(len(ids)) if familiar is None else familiar.p_values(as_one_vector(features))
    return _Said(ids, scores, p, probe.attention(features) if probe.attends else None)


def _joined(parts: Sequence[_Said]) -> _Said:
    ids, scores, p = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:3])
    weights = [part.attention for part in parts if part.attention is not None]
    return _Said(ids, scores, p, np.concatenate(weights) if weights else None)


def _of_images(streams: Sequence[Iterable[EmbeddedImages]], bad: list[BadImage]) -> Iterator[_Part]:
    if len(streams) > 1:
        yield from _side_by_side(streams, bad)
        return
    for batch in streams[0]:
        bad.extend(batch.bad)
        if len(batch.ids):
            yield batch.ids, batch.features


def _side_by_side(streams: Sequence[Iterable[EmbeddedImages]], bad: list[BadImage]) -> Iterator[_Part]:
    """Embed by each recipe in turn, and hand on what stands side by side: all features are held at once."""
    blocks, ids = [], np.empty(0, np.str_)
    for stream in streams:
        batches = list(stream)
        bad[:] = [one for batch in batches for one in batch.bad]
        there = [batch for batch in batches if len(batch.ids)]
        ids = np.concatenate([batch.ids for batch in there]) if there else ids[:0]
        blocks += [np.concatenate([batch.features for batch in there])] if there else []
    if len(ids):
        yield ids, np.hstack(blocks)


def _of_store(paths: Sequence[Path]) -> Iterator[_Part]:
    with ExitStack() as stack:
        stores = [stack.enter_context(FeatureStore(path)) for path in paths]
        store = fuse(stores) if len(stores) > 1 else stores[0]
        for group in store.groups:
            yield from store.batches(group)


def _fitting(cache: Catalogue, which: str, probe: SavedProbe) -> Path:
    """Return the path of the store that is named, if it was embedded by the recipe of a probe."""
    header = read_header(store_path_of(cache.root, which))
    refuse_other_recipe(probe.recipe, header.recipe, f"store {header.digest[:12]}")
    return header.path


def matching_store(
    cache: Catalogue, data: str, recipe: Mapping[str, Any], info: Mapping[str, Any] | None = None
) -> Path:
    """Return the store of a dataset that was embedded by a recipe, the data itself set aside; `info` goes with it.

    Raises
    ------
    UsageError
        There is none; the fields in which the nearest differs are named.
    """
    stores = find_meant(cache, [data], backbone=recipe["backbone"])
    if not stores:
        raise UsageError(
            f"no store of {data} x {recipe['backbone']} in {cache.root}: run "
            f"{extract_first(cache, data, **network_words(recipe, info or {}))} first"
        )
    problems: list[UsageError] = []
    for header in stores:
        try:
            refuse_other_recipe(recipe, header.recipe, f"{data} x {recipe['backbone']}")
            return header.path
        except UsageError as error:
            problems.append(error)
    raise min(problems, key=lambda error: len(str(error)))
