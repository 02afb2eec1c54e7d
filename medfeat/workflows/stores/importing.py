"""Features that another extractor made, as a store; nothing in their file is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.datasets import DATASETS, source_task
from medfeat.datasets.labels.class_spelling import class_list
from medfeat.datasets.own_images import asked_name
from medfeat.errors import DataError, MissingFileError, UsageError, WeightsError
from medfeat.saying import heard
from medfeat.tasks.check import examples
from medfeat.tasks.versions import Version, Versions, image_key, split_name
from medfeat.types import OFFICIAL_SOURCES, LabelArray, Progress, TaskType
from medfeat.workflows.asking.claiming import remember_labels
from medfeat.workflows.stores.biofuse import SUFFIX as BIOFUSE
from medfeat.workflows.stores.biofuse import biofuse_features
from medfeat.workflows.stores.imported_data import ImportedData
from medfeat.workflows.stores.known_folders import folder_features
from medfeat.workflows.stores.store_names import known_ids, versions_of
from medfeat_cache import (
    TORCH,
    Catalogue,
    Features,
    FeatureStore,
    import_arrays,
    named_features,
    read_features,
    resolve_root,
)
from medfeat_cache.commands import command, elsewhere
from medfeat_cache.reading import NoFile, look_at
from medfeat_cache.root import OWN_FOLDERS, OWN_NAMES

# Names that the cache keeps for itself, and the word that means all of them.
_RESERVED_DATA = OWN_NAMES | {"all"}
_RESERVED_BACKBONES = OWN_FOLDERS | {"all"}


def import_store(
    source: str | Path,
    *,
    data: str,
    backbone: str,
    ids: str | Path | None = None,
    task: TaskType | None = None,
    classes: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make a store of an npz, npy, HDF5, Parquet, CSV or torch file that another extractor wrote.

    Labels, splits and patients of the file become the dataset's own question, as those of a folder of images do: a
    split that is not there is drawn, by patient where these are known.

    Parameters
    ----------
    source
        The file, or the folder of a tool that leaves several (see `known_folders`); a torch file (``.pt``, ``.pth``,
        ``.ckpt``, ``.bin``) must hold a tensor or a dict of tensors.
    data, backbone
        What the store will be found by. Where own images of that name were extracted, the features are taken to be of
        these (``name@2`` for a version), and every id must be one of them; their labels and split are used.
    ids
        A file of ids (``.txt``, ``.json`` or ``.npy``) where the source has none, or a ``.csv`` of the same rows with
        ``id``, and if known ``label``, ``split`` and ``patient``.
    task, classes
        What the labels mean, and their names in order; default: as the file says, or told from them.
    cache_dir
        Where stores live.
    progress
        Told of how labels were read and where the split comes from.

    Raises
    ------
    UsageError
        A name that the cache keeps for itself.
    DataError
        Ids that are none of the images the features are said to be of; labels that cannot be meant.
    """
    path, aloud = Path(source), heard(progress)
    _refuse_reserved(split_name(data)[0], backbone)
    if path.suffix.lower() == BIOFUSE or (path.is_dir() and any(path.glob(f"*{BIOFUSE}"))):
        features = biofuse_features(path)
    elif path.is_dir():
        features = folder_features(path, _tensors)
    elif path.suffix.lower() in TORCH:
        features = named_features(_tensors(path), path, ids=ids)
    else:
        features = read_features(path, ids=ids)
    root = resolve_root(cache_dir)
    cache = Catalogue(root)
    name, number = split_name(data)
    versions = versions_of(cache, name)
    facts = {"imported_from": path.name}
    if number is not None or versions.known:
        version = versions.numbered(versions.current if number is None else number)
        features, more = _of_known_images(features, cache, versions, version, path=path, progress=aloud)
        recipe = {"images": version.content}
        return import_arrays(features, root, dataset=name, backbone=backbone, recipe=recipe, info=facts | more)
    if name in DATASETS and DATASETS[name].source in OFFICIAL_SOURCES:
        features, more = _of_official(features, cache, name, path)
        return import_arrays(features, root, dataset=name, backbone=backbone, info=facts | more)
    own = asked_name(name, DATASETS)
    imported = ImportedData(own, features, where=str(path), task=task, classes=class_list(classes), progress=aloud)
    if imported.info.task is not None:
        source_task(imported)  # labels or splits that cannot be are refused before anything is written
    features = {group: replace(one, labels=imported.labels(group)) for group, one in features.items()}
    more = {"dataset": asdict(imported.info)}
    store = import_arrays(features, root, dataset=name, backbone=backbone, info=facts | more)
    remember_labels(imported, root, imported.info.content, aloud)
    return store


