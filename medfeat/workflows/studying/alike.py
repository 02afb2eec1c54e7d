"""The same cell in two studies: own weights go by their digest, never by where their file lies or what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medfeat.backbones import load_backbone, split_part
from medfeat.errors import MedfeatError
from medfeat.types import View
from medfeat.workflows.studying import requests
from medfeat.workflows.studying.cells import Cell
from medfeat.workflows.studying.requests import Here
from medfeat_cache import find_stores


def own_weights(cell: Cell) -> str:
    """Return the file of weights of a cell as its study says it; empty for none and for those that are drawn."""
    said = str((cell.of or cell).options.get("weights") or "")
    return "" if said == "random" else said


def weights_there(cell: Cell) -> bool:
    """Whether its own weights lie where its study says."""
    return split_part(own_weights(cell))[0].expanduser().exists()


def by_content(cell: Cell, digest: str) -> str:
    """Return the key of a cell with a digest of its weights in the place of their file."""
    changed = replace(cell, of=None if cell.of is None else _with(cell.of, digest))
    return changed.key if cell.of is not None else _with(cell, digest).key


def _with(cell: Cell, digest: str) -> Cell:
    return replace(cell, options={**cell.options, "weights": digest})


def digest_here(cell: Cell, here: Here) -> str:
    """Return the digest of a cell's own weights; their network is built. Empty where they are not, or do not fit."""
    if not own_weights(cell) or not weights_there(cell):
        return ""
    request = requests.wanted(cell.of or cell, here).request
    network = str((cell.of or cell).options["backbone"])
    try:
        made = load_backbone(
            network, views=request.views or (View(),), weights=request.weights, seed=request.seed, offline=True,
            adapt=request.adapt, trust_remote_code=request.trust_remote_code,
        )  # fmt: skip
    except (MedfeatError, OSError):
        return ""
    return str(made.info.weights_digest or "")


def paired(theirs: Sequence[Mapping[str, Any]], mine: Sequence[Cell], here: Here) -> dict[str, Mapping[str, Any]]:
    """Return the cell of a manifest for each of some cells that has one, by the key of the latter.

    Parameters
    ----------
    theirs
        Of the manifest.
    mine
        Of the text beside it, which may name other places than when the manifest was written.
    here
        The machine.
    """
    keys, contents = (
        {one["key"]: one for one in theirs},
        {one["by_content"]: one for one in theirs if "by_content" in one},
    )
    found = {cell.key: keys[cell.key] for cell in mine if cell.key in keys}
    digests: dict[str, str] = {}
    for cell in mine:
        if cell.key in found or not contents or not own_weights(cell):
            continue
        embedding = (cell.of or cell).key
        if embedding not in digests:
            digests[embedding] = digest_here(cell, here)
        other = contents.get(by_content(cell, digests[embedding]))
        if digests[embedding] and other is not None:
            found[cell.key] = other
    return found


def stores_of(cell: Cell, names: Sequence[str], here: Here) -> tuple[Path, ...]:
    """Return the stores that a manifest names for an embedding, where all are in this cache and of the weights meant.

    Parameters
    ----------
    cell
        The embedding; its own weights may have left the place that it names, but no others may lie there.
    names
        The first digits of their digests, which are of all that made them.
    here
        The machine.
    """
    headers = {header.digest[:12]: header for header in find_stores(here.root)} if names else {}
    stores = [headers[name] for name in names if name in headers]
    if not stores or len(stores) < len(names):
        return ()
    if own_weights(cell) and weights_there(cell):
        digest = digest_here(cell, here)
        if any(header.recipe.get("weights_digest") != digest for header in stores):
            return ()
    return tuple(header.path for header in stores)
