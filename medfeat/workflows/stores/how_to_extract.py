"""The command that embeds a dataset as a store of it was embedded: its place, columns, names and folders with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from medfeat.backbones.backbone import RANDOM
from medfeat.datasets import DATASETS
from medfeat.extraction.ask.copies import CROPS, FLIP, OF_CROPS
from medfeat.extraction.ask.made_from import MadeFrom
from medfeat.tasks.versions import split_name
from medfeat.workflows.asking.data_options import DataOptions
from medfeat_cache import Catalogue, StoreHeader
from medfeat_cache.commands import command, command_line, elsewhere

_WEIGHTS_FREE = "weights-free"
_NAME = "NAME"  # where a person has to say what is meant


def can_be_extracted(header: StoreHeader) -> bool:
    """Whether a command can embed the images of a store again: none knows those of a program or of an import."""
    source = header.info.get("source") or {}
    return "data" in source or (not source and str(header.recipe["dataset"]) in DATASETS)


def extract_as(header: StoreHeader, backbone: str | Sequence[str], *, root: Path, **options: Any) -> str:
    """Return the command that embeds the images of a store with backbones, opened as they were for it.

    Parameters
    ----------
    header
        Of a store for which `can_be_extracted`.
    backbone
        With which.
    root
        Of the cache.
    **options
        What else `medfeat extract` is to be told.
    """
    return f"`{extract_line(header, backbone, root=root, **options)}`"


def extract_line(
    header: StoreHeader, backbone: str | Sequence[str], *, root: Path | None = None, **options: Any
) -> str:
    """Return what `extract_as` does, without the backticks; for a page that others read, leave the root out."""
    where = None if root is None else elsewhere(root)
    return command_line("extract", **{**opening_words(header), "backbone": backbone, **options}, cache_dir=where)


def opening_words(header: StoreHeader) -> dict[str, Any]:
    """Return the options that open the images of a store as they were opened for it, ``data`` first."""
    source = header.info.get("source") or {}
    asked = {field.name: source.get(field.name) for field in fields(DataOptions) if field.name != "offline"}
    if not source and header.recipe.get("size"):
        asked["size"] = header.recipe["size"]
    return {"data": str(source.get("data") or header.recipe["dataset"]), **asked}


def network_words(recipe: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that make the network of a store, and what else `extract` must be told to make the same rows.

    Parameters
    ----------
    recipe
        Of the store.
    info
        Of the store too, or of what a saved probe keeps of it; without it, the recipe alone is asked: a file of weights
        is then not known.

    Returns
    -------
    dict
        For `extract_line` and its like; ``backbone`` is among them.
    """
    was = MadeFrom.of(recipe, info).network
    view = info.get("view") or recipe
    copies = str(recipe.get("copies") or "")
    words: dict[str, Any] = typed_name(str(recipe["backbone"]))
    if was is not None and was.origin == "file":
        file = None if was.path is None else f"{was.path}::{was.part}" if was.part else was.path
        words = {"backbone": was.name, "weights": file, "adapt": was.adapt}
    elif was is not None and was.origin == "pretrained":
        words = {"backbone": was.name}
    elif was is not None:
        words = {"backbone": was.name, "weights": RANDOM, "seed": was.seed or None}
    if recipe.get("source") == _WEIGHTS_FREE:
        return words
    return {
        **words,
        **{name: view.get(name) for name in ("pool", "layer", "slices")},
        "fit": None if recipe.get("fit") == "whole" else recipe.get("fit"),
        "precision": recipe.get("precision"),  # what `auto` comes to depends on the machine
        "dtype": recipe.get("dtype") or None,
        "copies": (CROPS if copies == OF_CROPS else FLIP) if copies else None,
    }


def typed_name(shown: str) -> dict[str, Any]:
    """Return how a network is asked for that tables and caches call by this name.

    Examples
    --------
    >>> typed_name("resnet18-random3"), typed_name("resnet18")
    ({'backbone': 'resnet18', 'weights': 'random', 'seed': 3}, {'backbone': 'resnet18'})
    """
    random = re.fullmatch(r"(.+)-random(\d+)", shown)
    if random is None:
        return {"backbone": shown}
    return {"backbone": random[1], "weights": RANDOM, "seed": int(random[2]) or None}


def extract_first(cache: Catalogue, data: str | None = None, backbone: str | None = None, **options: Any) -> str:
    """Return the command that makes a store which is not there, as far as the cache knows how.

    Parameters
    ----------
    cache
        Where it is missing.
    data, backbone
        What was named; None for what a person has to name.
    **options
        What else `medfeat extract` is to be told.
    """
    named = None if data is None else split_name(data)[0]
    there = list(cache.find(dataset=named)) if named else []
    known = next((one for one in there if can_be_extracted(one)), None)
    network = {**typed_name(backbone or _NAME), **options}
    if known is not None:
        return extract_as(known, root=cache.root, **network)
    if there:  # no command of extract knows these images
        if (there[0].info.get("source") or {}).get("object"):
            return f"the program that holds the images of {named}, for {backbone or _NAME},"
        place = elsewhere(cache.root)
        return command("cache", "import", "FILE", data=named, backbone=backbone or _NAME, cache_dir=place)
    return command("extract", data=data or _NAME, **network, cache_dir=elsewhere(cache.root))
