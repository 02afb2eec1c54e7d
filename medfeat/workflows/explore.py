"""`medfeat explore`: one HTML file that shows a dataset, its pixels and the embeddings of several backbones."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import UsageError
from medfeat.evaluation.runs.write_run import versions
from medfeat.report.page.explore import Exploration, SpaceView, explore_page
from medfeat.report.page.explore_figures import write_figures
from medfeat.report.page.html import text_of
from medfeat.report.page.page_names import scrubbed
from medfeat.saying import heard
from medfeat.types import BadImage, Progress
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.asking.given_names import asked_names, refuse_objects
from medfeat.workflows.looking import leaks, spaces
from medfeat.workflows.looking.listed import Listed, card_of, kinds_of, refuse_missing
from medfeat.workflows.looking.look import MOST, Kinds, Seen, look, sample_rows
from medfeat.workflows.looking.maps import row_keys
from medfeat.workflows.looking.subject import Subject, called_patients, point_columns, shown_in
from medfeat.workflows.results.kept import kept_results
from medfeat.workflows.stores.one_store import named_stores
from medfeat.workflows.stores.store_names import shown_name
from medfeat_cache import Catalogue, FeatureStore, make_folder, resolve_root, slug, write_whole
from medfeat_cache.commands import command_line
from medfeat_cache.errors import saying


@dataclass(frozen=True)
class ExploreReport:
    """What `explore` wrote.

    Attributes
    ----------
    out, figures
        The page, and the figures beside it.
    looked_at, total
        Images in the page, and in the dataset.
    notes
        What must be said.
    """

    out: Path
    figures: tuple[Path, ...]
    looked_at: int
    total: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "out": str(self.out),
            "figures": [str(path) for path in self.figures],
            "looked_at": self.looked_at,
            "total": self.total,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Show the page inside a notebook."""
        return framed(self.out)


def framed(path: Path) -> str:
    """Return a page as a frame for a notebook, its content inside."""
    content = html.escape(path.read_text(encoding="utf-8"), quote=True)
    return f'<iframe srcdoc="{content}" style="width:100%;height:820px;border:0" title="medfeat"></iframe>'


def explore(
    data: str | Path | None = None,
    *,
    store: str | Sequence[str] | None = None,
    backbone: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    figures: str | Path | None = None,
    columns: str | Path | None = None,
    images: bool = True,
    identifiers: bool = False,
    sample: int = MOST,
    seed: int = 0,
    size: int | None = None,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    **data_options: Any,
) -> ExploreReport:
    """Look at a dataset, its pixels and its stored embeddings; nothing is embedded and no weights are loaded.

    Parameters
    ----------
    data
        A registered name, a folder, CSV or npz of own images, or the name that own images have in the cache.
    store
        First digits of digests of the stores to show; then `data` may be left out.
    backbone
        Whose stores to show; None means every one there is, up to six.
    out
        The file; default ``explore-<data>.html`` in the current folder.
    figures
        Folder for the same pictures as PNG and SVG.
    columns
        CSV with ``id`` and other columns, by which points can be coloured.
    images
        False leaves every picture out.
    identifiers
        Show patients, and DICOM identifiers in ids, as they are; by default they are replaced.
    sample
        Look at no more images than this.
    seed
        Of the sample and the maps.
    size
        Side of a registered dataset's images.
    cache_dir
        Where stores, runs and maps live.
    progress
        Hears of every stage. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.
    **data_options
        How to open the data, as in `medfeat.extract`: ``data_root``, ``offline``, ``intensity`` ...

    Returns
    -------
    ExploreReport
        Shows the page inside a notebook.

    Raises
    ------
    UsageError
        A name that is not known, or a backbone without a store: the message names the command that makes it.
    """
    refuse_objects(data=data, backbone=backbone, store=store)
    if sample < 2:
        raise UsageError(f"--sample must be 2 or more, got {sample}")
    if columns is not None:
        refuse_missing(Path(columns))
    root, progress = resolve_root(cache_dir), heard(progress)
    options = DataOptions.of(size=size, **data_options)
    backbones, chosen = asked_names(backbone), None
    if store is not None:
        cache = Catalogue(root)
        chosen = named_stores(cache, store, backbone=backbones, size=size)
        names = list(dict.fromkeys(shown_name(header, cache) for header in chosen))
        if len(names) > 1:
            raise UsageError(f"a page shows one dataset, and --store names stores of {', '.join(names)}")
        data = data or names[0]
    if data is None:
        raise UsageError("give --data, or --store of what is to be looked at")
    subject = Subject.of(str(data), options, root, backbones, progress, stores=chosen)
    found = _explored(subject, root, columns=columns, images=images, identifiers=identifiers, sample=sample, seed=seed,
                      progress=progress)  # fmt: skip
    path = Path(out) if out is not None else Path(f"explore-{slug(subject.name)}.html")
    write_page(path, text_of(explore_page(found)))
    drawn = write_figures(found, Path(figures), progress) if figures is not None else ()
    return ExploreReport(path, tuple(drawn), len(found.ids), found.total, found.notes)


def write_page(path: Path, text: str) -> None:
    """Write a page whole, or say in one line why it cannot be written."""
    instead = "choose another --out"
    with saying(path, "writing the page", instead):
        make_folder(path.parent)
    write_whole(path, [text.encode("utf-8")], "writing the page", instead)


