"""The page of the runs: scores with intervals, groups in place of ranks, curves, mistakes, where numbers come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from medfeat.cost import total_energy
from medfeat.counted import counted
from medfeat.evaluation.compare.comparison import Comparison
from medfeat.evaluation.compare.twins import twin_lines
from medfeat.evaluation.judging.few_shot import Curve
from medfeat.evaluation.measures.evaluate import Metrics
from medfeat.evaluation.measures.labelled_scores import LabelledScores
from medfeat.evaluation.measures.threshold_curves import benefit_line, benefit_of_all, precision_line, roc_line
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run, networks_of
from medfeat.report.comparison_tables import comparison_table, network_names
from medfeat.report.figures import reliability_figure, scores_figure
from medfeat.report.page import curve_charts
from medfeat.report.page.html import Page, Section, element, facts, joined, prose, table
from medfeat.report.page.label_curves import label_curves
from medfeat.report.page.pictures import data_address
from medfeat.report.page.svg import inline
from medfeat.report.run_tables import NAMES, class_tables, patient_table
from medfeat.report.tables import Table, number, with_interval
from medfeat.types import Interval, UInt8Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WITH_PICTURES = "This page contains pictures of the images: treat it like the images themselves."
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Shown:
    """An image as a mistake shows it: its id, what is said of it, and its picture where it may be shown."""

    id: str
    words: str
    picture: UInt8Array | None


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that the run was sure of, the training images nearest to it, and where the network looked."""

    image: Shown
    near: tuple[Shown, ...]
    heat: UInt8Array | None = None


@dataclass(frozen=True)
class PatientScores:
    """Scores of test by patient, and how many patients have images of different labels and are left out."""

    test: Metrics
    left_out: int


