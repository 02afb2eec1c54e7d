"""`medfeat report`: one HTML page from the runs of a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfeat.errors import DataError, MedfeatError, UsageError
from medfeat.evaluation.compare import published
from medfeat.evaluation.compare.comparison import compare_dataset
from medfeat.evaluation.compare.paired import alike, judge_runs
from medfeat.evaluation.compare.twins import first_alike
from medfeat.evaluation.judging.few_shot import Curve
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.runs.run import Run, list_runs, read_attention, read_scores
from medfeat.evaluation.runs.write_run import versions
from medfeat.report import tables as rendering
from medfeat.report.attended import attended
from medfeat.report.page.html import text_of
from medfeat.report.page.results import Mistake, QuestionResults, exports, results_page
from medfeat.report.tables import Table
from medfeat.saying import heard
from medfeat.tasks import OFFICIAL
from medfeat.types import Dataset, Progress, SilentProgress, UInt8Array
from medfeat.workflows.asking.given_names import refuse_objects
from medfeat.workflows.compare import kept_runs
from medfeat.workflows.explore import framed, write_page
from medfeat.workflows.looking import leaks, mistakes
from medfeat.workflows.looking.against import RUNS_FILE, beside_others, others_in, runs_as_json
from medfeat.workflows.looking.listed import list_store
from medfeat.workflows.looking.made_again import made_again
from medfeat.workflows.looking.mistakes import patients_of
from medfeat.workflows.looking.saliency import heated
from medfeat.workflows.looking.writing_up import methods_of
from medfeat.workflows.results.kept import kept_results
from medfeat.workflows.stores.runs_of_data import of_data
from medfeat_cache import (
    FeatureStore,
    StoreHeader,
    find_stores,
    make_folder,
    resolve_root,
    slug,
    write_whole,
)
from medfeat_cache.commands import command, command_line, elsewhere
from medfeat_cache.errors import saying

FORMATS = {"md": rendering.markdown, "csv": rendering.csv_text, "tex": rendering.latex}


@dataclass(frozen=True)
class PageReport:
    """What `report` wrote: the page, the tables beside it, how many runs they show, and what must be said."""

    out: Path
    tables: tuple[Path, ...]
    runs: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"out": str(self.out), "tables": [str(path) for path in self.tables], "runs": self.runs,
                "notes": list(self.notes)}  # fmt: skip

    def _repr_html_(self) -> str:
        """Show the page inside a notebook."""
        return framed(self.out)


def write_report(
    data: str | Sequence[str] | None = None,
    *,
    out: str | Path = "report.html",
    backbone: str | Sequence[str] | None = None,
    head: str | Sequence[str] | None = None,
    size: int | None = None,
    class_weight: str | Sequence[str] | None = None,
    tables: str | Path | None = None,
    against: str | Path | None = None,
    images: bool = True,
    identifiers: bool = False,
    saliency: bool = False,
    data_root: str | Path | None = None,
    offline: bool = False,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> PageReport:
    """Show the runs of a cache in one HTML file; nothing is trained and nothing is embedded.

    Parameters
    ----------
    data
        Datasets, as `medfeat.probe` takes them; None means every one that has runs.
    out
        The file.
    backbone, head, size, class_weight
        Keep only runs of these.
    tables
        Folder for the same tables as Markdown, CSV and LaTeX, the methods, the references and the runs as JSON.
    against
        Another cache, or a ``runs.json`` of an earlier report: runs that are in both stand beside each other.
    images
        False leaves every picture out.
    identifiers
        Show DICOM identifiers and patients in ids as they are; by default they are replaced.
    saliency
        Draw where the network looked in the shown mistakes, where network, images and a head with a slope are at hand:
        its weights are loaded.
    data_root
        Where dataset files are now, for pictures.
    offline
        Make no network call: pictures of a dataset whose file is not here are left out.
    seed
        Of the paired bootstrap.
    cache_dir
        Where stores and runs live.
    progress
        Hears of every stage. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.

    Returns
    -------
    PageReport
        Shows the page inside a notebook.

    Raises
    ------
    UsageError
        There are no such runs: the message names the command that makes some.
    """
    refuse_objects(data=data, backbone=backbone, head=head)
    root, progress = resolve_root(cache_dir), heard(progress)
    runs, problems = _runs(root, data, backbone=backbone, head=head, size=size, class_weight=class_weight)
    others = None if against is None else others_in(Path(against))
    asked = _questions(runs)
    headers = {header.digest: header for header in find_stores(root, dataset=tuple({run.dataset for run in runs}))}
    known = {run.key: run for run in list_runs(root)[0]}
    maker = _Maker(root, headers, known, images, identifiers, saliency, data_root, offline, seed, progress)
    questions = []
    progress.start(len(asked), "gathering runs", "questions")
    for name, mine in asked.items():
        questions.append(maker.question(name, mine))
        progress.advance(1)
    progress.finish()
    beside = None
    if others is not None:
        beside = beside_others(runs, others[0], name=Path(against or "").name, seed=seed)
        maker.notes += others[1]
    path = Path(out)
    progress.start(1, "drawing the page", "pages")
    methods = methods_of(runs, headers)
    page = results_page(questions, methods.lines, _made(questions, data), bibtex=methods.bibtex, beside=beside)
    write_page(path, text_of(page))
    progress.finish()
    written = () if tables is None else _write_tables(
        Path(tables), exports(questions, beside), {"references.bib": methods.bibtex.encode(),
        "methods.txt": "\n\n".join((*methods.lines, "")).encode(), RUNS_FILE: runs_as_json(runs)})  # fmt: skip
    return PageReport(path, tuple(written), len(runs), (*problems, *maker.notes))


def page_of_runs(runs: Sequence[Run], *, out: Path, root: Path, progress: Progress) -> PageReport:
    """Show some runs in one HTML file that can be sent: no picture, and no image by its name.

    Parameters
    ----------
    runs
        Those and no others.
    out
        The file.
    root
        Of their cache.
    progress
        Hears of every stage. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()` shows
        nothing.
    """
    headers = {header.digest: header for header in find_stores(root, dataset=tuple({run.dataset for run in runs}))}
    known = {run.key: run for run in list_runs(root)[0]}  # a tuned network stands beside its start
    nothing: dict[str, Any] = {"images": False, "identifiers": False, "saliency": False, "named": False}
    maker = _Maker(root, headers, known, data_root=None, offline=True, seed=0, progress=progress, **nothing)
    progress.start(1, "drawing the page", "pages")
    questions = [maker.question(name, mine) for name, mine in _questions(runs).items()]
    methods = methods_of(runs, headers)
    write_page(out, text_of(results_page(questions, methods.lines, _made(questions, None), bibtex=methods.bibtex)))
    progress.finish()
    return PageReport(out, (), len(runs), tuple(maker.notes))


def _runs(root: Path, data: str | Sequence[str] | None, **wanted: Any) -> tuple[list[Run], list[str]]:
    found, problems = list_runs(root)
    runs = kept_runs(found, **wanted) if found else []
    runs = of_data(runs, data, root)
    if not runs:
        what = "" if data is None else f" of {data if isinstance(data, str) else ', '.join(data)}"
        how = command("probe", cache_dir=elsewhere(root))
        raise UsageError(f"no runs{what} in {root}: run {how} first, which makes some of every store")
    return runs, problems


def _questions(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each question, best on val first: a question is a dataset and a task on the same labels."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.shown, run.task["name"], str(run.task.get("digest", ""))), []).append(run)
    names: dict[str, list[Run]] = {}
    for (dataset, task, digest), mine in sorted(groups.items()):
        name = dataset if task == OFFICIAL else f"{dataset}, task {task}"
        name = f"{name} ({digest[:6]})" if name in names else name
        names[name] = sorted(mine, key=_on_val, reverse=True)
    return names


def _on_val(run: Run) -> float:
    value = run.val.values[run.headline[0]].value
    return value if value == value else float("-inf")  # noqa: PLR0124 - NaN sorts last


@dataclass
class _Maker:
    """Gathers what the page shows of a question; `notes` keeps what must be said. `named`: images by their names."""

    root: Path
    headers: Mapping[str, StoreHeader]
    known: Mapping[str, Run]
    images: bool
    identifiers: bool
    saliency: bool
    data_root: str | Path | None
    offline: bool
    seed: int
    progress: Progress
    named: bool = True

    def __post_init__(self) -> None:
        self.notes: list[str] = []

    def question(self, name: str, runs: Sequence[Run]) -> QuestionResults:
        best, notes = runs[0], []
        first, groups, said = self._groups(runs)
        notes += said
        stored: Mapping[str, Any] | None = None
        try:
            stored = read_scores(best.folder) if best.folder is not None else None
        except (OSError, ValueError) as error:
            how = command("probe", cache_dir=elsewhere(self.root))
            notes.append(f"the scores of {best.key[:12]} cannot be read ({error}): {how} makes them again")
        found, said = self._mistakes(best, stored) if stored is not None and self.named else ((), [])
        notes += said
        attended = self._attended(best, notes)
        official = best.task["name"] == OFFICIAL and best.dataset in published.datasets()
        self.notes += [f"{name}: {line}" for line in notes]
        return QuestionResults(
            name=name,
            runs=tuple(runs),
            groups=groups,
            first_alike=first,
            comparison=compare_dataset(best.dataset, runs) if official else None,
            labels=None if stored is None else stored["test_labels"],
            scores=None if stored is None else stored["test_scores"],
            mistakes=found,
            attended=tuple(attended),
            audit=tuple(self._audit(best)) if self.named else (),
            patients=None if stored is None else patients_of(best, stored, seed=self.seed),
            curves=self._curves(runs),
            commands=tuple(made_again(run, self.headers, self.known) for run in runs),
            notes=tuple(notes),
        )

    def _groups(self, runs: Sequence[Run]) -> tuple[tuple[int, ...], tuple[int, ...] | None, list[str]]:
        """Return which run each is like, see `first_alike`, and the group of each: runs that are alike count once."""
        metric, first = runs[0].headline[0], list(range(len(runs)))
        try:
            first = first_alike(runs)
            distinct = [i for i, at in enumerate(first) if at == i]
            if len(distinct) < 2:
                return tuple(first), None, []
            # Holm's smallest p is that of the swaps times the runs: more runs need more swaps.
            resamples = max(RESAMPLES, 60 * len(distinct))
            judged = judge_runs([runs[i] for i in distinct], metric=metric, seed=self.seed, resamples=resamples)
            group = dict(zip(distinct, alike(judged), strict=True))
            return tuple(first), tuple(group[at] for at in first), []
        except (DataError, OSError, ValueError, KeyError) as error:
            return tuple(first), None, [f"not compared in pairs: {error}"]

    def _mistakes(self, run: Run, stored: Mapping[str, Any]) -> tuple[tuple[Mistake, ...], list[str]]:
        header, notes, dataset = self.headers.get(str(run.store["digest"])), [], None
        if header is None:
            recipe = run.store["recipe"]
            why = "reads several stores" if recipe.get("stores") else "has lost its store"
            why = "judges patients by all their images" if recipe.get("bag") else why
            notes.append(f"the best run {why}: its mistakes have neither pictures nor neighbours")
        elif self.images:
            dataset, why = mistakes.images_of(
                header,
                root=self.root,
                data_root=self.data_root,
                offline=self.offline,
                progress=SilentProgress(),
            )
            notes += [f"no pictures: {why}"] if dataset is None else []
        try:
            heat = None
            if self.saliency and header is not None and dataset is not None:
                heat = self._heat(run, header, dataset, notes)
            found = mistakes.mistakes_of(run, stored, header, images=dataset, identifiers=self.identifiers, heat=heat)
            return found, notes
        except MedfeatError as error:
            return (), [*notes, f"no mistakes are shown: {error}"]

    def _heat(self, run: Run, header: StoreHeader, dataset: Dataset, notes: list[str]) -> mistakes.Heat:
        def drawn(ids: Sequence[str], pictures: Mapping[str, UInt8Array]) -> Mapping[str, UInt8Array]:
            try:
                found, method = heated(run, header, dataset, ids, pictures)
            except MedfeatError as error:
                notes.append(f"no saliency of {run.backbone}, {run.head}: {error}")
                return {}
            notes.append(f"orange in its mistakes: where {run.backbone} looked, by {method}")
            return found

        return drawn

    def _curves(self, runs: Sequence[Run]) -> tuple[Curve, ...]:
        """Return the learning curves that were kept of the question and of the backbones and heads that are shown."""
        of, shown = runs[0].task, {(run.network, run.head) for run in runs}
        kept = kept_results(self.root, runs[0].dataset, "curve")
        mine = [one for one in kept if one.get("task") == of["name"] and one.get("task_digest") == of.get("digest")]
        newest: dict[tuple[Any, ...], Curve] = {}
        for curve in map(Curve.from_dict, mine):
            if (curve.network, curve.head) in shown:
                newest.setdefault((curve.network, curve.size, curve.embedding, curve.head), curve)
        return tuple(newest.values())

    def _attended(self, run: Run, notes: list[str]) -> list[Table]:
        try:
            found = None if run.folder is None else read_attention(run.folder)
            return [] if found is None else [attended(run.store["recipe"], found, identifiers=self.identifiers)]
        except (OSError, ValueError, KeyError) as error:
            notes.append(f"what {run.key[:12]} looked at cannot be read ({error})")
            return []

    def _audit(self, run: Run) -> list[Table]:
        kept, header = kept_results(self.root, run.dataset, "audit"), self.headers.get(str(run.store["digest"]))
        if not kept or header is None:
            return []
        with FeatureStore(header.path) as store:
            called = mistakes.called_in(list_store(store), identifiers=self.identifiers)
        return leaks.audit_tables(kept, called, dataset=run.dataset, stores=[header])


def _made(questions: Sequence[QuestionResults], data: str | Sequence[str] | None) -> list[tuple[str, Any]]:
    libraries = ", ".join(f"{name} {number}" for name, number in versions().items())
    dates = sorted(run.created_utc for one in questions for run in one.runs)
    line = command_line("report", data=data)
    return [("Command", line), ("Runs made", f"{dates[0]} to {dates[-1]}"), ("Versions", libraries)]


def _write_tables(folder: Path, shown: Mapping[str, Table], files: Mapping[str, bytes]) -> list[Path]:
    paths = []
    instead = "choose another --tables"
    with saying(folder, "writing tables to", instead):
        make_folder(folder)
    contents = {
        f"{slug(name)}.{ending}": render([table]).encode("utf-8")
        for name, table in shown.items()
        for ending, render in FORMATS.items()
    }
    for name, content in {**contents, **files}.items():
        paths.append(folder / name)
        write_whole(paths[-1], [content], "writing the table", instead)
    return paths