def _explored(
    subject: Subject, root: Path, *, columns: str | Path | None, images: bool, identifiers: bool, sample: int,
    seed: int, progress: Progress,
) -> Exploration:  # fmt: skip
    listed, kinds = subject.listed, kinds_of(subject.listed)
    rows = sample_rows(kinds, sample, seed)
    seen = look(subject.dataset, kinds, rows, progress) if subject.dataset is not None else None
    rows = rows if seen is None else seen.rows
    ids = listed.ids[rows].tolist()
    shown = shown_in(listed, identifiers=identifiers)
    views = _views(subject, root, seen, ids, seed=seed, progress=progress)
    hide = _hider(listed, identifiers)
    notes = [hide(line) for line in subject.notes]
    if len(rows) < len(listed.ids):
        notes.append(_fewer(len(rows), len(listed.ids), sample))
    return Exploration(
        name=subject.name,
        total=len(listed.ids),
        card=tuple(card_of(subject.dataset.info if subject.dataset else None, listed, seen.shapes if seen else {})),
        kinds=kinds.names,
        counts=_counts(listed, kinds),
        notes=tuple(notes),
        leaks=tuple(_leaks(subject, root, seen, shown, identifiers)),
        bad=_bad(subject, seen, shown, hide),
        ids=tuple(shown[one] for one in ids),
        pictures=seen.pictures if seen is not None and images else None,
        levels=seen.levels if seen is not None else np.empty(0),
        member=kinds.member[rows],
        pixels=seen.pixels if seen is not None else None,
        columns=tuple(point_columns(subject, root, rows, seen, columns, identifiers=identifiers)),
        spaces=tuple(views),
        made=tuple(_made(subject, seed)),
        volumes=subject.dataset is not None and subject.dataset.info.ndim == 3,
    )


def _fewer(looked_at: int, total: int, sample: int) -> str:
    if total > sample:
        return f"{looked_at:,} of {total:,} images were looked at: a random sample, rare classes kept"
    return f"{total - looked_at:,} of {total:,} images could not be read"


def _hider(listed: Listed, identifiers: bool) -> Callable[[str], str]:
    """Return what takes patients and identifiers out of words that medfeat or a decoder wrote."""
    patients = None if listed.patients is None else list(dict.fromkeys(listed.patients.tolist()))
    return (lambda text: text) if identifiers else (lambda text: scrubbed(text, patients))


def _counts(listed: Listed, kinds: Kinds) -> dict[str, Any]:
    parts = [part for part in ("train", "val", "test") if (listed.split == part).any()]
    rest = ~np.isin(listed.split, parts)
    counts = {part: kinds.member[listed.split == part].sum(axis=0) for part in parts}
    return counts | ({"images" if not parts else "no split": kinds.member[rest].sum(axis=0)} if rest.any() else {})


def _views(
    subject: Subject, root: Path, seen: Seen | None, ids: Sequence[str], *, seed: int, progress: Progress
) -> list[SpaceView]:
    if len(ids) < 2:
        return []
    work: list[Callable[..., SpaceView]] = []
    if seen is not None:
        keys = row_keys(np.array(ids), seen.hashes)
        work.append(partial(spaces.pixel_space, root, subject.name, seen, keys, seed=seed))
    for header, name in zip(subject.headers, spaces.space_names(subject.headers), strict=True):
        hashes = None if seen is None else seen.hashes
        work.append(partial(spaces.store_space, header, ids, name, hashes=hashes, seed=seed))
    return spaces.lay_out_all(work, progress)


def _leaks(subject: Subject, root: Path, seen: Seen | None, shown: dict[str, str], identifiers: bool) -> list[Any]:
    listed = subject.listed
    rows, hashes = (seen.rows, seen.hashes) if seen is not None else _stored_hashes(subject)
    tables = [leaks.identical_table(listed, rows, hashes, shown)]
    called = {} if listed.patients is None else called_patients(listed.patients.tolist(), identifiers=identifiers)
    patients = leaks.patient_table(listed, called)
    tables += [] if patients is None else [patients]
    kept = kept_results(root, subject.name, "audit")
    return tables + leaks.audit_tables(kept, shown, dataset=subject.name, stores=subject.headers)


def _stored_hashes(subject: Subject) -> tuple[Any, Any]:
    with FeatureStore(subject.headers[0].path) as store:
        ids = np.concatenate([store.ids(group) for group in store.groups]).tolist()
        hashes = np.concatenate([store.image_hash(group) for group in store.groups])
    at = {str(one): i for i, one in enumerate(ids)}
    return np.arange(len(subject.listed.ids)), hashes[[at[one] for one in subject.listed.ids.tolist()]]


def _bad(
    subject: Subject, seen: Seen | None, shown: dict[str, str], hide: Callable[[str], str]
) -> tuple[BadImage, ...]:
    found = {one.id: one.reason for one in seen.bad} if seen is not None else {}
    for header in subject.headers:
        for one in header.info.get("bad_images") or ():
            found.setdefault(str(one["id"]), str(one["reason"]))
    return tuple(BadImage(shown.get(name, "an image"), hide(reason)) for name, reason in sorted(found.items()))


def _made(subject: Subject, seed: int) -> list[tuple[str, str]]:
    backbones = ",".join(dict.fromkeys(str(header.recipe["backbone"]) for header in subject.headers))
    line = command_line("explore", data=subject.name, backbone=backbones or None, seed=seed or None)
    stores = ", ".join(f"{header.recipe['backbone']} {header.digest[:12]}" for header in subject.headers)
    libraries = ", ".join(f"{name} {number}" for name, number in versions().items())
    method = "principal components by scikit-learn; t-SNE by openTSNE, perplexity 30, from the first components"
    return [("Command", line), ("Stores", stores), ("Seed", str(seed)), ("Maps", method), ("Versions", libraries)]