@dataclass(frozen=True)
class QuestionResults:
    """One dataset and one task, and everything that was run on it.

    Attributes
    ----------
    name
        As the page heads it.
    runs
        Best on val first.
    groups
        One a run: those of one number cannot be told from the first of them; None where that cannot be asked.
    first_alike
        One a run: the first that gives the same scores on the same store, mostly itself.
    comparison
        With published results, where there are any.
    labels, scores
        Of test, by the first run; None where they cannot be read.
    mistakes
        Of the first run, the surest first.
    attended
        What the first run looked at, where its head weighs several vectors of an image.
    audit
        Tables of what the newest audit found.
    patients
        Of the first run, where patients are known.
    curves
        Scores over the number of labels, where they were measured.
    commands
        One a run: what makes it.
    notes
        What must be said.
    """

    name: str
    runs: tuple[Run, ...]
    groups: tuple[int, ...] | None
    first_alike: tuple[int, ...]
    comparison: Comparison | None
    labels: NDArray[Any] | None
    scores: NDArray[Any] | None
    mistakes: tuple[Mistake, ...]
    attended: tuple[Table, ...]
    audit: tuple[Table, ...]
    patients: PatientScores | None
    curves: tuple[Curve, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def best(self) -> Run:
        """The best run on val."""
        return self.runs[0]

    def as_good(self) -> int:
        """Return how many others cannot be told from the best on val; of those that are one answer, one is counted."""
        leaders = {at for at, group in zip(self.first_alike, self.groups or (), strict=True) if group == 0}
        return len(leaders) - 1


def results_page(
    questions: Sequence[QuestionResults],
    methods: Sequence[str],
    made: Sequence[tuple[str, Any]],
    *,
    bibtex: str = "",
    beside: Table | None = None,
) -> Page:
    """Return the page of some questions.

    Parameters
    ----------
    questions
        In order.
    methods, bibtex
        Paragraphs for a paper, and what they cite.
    made
        Names and values: how the page was made.
    beside
        The same runs of another report, where one was named.
    """
    pictured = any(one.image.picture is not None for question in questions for one in question.mistakes)
    sections = [Section("overview", "Overview", tuple(_overview(questions)))]
    sections += [Section(f"q{i}", one.name, tuple(_question(one, f"q{i}"))) for i, one in enumerate(questions)]
    if beside is not None:
        sections.append(Section("beside", "Beside the other runs", (table(beside),)))
    cited = element("details", element("summary", "References as BibTeX"), element("pre", bibtex, tabindex="0"))
    sections.append(Section("methods", "Methods", (*(element("p", line) for line in methods), cited)))
    sections.append(Section("made", "How this page was made", (facts(made),)))
    runs = sum(len(one.runs) for one in questions)
    lead = f"{counted(runs, 'run')} on {counted(len(questions), 'dataset', 'datasets and tasks')}"
    footer = "Made by medfeat. The page is one file and fetches nothing."
    return Page("Results", lead, tuple(sections), footer=footer, warning=WITH_PICTURES if pictured else "")


def _overview_table(questions: Sequence[QuestionResults]) -> Table:
    """Return the best run on val of each question, and how many others the paired test cannot tell from it."""
    columns = ("dataset", "best on val", "head", "metric", "val", "test", "as good", "runs", "mind")
    rows = []
    for one in questions:
        best, metric = one.best, one.best.headline[0]
        same = "–" if one.groups is None else str(one.as_good())
        rows.append((one.name, best.network, best.head, NAMES[metric], number(best.val.values[metric].value),
                     with_interval(best.test.values[metric]), same, str(len(one.runs)),
                     ", ".join(best.cautions)))  # fmt: skip
    note = "as good: other runs that a paired test cannot tell from the best on val; in brackets: 95 % interval of test"
    return Table("", columns, tuple(rows), (note,))


def _overview(questions: Sequence[QuestionResults]) -> Iterator[Markup]:
    shown = _overview_table(questions)
    intervals = [one.best.test.values[one.best.headline[0]] for one in questions]
    cells = {(i, 5): _with_bar(interval, 0.0, 1.0) for i, interval in enumerate(intervals) if 0 <= interval.value <= 1}
    links = {(i, 0): element("a", one.name, href=f"#q{i}") for i, one in enumerate(questions)}
    yield table(shown, cells=cells | links)


def _results_table(question: QuestionResults) -> Table:
    """Return all runs of a question, best on val first, with their group, cost and cautions."""
    best, other = question.best.headline
    columns = ("network", "head", "training", "pixels", f"val {NAMES[best]}", f"test {NAMES[best]}",
               f"test {NAMES[other]}", "group", "seconds", "Wh", "mind")  # fmt: skip
    rows = []
    for i, (run, network) in enumerate(zip(question.runs, network_names(question.runs), strict=True)):
        training = wording.trained(run.protocol)
        seconds, energy = spent(run)
        rows.append((network, run.head, training, run.protocol["pixels"], number(run.val.values[best].value),
                     with_interval(run.test.values[best]), with_interval(run.test.values[other]),
                     letter(question.groups, i), number(seconds, 1), number(energy, 2),
                     ", ".join(run.cautions)))  # fmt: skip
    notes = ["sorted by val; in brackets: 95 % interval of test"]
    if question.groups is not None:
        notes.append(
            f"group: runs of one letter cannot be told from the first of them by test {NAMES[best]} (paired test,"
            " Holm's correction, 5 %); another metric may tell them apart, and letters are no ranks"
        )
    notes += twin_lines(question.runs, question.first_alike)
    notes += list(dict.fromkeys(line for run in question.runs for line in run.test.notes))
    return Table("", columns, tuple(rows), tuple(notes), strong=frozenset({0}))


def letter(groups: Sequence[int] | None, i: int) -> str:
    """Return the letter of a run's group."""
    if groups is None:
        return "–"
    return _LETTERS[groups[i]] if groups[i] < len(_LETTERS) else str(groups[i] + 1)


def spent(run: Run) -> tuple[float, float | None]:
    """Return seconds and watt-hours of extraction and probe together, as far as they are known."""
    parts = (run.costs["extraction"], run.costs["probe"])
    seconds = [part.get("seconds") for part in parts]
    return (sum(seconds) if None not in seconds else float("nan")), total_energy(parts)


def _question(question: QuestionResults, anchor: str) -> Iterable[Markup]:
    best, other = question.best.headline
    yield from (element("p", prose(line), class_="note") for line in question.notes)
    shown = _results_table(question)
    cells: dict[tuple[int, int], Markup] = {}
    for column, metric in ((5, best), (6, other)):
        intervals = [run.test.values[metric] for run in question.runs]
        low, high = _range(intervals)
        cells |= {(i, column): _with_bar(one, low, high) for i, one in enumerate(intervals)}
    for i in range(len(question.runs)):
        cells[i, 7] = element("span", letter(question.groups, i), class_="group-letter")
    yield table(shown, cells=cells)
    yield from _figures(question)
    if question.comparison is not None and question.comparison.rows:
        beside = comparison_table(question.comparison)
        yield element("details", element("summary", beside.title), table(beside))
    yield from _best(question, anchor)
    yield from label_curves(question.curves)
    for one in (*question.attended, *question.audit):
        yield table(one)
    yield element("details", element("summary", "Where each number comes from"), table(_sources(question)))


def _figures(question: QuestionResults) -> Iterator[Markup]:
    metric = question.best.headline[0]
    if question.comparison is not None and question.comparison.rows:
        drawn = inline(
            scores_figure(question.comparison), "Our runs with their 95 % intervals beside published results."
        )
        yield element("div", drawn, class_="scroll large")
    costs = [spent(run)[0] for run in question.runs]
    if np.isfinite(costs).sum() > 1:
        scores = [run.test.values[metric].value for run in question.runs]
        figure = curve_charts.cost_figure(networks_of(question.runs), costs, scores, f"test {NAMES[metric]}")
        yield inline(figure, "What a score costs: each point is a run.")


def _best(question: QuestionResults, anchor: str) -> Iterator[Markup]:
    run = question.best
    yield element("h3", f"The best run on val: {run.network}, {run.head}", id=f"{anchor}-best")
    chosen = wording.chosen(run.choice["settings"]) or "none"
    yield element("p", f"Chosen on val: {chosen}. {run.test.n:,} test samples.", class_="note")
    parts: list[Markup] = [element("div", table(one)) for one in class_tables([run]) if one.rows]
    if run.test.confusion:
        parts.append(element("div", _confusion(run)))
    parts += [inline(figure, caption) for figure, caption in _curves(question)]
    yield element("div", parts, class_="figures")
    if question.patients is not None:
        yield table(patient_table(question.patients.test, run.headline, question.patients.left_out))
    if question.mistakes:
        yield element("h3", "Its most confident mistakes")
        yield element("p", "Below each, the training images that are nearest by cosine.", class_="note")
        yield element("div", [_mistake(one) for one in question.mistakes], class_="mistakes")


def _curves(question: QuestionResults) -> Iterator[tuple[Figure, str]]:
    run, task = question.best, question.best.task["type"]
    if run.test.reliability and "ece" in run.test.values:
        yield (
            reliability_figure(run),
            "How often it was right against how sure it was; a dot's area is its share of test.",
        )
    if task == "regression" or question.labels is None or question.scores is None:
        return
    pairs, names = LabelledScores.of(question.labels, question.scores, task).one_vs_rest, list(run.task["classes"])
    names = names[-1:] if task == "binary-class" else names
    largest = sorted(range(len(pairs)), key=lambda i: -int(pairs[i][0].sum()))[: curve_charts.MOST_CURVES]
    kept = [(names[i], *pairs[i]) for i in sorted(largest)]
    left = f" Of {len(pairs)} classes, the {len(kept)} largest." if len(kept) < len(pairs) else ""
    band = f"Shaded: pointwise 95 % bootstrap band.{left}"
    yield curve_charts.roc_figure([roc_line(*one) for one in kept]), f"ROC on test. {band}"
    precision = [precision_line(*one) for one in kept]
    shares = [float(positive.mean()) for _, positive, _ in kept]
    yield curve_charts.precision_figure(precision, shares), f"Precision and recall on test. {band}"
    if task == "binary-class":
        (name, positive, score) = kept[0]
        figure = curve_charts.benefit_figure(benefit_line(name, positive, score), benefit_of_all(positive))
        yield figure, f"Net benefit of acting on {name!r}, beside acting on everyone (dashed). {band}"


def _confusion(run: Run) -> Markup:
    names, counts = run.task["classes"], np.array(run.test.confusion)
    head = [
        element("th", "true / predicted", scope="col"),
        *(element("th", n, scope="col", class_="number") for n in names),
    ]
    rows = []
    for name, row in zip(names, counts, strict=False):
        share = row / max(int(row.sum()), 1)
        cells = [
            element("td", str(count), class_="number share", style=f"--share:{part:.3f}")
            for count, part in zip(row.tolist(), share.tolist(), strict=True)
        ]
        rows.append(element("tr", element("th", name, scope="row"), cells))
    body = [element("thead", element("tr", head)), element("tbody", rows)]
    title = element("caption", "Confusion matrix of test")
    return element("div", element("table", title, body, class_="confusion"), class_="scroll")


def _mistake(one: Mistake) -> Markup:
    near = [
        element("figure", _picture(image), element("figcaption", f"{image.id} ", element("div", image.words)))
        for image in one.near
    ]
    looked = f"where the network looked in {one.image.id}"
    heat = None if one.heat is None else element("img", src=data_address(one.heat), alt=looked, class_="pixels")
    return element("article", element("div", _picture(one.image), heat, class_="pair"),
                   element("div", element("strong", one.image.id)), element("div", one.image.words),
                   element("div", near, class_="near") if near else None, class_="mistake")  # fmt: skip


def _picture(image: Shown) -> Markup | None:
    if image.picture is None:
        return None
    return element("img", src=data_address(image.picture), alt=f"image {image.id}", class_="pixels")


def _sources(question: QuestionResults) -> Table:
    columns = ("run", "network", "recipe", "weights", "chosen on val", "command", "scores file")
    rows = []
    for run, command in zip(question.runs, question.commands, strict=True):
        recipe = run.store["recipe"]
        store = f"{run.store['embedding']} ({run.store['digest'][:12]})"
        rows.append((run.key[:12], f"{run.network}, {run.head}", store,
                     str(recipe.get("weights_digest") or "none"), wording.chosen(run.choice["settings"]), command,
                     f"{run.folder.name}/scores.npz" if run.folder else ""))  # fmt: skip
    return Table("", columns, tuple(rows))


def _range(intervals: Sequence[Interval]) -> tuple[float, float]:
    ends = [end for one in intervals for end in (one.low, one.value, one.high) if np.isfinite(end)]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _with_bar(interval: Interval, low: float, high: float) -> Markup:
    """Return a score in words above its interval drawn on the scale of its column."""
    words = with_interval(interval)
    if not np.isfinite(interval.low):
        return joined([words])
    span = (high - low) or 1.0
    a, v, b = (f"{4 + 192 * (end - low) / span:.1f}" for end in (interval.low, interval.value, interval.high))
    line = element("line", x1=a, x2=b, y1="6", y2="6", stroke="var(--accent)", stroke_width="2")
    dot = element("circle", cx=v, cy="6", r="3.5", fill="var(--accent)")
    return joined([words, element("svg", line, dot, viewBox="0 0 200 12", class_="interval", aria_hidden="true")])


def exports(questions: Sequence[QuestionResults], beside: Table | None = None) -> Mapping[str, Table]:
    """Return the tables of the page by the name of their file, for Markdown, CSV and LaTeX."""
    found = {"overview": _overview_table(questions)} | ({} if beside is None else {"beside": beside})
    for one in questions:
        shown = _results_table(one)
        found[one.name] = Table(one.name, shown.columns, shown.rows, shown.notes, shown.strong)
    return found
