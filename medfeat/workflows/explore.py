"""`medfeat explore`: one HTML file that shows a dataset, its pixels and the embeddings of several backbones."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.datasets import DATASETS
from medfeat.errors import MedfeatError, UsageError
from medfeat.evaluation.runs.write_run import versions
from medfeat.report.page.columns import PointColumn
from medfeat.report.page.explore import Exploration, SpaceView, explore_page
from medfeat.report.page.explore_figures import write_figures
from medfeat.report.page.html import text_of
from medfeat.report.page.page_names import pseudonyms, scrubbed, shown_ids
from medfeat.types import BadImage, Dataset, Progress, SilentProgress
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.asking.given_names import asked_names
from medfeat.workflows.looking import leaks, spaces
from medfeat.workflows.looking.listed import (
    Listed,
    card_of,
    kinds_of,
    list_images,
    list_store,
    read_columns,
    words_of,
)
from medfeat.workflows.looking.look import MOST, Kinds, Seen, look, sample_rows
from medfeat.workflows.looking.maps import row_keys
from medfeat.workflows.stores.store_names import find_meant
from medfeat_cache import Catalogue, FeatureStore, StoreHeader, make_folder, resolve_root, slug, write_whole
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
    data: str | Path,
    *,
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
        Hears of every stage.
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
    if sample < 2:
        raise UsageError(f"--sample must be 2 or more, got {sample}")
    root, progress = resolve_root(cache_dir), progress or SilentProgress()
    options = DataOptions.of(size=size, **data_options)
    subject = _Subject.of(str(data), options, root, asked_names(backbone), progress)
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


@dataclass(frozen=True)
class _Subject:
    """What is explored: a dataset whose images are at hand, or the stores of one whose images are not."""

    name: str
    dataset: Dataset | None
    headers: tuple[StoreHeader, ...]
    listed: Listed
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls, data: str, options: DataOptions, root: Path, backbones: Sequence[str] | None, progress: Progress
    ) -> _Subject:
        """Open the images, or fall back on what the stores know."""
        dataset, problem = _opened(data, options, root, progress)
        size = options.size if dataset is None else dataset.info.size or None
        try:
            headers, notes = spaces.asked_stores(root, data, backbones, size, pictured=dataset is not None)
        except UsageError as error:
            if dataset is None or backbones is not None:
                raise problem or error from error
            headers, notes = [], [str(error)]  # the images of the cache are others: these can be looked at all the same
        if dataset is not None:
            listed = list_images(dataset)
        else:
            assert problem is not None
            if not headers:
                raise problem
            notes.append(f"the images cannot be opened, so this shows what the stores know: {problem}")
            with FeatureStore(headers[0].path) as store:
                listed = list_store(store)
        name = dataset.info.name if dataset is not None else str(headers[0].recipe["dataset"])
        return cls(name, dataset, tuple(headers), listed, (*listed.notes, *notes))


def _opened(
    data: str, options: DataOptions, root: Path, progress: Progress
) -> tuple[Dataset | None, MedfeatError | None]:
    """Open images by what they are called: a registered name, a path, or a name of the cache, which knows the path."""
    try:
        if data not in DATASETS and not Path(data).expanduser().exists():
            known = [header.info.get("source") for header in find_meant(Catalogue(root), [data])]
            source = next((one for one in known if one), None)
            if source is not None:
                where, kept = DataOptions.from_source(source, data_root=options.data_root)
                return kept.open(where, root=root, progress=progress), None
        return options.open(data, root=root, progress=progress), None
    except MedfeatError as error:
        return None, error


def _explored(
    subject: _Subject, root: Path, *, columns: str | Path | None, images: bool, identifiers: bool, sample: int,
    seed: int, progress: Progress,
) -> Exploration:  # fmt: skip
    listed, kinds = subject.listed, kinds_of(subject.listed)
    rows = sample_rows(kinds, sample, seed)
    seen = look(subject.dataset, kinds, rows, progress) if subject.dataset is not None else None
    rows = rows if seen is None else seen.rows
    ids = listed.ids[rows].tolist()
    shown = _shown(listed, identifiers)
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
        columns=tuple(_columns(subject, root, rows, seen, columns, identifiers=identifiers)),
        spaces=tuple(views),
        made=tuple(_made(subject, seed)),
        volumes=subject.dataset is not None and subject.dataset.info.ndim == 3,
    )


def _fewer(looked_at: int, total: int, sample: int) -> str:
    if total > sample:
        return f"{looked_at:,} of {total:,} images were looked at: a random sample, rare classes kept"
    return f"{total - looked_at:,} of {total:,} images could not be read"


def _shown(listed: Listed, identifiers: bool) -> dict[str, str]:
    ids = listed.ids.tolist()
    if identifiers:
        return dict(zip(ids, ids, strict=True))
    patients = None if listed.patients is None else listed.patients.tolist()
    return dict(zip(ids, shown_ids(ids, patients), strict=True))


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
    subject: _Subject, root: Path, seen: Seen | None, ids: Sequence[str], *, seed: int, progress: Progress
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


def _leaks(subject: _Subject, root: Path, seen: Seen | None, shown: dict[str, str], identifiers: bool) -> list[Any]:
    listed = subject.listed
    rows, hashes = (seen.rows, seen.hashes) if seen is not None else _stored_hashes(subject)
    tables = [leaks.identical_table(listed, rows, hashes, shown)]
    called = {} if listed.patients is None else _called(listed.patients.tolist(), identifiers)
    patients = leaks.patient_table(listed, called)
    tables += [] if patients is None else [patients]
    return tables + leaks.audit_tables(leaks.audits(root, subject.name), shown, dataset=subject.name)


def _stored_hashes(subject: _Subject) -> tuple[Any, Any]:
    with FeatureStore(subject.headers[0].path) as store:
        ids = np.concatenate([store.ids(group) for group in store.groups]).tolist()
        hashes = np.concatenate([store.image_hash(group) for group in store.groups])
    at = {str(one): i for i, one in enumerate(ids)}
    return np.arange(len(subject.listed.ids)), hashes[[at[one] for one in subject.listed.ids.tolist()]]


def _called(patients: Sequence[str], identifiers: bool) -> dict[str, str]:
    return {name: name for name in patients} if identifiers else pseudonyms(patients)


def _bad(
    subject: _Subject, seen: Seen | None, shown: dict[str, str], hide: Callable[[str], str]
) -> tuple[BadImage, ...]:
    found = {one.id: one.reason for one in seen.bad} if seen is not None else {}
    for header in subject.headers:
        for one in header.info.get("bad_images") or ():
            found.setdefault(str(one["id"]), str(one["reason"]))
    return tuple(BadImage(shown.get(name, "an image"), hide(reason)) for name, reason in sorted(found.items()))


def _columns(
    subject: _Subject, root: Path, rows: Any, seen: Seen | None, extra: str | Path | None, *, identifiers: bool
) -> list[PointColumn]:
    listed, ids = subject.listed, subject.listed.ids[rows].tolist()
    columns: list[PointColumn] = []
    if listed.labels is not None and listed.task == "regression":
        columns.append(PointColumn(listed.classes[0] if listed.classes else "value", numbers=listed.labels[rows, 0]))
    elif listed.labels is not None and listed.task is not None:
        columns.append(PointColumn("class", words=words_of(listed.labels[rows], listed.task, listed.classes),
                              order=tuple(listed.classes)))  # fmt: skip
        columns += _label_columns(listed, rows)
    if (listed.split != "").any():
        columns.append(PointColumn("split", words=listed.split[rows].tolist(), order=("train", "val", "test")))
    if listed.patients is not None:
        called = _called(listed.patients.tolist(), identifiers)
        columns.append(PointColumn("patient", words=[called[name] for name in listed.patients[rows].tolist()]))
    names = spaces.space_names(subject.headers)
    columns += spaces.prediction_columns(root, subject.name, subject.headers, names, listed, ids=ids)
    columns += read_columns(Path(extra), np.array(ids)) if extra is not None else []
    if seen is not None:
        columns.append(PointColumn("mean pixel value", numbers=seen.levels, hover=False))
    return columns or [PointColumn("all", words=["images"] * len(ids), hover=False)]


def _label_columns(listed: Listed, rows: Any) -> list[PointColumn]:
    """Return one column a label where images have several, for combinations are many."""
    if listed.task != "multi-label" or listed.labels is None:
        return []
    return [
        PointColumn(f"has {name}", words=["yes" if one else "no" for one in has], order=("yes", "no"), hover=False)
        for name, has in zip(listed.classes, listed.labels[rows].T.tolist(), strict=True)
    ]


def _made(subject: _Subject, seed: int) -> list[tuple[str, str]]:
    backbones = ",".join(dict.fromkeys(str(header.recipe["backbone"]) for header in subject.headers))
    command = f"medfeat explore --data {subject.name}" + (f" --backbone {backbones}" if backbones else "")
    stores = ", ".join(f"{header.recipe['backbone']} {header.digest[:12]}" for header in subject.headers)
    libraries = ", ".join(f"{name} {number}" for name, number in versions().items())
    method = "principal components by scikit-learn; t-SNE by openTSNE, perplexity 30, from the first components"
    return [("Command", command), ("Stores", stores), ("Seed", str(seed)), ("Maps", method), ("Versions", libraries)]