def _of_known_images(
    features: Mapping[str, Features],
    cache: Catalogue,
    versions: Versions,
    version: Version,
    *,
    path: Path,
    progress: Progress,
) -> tuple[dict[str, Features], dict[str, Any]]:
    """Take features to be of images that were extracted, or imported, before: their labels and split are used.

    Nothing in the file shows an image: it is taken on trust, and written down.
    """
    shown = versions.name(version.content)
    _refuse_other_ids(features, known_ids(cache, versions.dataset, version), shown, path)
    if any(one.labels is not None or one.split is not None for one in features.values()):
        progress.say(f"{path}: labels and splits are those that {shown} has already, not those of the file")
    headers = [one for one in cache.find(dataset=versions.dataset) if image_key(one.info) in version.keys]
    known = next((one.info["dataset"] for one in headers if one.info.get("dataset")), None)
    plain = {group: replace(one, labels=None) for group, one in features.items()}
    return plain, {"images": version.content} | ({"dataset": known} if known else {})


def _of_official(
    features: Mapping[str, Features], cache: Catalogue, name: str, path: Path
) -> tuple[dict[str, Features], dict[str, Any]]:
    """Give features of an official set the groups and labels of a store of it."""
    for header in cache.find(dataset=name):
        known = header.info.get("dataset") or {}
        if known.get("source") in OFFICIAL_SOURCES and "imported_from" not in header.info:
            with FeatureStore(header.path) as store:
                return _as_stored(features, store, path), {"dataset": known}
    raise UsageError(
        f"{path}: {name} is a registered dataset, whose ids and labels are not in this cache yet: run "
        f"{command('extract', data=name, backbone='stats', cache_dir=elsewhere(cache.root))} first, or import under "
        "another --data"
    )


def _refuse_reserved(data: str, backbone: str) -> None:
    """Refuse names of folders that the cache keeps for itself, and words that mean several."""
    for name, option, taken in ((data, "--data", _RESERVED_DATA), (backbone, "--backbone", _RESERVED_BACKBONES)):
        if name.casefold() in taken:
            raise UsageError(f"{option} {name} is a name that medfeat keeps for itself: choose another")


def _as_stored(features: Mapping[str, Features], store: FeatureStore, path: Path) -> dict[str, Features]:
    """Put the rows of features into the groups of a store of the same images, with its labels."""
    every = np.concatenate([one.ids for one in features.values()])
    at = {str(name): i for i, name in enumerate(every.tolist())}
    rows = np.concatenate([one.embeddings for one in features.values()])
    known = {group: store.ids(group) for group in store.groups}
    _refuse_other_ids(features, {str(i) for ids in known.values() for i in ids}, str(store.recipe["dataset"]), path)
    found = {}
    for group, ids in known.items():
        there = np.isin(ids, every)
        labels = store.labels(group)
        if there.any():
            taken = [at[str(name)] for name in ids[there].tolist()]
            _refuse_other_labels(features, taken, None if labels is None else labels[there], path)
            found[group] = Features(ids[there], rows[taken], None if labels is None else labels[there])
    return found


def _refuse_other_labels(
    features: Mapping[str, Features], taken: Sequence[int], labels: LabelArray | None, path: Path
) -> None:
    """Refuse numbered rows whose own labels are not those of the images they are said to be: another order of rows."""
    own = [one.labels for one in features.values()]
    if labels is None or any(one is None or np.asarray(one).dtype.kind not in "iub" for one in own):
        return
    said = np.concatenate([np.asarray(one).reshape(len(one), -1) for one in own if one is not None])[taken]
    if said.shape == labels.shape and (said != labels).any():
        wrong = int((said != labels).any(axis=1).sum())
        raise DataError(
            f"{path}: {wrong} of {len(labels)} labels are not those of the images these rows are said to be: the rows "
            "are in another order; give their ids, or import under another --data"
        )


def _refuse_other_ids(features: Mapping[str, Features], known: set[str], shown: str, path: Path) -> None:
    unknown = [name for one in features.values() for name in one.ids.tolist() if name not in known]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} ids are no images of {shown}, such as {examples(unknown, 2)} (ids there look like "
            f"{examples(sorted(known), 2)}): give the ids of these images, or import under another --data"
        )


def _tensors(path: Path) -> dict[str, Any]:
    """Read a torch file of plain tensors, and lists of ids beside them; the store itself knows no torch."""
    import torch

    try:
        look_at(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise MissingFileError(f"no file {path}: name an npz, npy, HDF5 or torch file of features") from error
    except NoFile:
        raise
    except Exception as error:  # torch says it in many ways, in many lines
        raise WeightsError(
            f"{path} is not a file of plain tensors, and nothing else is loaded: save it as npz"
        ) from error
    if isinstance(content, torch.Tensor):
        content = {"embeddings": content}
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a tensor or a dict of tensors, got {type(content).__name__}: save it as npz")
    arrays = {str(name): _as_array(value, f"{path}: {name}") for name, value in content.items()}
    return {name: values for name, values in arrays.items() if values is not None}


def _as_array(value: Any, where: str) -> Any:
    """Return a tensor, or a list of texts, as an array; None for anything else."""
    import torch

    if isinstance(value, torch.Tensor):
        try:
            plain = value.detach()
            return (plain.float() if plain.is_floating_point() else plain).numpy()
        except (TypeError, RuntimeError) as error:  # sparse, quantized: not one number a place
            raise DataError(f"{where} is not a plain tensor of numbers: save it as npz") from error
    is_text = isinstance(value, (list, tuple)) and bool(value) and all(isinstance(name, str) for name in value)
    return np.asarray(value) if is_text else None
