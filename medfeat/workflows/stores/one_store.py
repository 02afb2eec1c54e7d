"""One store, by its dataset and backbone, by what tells it from others, or by its digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from medfeat.comma_lists import as_names
from medfeat.errors import DataError, UsageError, unknown_name
from medfeat.types import Recipe
from medfeat.workflows.asking.given_names import refuse_objects
from medfeat.workflows.stores.how_to_extract import extract_first
from medfeat.workflows.stores.store_names import find_meant, other_versions, shown_name
from medfeat_cache import Catalogue, StoreHeader, differences, locate, read_header, resolve_root
from medfeat_cache.commands import command, elsewhere

DEFAULT = "default"
_FIELDS = frozenset(field.name for field in fields(Recipe))
_MOST_NAMED = 6
# By which a person tells stores apart, before anything else that differs.
_TELLING = ("dataset", "backbone", "size", "layer", "pool", "slices", "fit", "precision", "weights_digest")


def one_store(
    data: str | None = None,
    backbone: str | None = None,
    *,
    store: str | Path | None = None,
    cache_dir: str | Path | None = None,
    **query: Any,
) -> StoreHeader:
    """Return the header of the one store that matches.

    Parameters
    ----------
    data, backbone
        Names; None means any, where one store fits.
    store
        Path, file name or first digits of the digest of the store itself.
    cache_dir
        Where stores live.
    **query
        Fields of the recipe; None means any value, ``"default"`` the one that nobody named.

    Raises
    ------
    UsageError
        None matches, or more than one: then with their digests and how they differ.
    """
    refuse_objects(data=data, backbone=backbone, store=store)
    root = resolve_root(cache_dir)
    cache = Catalogue(root)
    named = None if data is None else [data]
    wanted = {name: (None,) if isinstance(value, str) and value == DEFAULT else value for name, value in query.items()}
    if store is not None:
        return _refuse_others(read_header(store_path_of(root, store)), cache, data, backbone, **wanted)
    if not _FIELDS.issuperset(query):
        _refuse_unknown_fields(query, find_meant(cache, named, backbone=backbone))
    found = find_meant(cache, named, backbone=backbone, **wanted)
    if len(found) == 1:
        return found[0]
    what = " x ".join(one for one in (data, backbone) if one) or "anything"
    if found:
        where = f"of {what} match" if data or backbone else f"are in {root}"
        raise UsageError(f"{len(found)} stores {where}: {_told_apart(found, cache)}; name one by its digest, --store")
    others = other_versions(cache, named, backbone=backbone, **wanted)
    if others:
        raise UsageError(
            f"no store of {what} in {root}, of the images that {data} means now: run "
            f"{extract_first(cache, data, backbone)}, or ask for {' or '.join(others)}, which has one"
        )
    if found.problems:
        path, problem = found.problems[0]
        raise DataError(f"no readable store of {what} in {root}; {path.name}: {problem}")
    for option, given in (("data", data), ("backbone", backbone)):
        if given is not None and (given == "all" or len(as_names(given)) > 1):
            raise UsageError(f"--{option} names one here, got {given!r}: ask for each alone")
    raise UsageError(f"no store of {what} in {root}: run {extract_first(cache, data, backbone)} first")


def store_path_of(root: Path, which: str | Path) -> Path:
    """Return the path of one store, by a path, the name of its file, or the first digits of its digest.

    Raises
    ------
    UsageError
        When none, or more than one, is meant.
    """
    found = locate(root, str(which))
    if not found:
        how = command("cache", "ls", cache_dir=elsewhere(root))
        raise UsageError(f"no store in {root} named {str(which)!r}: see {how} for digests and paths")
    if len(found) > 1:
        names = ", ".join(path.stem for path in found[:5])
        raise UsageError(f"{len(found)} stores in {root} are named {str(which)!r}...: add digits ({names})")
    return found[0]


def named_stores(cache: Catalogue, stores: str | Sequence[str], **named: Any) -> list[StoreHeader]:
    """Return the headers of stores by their digests, several as a comma list, each of what is named beside them.

    Raises
    ------
    UsageError
        One that is not there, or is of something else than `named` says.
    """
    paths = [store_path_of(cache.root, one) for one in as_names(stores)]
    if not paths:
        raise UsageError("--store names nothing: give first digits of digests, or leave the option out")
    return [_refuse_others(read_header(path), cache, **named) for path in dict.fromkeys(paths)]


def _refuse_others(
    header: StoreHeader,
    cache: Catalogue,
    data: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    **query: Any,
) -> StoreHeader:
    """Return the header of a store that is of the data and the backbone that are named beside it; refuse another."""
    names = shown_name(header, cache), str(header.recipe.get("dataset"))
    for option, given, has in (
        ("data", data, names),
        ("backbone", backbone, (str(header.recipe.get("backbone")),)),
        *((name, value, (header.recipe.get(name),)) for name, value in query.items()),
    ):
        asked = as_names(given) if isinstance(given, str) else tuple(given) if isinstance(given, Sequence) else (given,)
        if given is not None and asked != ("all",) and not set(has) & set(asked):
            said = ", ".join(map(str, asked))
            raise UsageError(f"store {header.digest[:12]} is of {option} {has[0]}, and --{option} says {said}")
    return header


def _told_apart(stores: Sequence[StoreHeader], cache: Catalogue) -> str:
    """Say how stores differ, in as few words as tell them apart, each by the digits that name it."""
    differing = differences(stores)
    ordered = [name for name in _TELLING if name in differing] + [name for name in differing if name not in _TELLING]
    told: list[tuple[str, ...]] = [()] * len(stores)
    for name in ordered:
        more = [
            (*words, f"{name} {shown_name(header, cache) if name == 'dataset' else _spelled(header.recipe.get(name))}")
            for words, header in zip(told, stores, strict=True)
        ]
        told = more if len(set(more)) > len(set(told)) else told
    lines = [
        f"{header.digest[:12]} ({', '.join(words)})" if words else header.digest[:12]
        for words, header in zip(told, stores, strict=True)
    ]
    return "; ".join(lines[:_MOST_NAMED]) + (f" and {len(lines) - _MOST_NAMED} more" if lines[_MOST_NAMED:] else "")


def _refuse_unknown_fields(query: Mapping[str, Any], stores: Iterable[StoreHeader]) -> None:
    """Refuse a field that no recipe has, before it is taken for one that no store has; imported ones have others."""
    known = _FIELDS.union(*({*header.recipe, *header.info} for header in stores))
    for name in query:
        if name not in known:
            raise unknown_name("field of a recipe", name, _FIELDS)


def _spelled(value: Any) -> str:
    text = DEFAULT if value is None else str(value)
    return text if len(text) <= 32 else f"{text[:24]}..."
