"""`medfeat compare`: every run beside every published result of its dataset, or beside the other runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medfeat.errors import DataError, UsageError, unknown_name
from medfeat.evaluation.compare import published
from medfeat.evaluation.compare.comparison import (
    Comparison,
    CourseLine,
    compare_dataset,
    course_lines,
    own_comparisons,
)
from medfeat.evaluation.compare.paired import Difference, compare_runs
from medfeat.evaluation.compare.tuned_beside import TunedBeside, beside_starts
from medfeat.evaluation.compare.twins import first_alike, twin_lines
from medfeat.evaluation.measures.evaluate import without_nan
from medfeat.evaluation.runs.apart import class_weight_of
from medfeat.evaluation.runs.run import Run, list_runs
from medfeat.report import tables as rendering
from medfeat.report.comparison_tables import comparison_table, course_table, difference_table, pair_table
from medfeat.report.figures import save, scores_figure
from medfeat.report.own_tables import own_figure, own_tables
from medfeat.report.paper_table import paper_table
from medfeat.report.shown import Shown
from medfeat.report.tables import Table
from medfeat.report.tuned_tables import tuned_table
from medfeat.tasks import OFFICIAL
from medfeat.tasks.versions import split_name
from medfeat.workflows.asking.given_names import asked_datasets, asked_names, refuse_objects
from medfeat.workflows.stores.runs_of_data import of_data
from medfeat_cache import Catalogue, resolve_root
from medfeat_cache.commands import command, elsewhere

FORMATS = ("table", "markdown", "csv", "latex", "json")


@dataclass(frozen=True, repr=False)
class CompareReport(Shown):
    """What `compare` found.

    Attributes
    ----------
    comparisons
        One a dataset.
    course
        Lines of the course project's table, when it was asked for.
    notes
        Runs that could not be read or compared, and why.
    differences
        With ``paired=True``, our best run on val against each other one, a dataset and metric at a time; of runs that
        give the same scores on one store only the first.
    twins
        With ``paired=True``, a line for each run that gives the scores of another and was counted with it.
    tuned
        Every tuned network beside the probe it started from, as ``(dataset, pair)``.
    """

    comparisons: tuple[Comparison, ...]
    course: tuple[CourseLine, ...] = ()
    notes: tuple[str, ...] = ()
    differences: tuple[tuple[str, Difference], ...] = ()
    tuned: tuple[tuple[str, TunedBeside], ...] = ()
    twins: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        named = {row.source for one in self.comparisons for row in one.rows}
        return {
            "comparisons": [one.to_dict() for one in self.comparisons],
            "course": [line.to_dict() for line in self.course],
            "sources": {name: source.__dict__ for name, source in published.sources().items() if name in named},
            "differences": [{"dataset": name} | without_nan(asdict(one)) for name, one in self.differences],
            "tuned": [{"dataset": name} | one.to_dict() for name, one in self.tuned],
            "twins": list(self.twins),
            "notes": list(self.notes),
        }

    def tables(self) -> list[Table]:
        """Return tables for people: one a dataset, or the course project's."""
        return [table for one in self.comparisons for table in _tables(one)] + self._further_tables()

    def _further_tables(self) -> list[Table]:
        tuned = [
            tuned_table(
                [one for of, one in self.tuned if of == name], title=f"{name}: fine-tuned minus its linear probe"
            )
            for name in dict.fromkeys(name for name, _ in self.tuned)
        ]
        paired = [difference_table(self.differences, self.twins)] if self.differences or self.twins else []
        return tuned + paired + ([course_table(self.course)] if self.course else [])

    def render(self, form: str = "table") -> str:
        """Return the report as text.

        Parameters
        ----------
        form
            ``table`` (tab-separated), ``markdown``, ``latex`` (short enough for a paper, for the package booktabs),
            ``csv`` (one row for each run and published row) or ``json``.
        """
        if form == "json":
            return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if form == "csv":
            pairs = [table for one in self.comparisons for table in ([pair_table(one)] if one.rows else _tables(one))]
            return rendering.csv_text(pairs + self._further_tables())
        if form not in FORMATS:
            raise UsageError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
        if form == "latex":
            papers = (table for one in self.comparisons for table in _for_a_paper(one))
            return rendering.latex([*papers, *self._further_tables()])
        return {"markdown": rendering.markdown, "table": rendering.plain}[form](self.tables())

    def draw(self, path: str | Path) -> Path:
        """Draw its one comparison: scores, and on images of one's own the ROC and confusions of the best run on val.

        Parameters
        ----------
        path
            The name's ending says the form: png, svg or pdf.

        Raises
        ------
        UsageError
            Nothing was run, or there are several comparisons.
        """
        there = [one for one in self.comparisons if one.runs]
        if not there:
            asked = self.comparisons[0].dataset if len(self.comparisons) == 1 else None
            raise UsageError(
                f"a figure shows our runs, and there are none{f' on {asked}' if asked else ''}: run "
                f"{command('probe', data=asked)} first"
            )
        if len(there) > 1:
            every = (one.dataset if one.task == OFFICIAL else f"{one.dataset} ({one.task})" for one in there)
            raise UsageError(
                f"a figure shows the runs of one dataset and task, found {', '.join(every)}: name one with --data, and "
                "its task with --task"
            )
        (one,) = there
        return save(scores_figure(one) if one.rows else own_figure(one), path)


