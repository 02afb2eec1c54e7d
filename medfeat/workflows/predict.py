"""`medfeat predict`: a saved probe labels images; where it cannot keep to an error rate, it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.errors import DataError, UsageError
from medfeat.evaluation.measures.conformal import calibrate
from medfeat.evaluation.runs.saved_probe import SavedProbe, find_run, load_probe, refuse_other_recipe
from medfeat.extraction.ask.made_from import MadeFrom, RemakeOptions
from medfeat.tasks import fuse
from medfeat.types import BadImage, IdArray, Progress, SilentProgress
from medfeat.workflows.results.predict_report import PredictReport
from medfeat.workflows.stores.remake import NewImages, Remake
from medfeat.workflows.stores.store_names import find_meant
from medfeat_cache import Catalogue, FeatureStore, resolve_root

_ERROR_RATE = 0.1


def predict(
    run: str | Path,
    images: str | Path | None = None,
    *,
    data: str | None = None,
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
        Folder of a run, or the beginning of its key.
    images
        What to embed by the probe's recipe: a folder, CSV, npz, image or DICOM series, or a registered name.
    data
        Instead of images: a dataset in the cache that was embedded by the probe's recipe; nothing is embedded.
    out
        CSV to write: id, label, confidence, set, abstain, and a score a class.
    error_rate
        Share of images whose set may miss the truth; calibrated on val, so it holds for images like those.
    intensity, path_column, volumes, size
        How to read the images; by default as the probe's own were.
    data_root, weights
        Where files and weights are now.
    device, offline, trust_remote_code
        As in `medfeat.extract`.
    cache_dir
        Where runs and stores live.
    progress
        Hears of every batch.

    Returns
    -------
    PredictReport
        Silver-standard labels: keep those that are not abstained.

    Raises
    ------
    UsageError
        A run that is not there, data of another recipe, an error rate that is none.
    DataError
        A saved probe that is damaged, or is not what it says; nothing in it was run.
    """
    if (images is None) == (data is None):
        raise UsageError("give either --images (to be embedded) or --data (in the cache already)")
    root, progress = resolve_root(cache_dir), progress or SilentProgress()
    probe = load_probe(find_run(root, run))
    conformal = calibrate(probe.val, error_rate)
    bad: list[BadImage] = []
    if images is not None:
        options = RemakeOptions(
            data_root=data_root, weights=weights, device=device, offline=offline, trust_remote_code=trust_remote_code
        )
        remakes = [Remake(MadeFrom.of(*part), options, root, progress) for part in probe.parts()]
        new = NewImages(images, intensity=intensity, path_column=path_column, volumes=volumes, size=size)
        found = list(_of_images(probe, new, remakes, bad))
    else:
        found = list(_of_store(probe, str(data), root))
    ids = np.concatenate([part[0] for part in found]) if found else np.empty(0, np.str_)
    if not len(ids):
        said = f": {bad[0].id}: {bad[0].reason}" if bad else ""
        raise DataError(f"none of the {len(bad)} images of {images or data} could be read{said}")
    scores = np.concatenate([part[1] for part in found])
    report = PredictReport(
        run=probe.run.key,
        task_type=probe.task_type,
        classes=probe.classes,
        ids=ids,
        scores=scores,
        calibrated=probe.calibrated(scores),
        conformal=conformal,
        bad=tuple(bad),
        embedded=len(ids) if images is not None else 0,
        out=None if out is None else Path(out),
    )
    if report.out is not None:
        report.write(report.out)
    return report


Part = tuple[IdArray, NDArray[np.float64]]


def _of_images(probe: SavedProbe, images: NewImages, remakes: Sequence[Remake], bad: list[BadImage]) -> Iterator[Part]:
    if len(remakes) > 1:
        yield _of_several(probe, images, remakes, bad)
        return
    for batch in remakes[0].embed(remakes[0].open_new(images)):
        bad.extend(batch.bad)
        if len(batch.ids):
            yield batch.ids, probe.scores(batch.features)


def _of_several(probe: SavedProbe, images: NewImages, remakes: Sequence[Remake], bad: list[BadImage]) -> Part:
    """Embed by each recipe in turn, and score what stands side by side: the features of all images are held at once."""
    blocks, ids = [], np.empty(0, np.str_)
    for remake in remakes:
        batches = list(remake.embed(remake.open_new(images)))
        bad[:] = [one for batch in batches for one in batch.bad]
        there = [batch for batch in batches if len(batch.ids)]
        ids = np.concatenate([batch.ids for batch in there]) if there else ids[:0]
        blocks.append(np.concatenate([batch.features for batch in there]) if there else np.empty((0, 0), np.float32))
    return ids, probe.scores(np.hstack(blocks)) if len(ids) else np.empty((0, 0))


def _of_store(probe: SavedProbe, data: str, root: Path) -> Iterator[Part]:
    cache = Catalogue(root)
    with ExitStack() as stack:
        parts = [matching_store(cache, data, recipe) for recipe, _ in probe.parts()]
        stores = [stack.enter_context(FeatureStore(path)) for path in parts]
        store = fuse(stores) if len(stores) > 1 else stores[0]
        for group in store.groups:
            for ids, features in store.batches(group):
                yield ids, probe.scores(features)


def matching_store(cache: Catalogue, data: str, recipe: Mapping[str, Any]) -> Path:
    """Return the store of a dataset that was embedded by a recipe, the data itself set aside.

    Raises
    ------
    UsageError
        There is none; the fields in which the nearest differs are named.
    """
    stores = find_meant(cache, [data], backbone=recipe["backbone"])
    if not stores:
        raise UsageError(
            f"no store of {data} x {recipe['backbone']} in {cache.root}: run `medfeat extract --backbone "
            f"{recipe['backbone']} --data {data}` first"
        )
    problems: list[UsageError] = []
    for header in stores:
        try:
            refuse_other_recipe(recipe, header.recipe, f"{data} x {recipe['backbone']}")
            return header.path
        except UsageError as error:
            problems.append(error)
    raise min(problems, key=lambda error: len(str(error)))
