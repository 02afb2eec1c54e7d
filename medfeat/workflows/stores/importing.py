"""Features that another extractor made, as a store; nothing in their file is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, MissingFileError, WeightsError
from medfeat.tasks.check import examples
from medfeat.tasks.versions import split_name
from medfeat.workflows.stores.store_names import known_ids, versions_of
from medfeat_cache import TORCH, Catalogue, Features, import_arrays, named_features, read_features, resolve_root
from medfeat_cache.reading import NoFile, look_at


def import_store(
    source: str | Path,
    *,
    data: str,
    backbone: str,
    ids: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> Path:
    """Make a store of an npz, npy, HDF5 or torch file that another extractor wrote.

    Parameters
    ----------
    source
        The file; a torch file (``.pt``, ``.pth``, ``.ckpt``, ``.bin``) must hold a tensor or a dict of tensors.
    data, backbone
        What the store will be found by. Where own images of that name were extracted, the features are taken to be of
        these (``name@2`` for a version), and every id must be one of them.
    ids
        A file of ids (``.txt``, ``.json`` or ``.npy``) where the source has none.
    cache_dir
        Where stores live.

    Raises
    ------
    DataError
        Ids that are none of the images the features are said to be of.
    """
    path = Path(source)
    if path.suffix.lower() in TORCH:
        features = named_features(_tensors(path), path, ids=ids)
    else:
        features = read_features(path, ids=ids)
    root = resolve_root(cache_dir)
    cache = Catalogue(root)
    name, number = split_name(data)
    versions = versions_of(cache, name)
    if number is None and not versions.known:
        return import_arrays(features, root, dataset=data, backbone=backbone, info={"imported_from": path.name})
    version = versions.numbered(versions.current if number is None else number)
    _refuse_other_ids(features, known_ids(cache, name, version), versions.name(version.content), path)
    # Nothing in the file shows an image: that the features are of these is taken on trust, and written down.
    facts = {"imported_from": path.name, "images": version.content}
    recipe = {"images": version.content}
    return import_arrays(features, root, dataset=name, backbone=backbone, recipe=recipe, info=facts)


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