def compare(
    data: str | Sequence[str] | None = None,
    *,
    course: bool = False,
    backbone: str | Sequence[str] | None = None,
    head: str | Sequence[str] | None = None,
    size: int | None = None,
    class_weight: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    paired: bool = False,
    cache_dir: str | Path | None = None,
) -> CompareReport:
    """Put our runs beside the published results of their datasets, protocols flagged.

    Parameters
    ----------
    data
        Dataset names, those of own images too (all versions, ``name@2`` one of them);
        None means every one that has a run, ``all`` every one that has
        published results.
    course
        The course project's table instead: 11 systems and five baselines on BloodMNIST and OCTMNIST.
    backbone, head, size, class_weight, task
        Keep only runs of these; a task by its name, ``official`` for the labels that a dataset came with.
    paired
        Also compare our best run on val with each other one on the same test set, with Holm's correction.
    cache_dir
        Where runs live.

    Returns
    -------
    CompareReport
        Published rows stand in it even where nothing has been run.

    Raises
    ------
    UsageError
        A name without runs and without published results, or nothing run and nothing named.
    """
    refuse_objects(data=data, backbone=backbone, head=head)
    if course and data is not None:
        raise UsageError(f"the course's table is of {' and '.join(published.COURSE_DATASETS)}: leave --data out")
    root = resolve_root(cache_dir)
    found, problems = list_runs(root)
    found = of_data(found, None, root)
    runs = kept_runs(found, backbone=backbone, head=head, size=size, class_weight=class_weight, task=task)
    if course:
        return CompareReport((), tuple(course_lines(runs)), tuple(problems))
    names = _datasets(data, runs, root)
    comparisons = tuple(one for name in names for one in _comparisons(name, runs))
    differences: list[tuple[str, Difference]] = []
    twins: list[str] = []
    for one in comparisons if paired else ():
        try:
            first = first_alike(one.runs)
            twins += twin_lines(one.runs, first)
            differences += _paired(one, [run for i, run in enumerate(one.runs) if first[i] == i])
        except DataError as error:
            problems.append(f"{one.dataset}: not compared in pairs: {error}")
    tuned = tuple((one.dataset, pair) for one in comparisons for pair in beside_starts(one.runs, found))
    return CompareReport(comparisons, (), tuple(problems), tuple(differences), tuned, tuple(twins))


def _tables(one: Comparison) -> list[Table]:
    return [comparison_table(one)] if one.rows else own_tables(one)


def _for_a_paper(one: Comparison) -> list[Table]:
    return [paper_table(one), *([] if one.rows else own_tables(one)[1:])]


def _paired(comparison: Comparison, runs: Sequence[Run]) -> list[tuple[str, Difference]]:
    if len(runs) < 2:
        return []
    return [(comparison.dataset, one) for metric in runs[0].headline for one in compare_runs(runs, metric=metric)]


def kept_runs(
    runs: Sequence[Run],
    *,
    backbone: str | Sequence[str] | None,
    head: str | Sequence[str] | None,
    size: int | None,
    class_weight: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
) -> list[Run]:
    """Keep the runs that were asked for; a name that no run has is a mistake, not an empty answer."""
    kept = [run for run in runs if size in (None, run.size)]
    fields: tuple[tuple[str, str | Sequence[str] | None, Callable[[Run], str]], ...] = (
        ("backbone", backbone, lambda run: run.backbone),
        ("head", head, lambda run: run.head),
        ("class weight", class_weight, class_weight_of),
        ("task", task, lambda run: str(run.task["name"])),
    )
    for field, names, of in fields:
        wanted = asked_names(names)
        if wanted is None:
            continue
        there = {of(run) for run in runs}
        for name in wanted:
            if name not in there:
                raise UsageError(f"{unknown_name(f'{field} of a run', name, there)}; {command('probe')} makes runs")
        kept = [run for run in kept if of(run) in wanted]
    return kept


def _comparisons(dataset: str, runs: Sequence[Run]) -> list[Comparison]:
    if dataset in published.datasets():
        return [compare_dataset(dataset, runs)]
    return own_comparisons(dataset, runs)


def _datasets(data: str | Sequence[str] | None, runs: Sequence[Run], root: Path) -> tuple[str, ...]:
    known = published.datasets()
    if data == "all":
        return known
    mine = sorted({run.shown for run in runs}, key=_by_version)
    named = None if data is None else asked_datasets(data, Catalogue(root))
    if named is None:
        chosen = (*(name for name in known if name in mine), *(name for name in mine if name not in known))
    else:
        chosen = tuple(dict.fromkeys(one for name in named for one in _shown(name, runs, root)))
    if not chosen:
        raise UsageError(
            f"no runs in {root}: run {command('probe', cache_dir=elsewhere(root))} first, or name"
            f" a dataset ({command('compare', data='bloodmnist')}) to see its published results alone"
        )
    return chosen


def _shown(name: str, runs: Sequence[Run], root: Path) -> tuple[str, ...]:
    """Return what the runs that a name means are shown under: every version of own images has a table of its own."""
    known = published.datasets()
    if name in known:
        return (name,)
    found = tuple(sorted({run.shown for run in of_data(runs, [name], root)}, key=_by_version))
    if not found:
        there = (*dict.fromkeys(run.shown for run in runs), *known)
        raise unknown_name("dataset", name, there, "it has neither runs here nor published results")
    return found


def _by_version(shown: str) -> tuple[str, int]:
    name, number = split_name(shown)
    return name, number or 0
