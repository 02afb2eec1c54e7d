"""The command that embeds a dataset as a store of it was embedded: its place, columns, names and folders with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from medfeat.datasets import DATASETS
from medfeat.tasks.versions import split_name
from medfeat.workflows.asking.data_options import DataOptions
from medfeat_cache import Catalogue, StoreHeader
from medfeat_cache.commands import command, command_line, elsewhere

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
    source = header.info.get("source") or {}
    asked = {field.name: source.get(field.name) for field in fields(DataOptions) if field.name != "offline"}
    data = str(source.get("data") or header.recipe["dataset"])
    if not source and header.recipe.get("size"):
        asked["size"] = header.recipe["size"]
    where = None if root is None else elsewhere(root)
    return command_line("extract", data=data, backbone=backbone, **{**asked, **options}, cache_dir=where)


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
    if known is not None:
        return extract_as(known, backbone or _NAME, root=cache.root, **options)
    if there:  # no command of extract knows these images
        if (there[0].info.get("source") or {}).get("object"):
            return f"the program that holds the images of {named}, for {backbone or _NAME},"
        place = elsewhere(cache.root)
        return command("cache", "import", "FILE", data=named, backbone=backbone or _NAME, cache_dir=place)
    return command(
        "extract", data=data or _NAME, backbone=backbone or _NAME, **options, cache_dir=elsewhere(cache.root)
    )
