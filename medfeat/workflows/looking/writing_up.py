"""Sentences for a methods section and the references beside them, from what runs and stores keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run
from medfeat.evaluation.runs.write_run import versions
from medfeat.heads import HEADS
from medfeat.report import references
from medfeat.types import NOT_KNOWN
from medfeat_cache import StoreHeader

_TIES = ", then "


@dataclass(frozen=True)
class Methods:
    """What a paper says of its runs: paragraphs, and BibTeX of what they cite."""

    lines: tuple[str, ...]
    bibtex: str


def methods_of(runs: Sequence[Run], headers: Mapping[str, StoreHeader]) -> Methods:
    """Return how runs were made.

    Parameters
    ----------
    runs
        At least one.
    headers
        Of stores, by digest; those that are gone are left out.
    """
    used = [headers[digest] for digest in dict.fromkeys(str(run.store["digest"]) for run in runs) if digest in headers]
    libraries = _libraries(runs)
    named = ", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in libraries.items())
    tests, of_pairs = _pairs(runs)
    intervals, of_intervals = _intervals(runs)
    lines = [
        f"Images were embedded once and heads trained on the cached embeddings ({named}). Every"
        f" hyper-parameter was chosen by {_rules(runs)}; test was scored once. {intervals}",
        f"Groups: {tests} with Holm's correction ({references.cited(references.HOLM)}) at 5 %, against the best on val"
        " of each group.",
    ]
    lines += [f"Embedded on {one}." for one in dict.fromkeys(filter(None, map(_hardware, used)))]
    lines += [f"Heads: {_seconds(runs)}."]
    data = {str(one.recipe.get("dataset")): one.info.get("dataset") or {} for one in used}
    lines += [f"{name}: {facts['citation']}. Licence: {facts.get('licence') or 'unknown'}."
              for name, facts in data.items() if facts.get("citation")]  # fmt: skip
    networks = dict.fromkeys(_network(run, headers.get(str(run.store["digest"]))) for run in runs)
    lines.append(f"Networks: {'; '.join(networks)}.")
    said = {name: str(facts["citation"]) for name, facts in data.items() if facts.get("citation")}
    keys = [*of_intervals, references.HOLM, *of_pairs, *_tools(runs, libraries)]
    return Methods(tuple(lines), references.bibtex(keys, said))


def _libraries(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the versions that made the runs; where runs differ, all of them. Trees are named where they stood."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for name, number in (run.versions or versions()).items():
            if name in HEADS and name not in _heads(run):
                continue
            found.setdefault(name, [])
            if number not in found[name]:
                found[name].append(number)
    return found


def _heads(run: Run) -> set[str]:
    """Return the heads that a run trained: its own, or those that val chose among."""
    tried = (run.choice.get("settings") or {}, *(one.get("settings") or {} for one in run.choice.get("tried") or ()))
    return {run.head, *(name for one in tried for name in str(one.get("head", "")).split(" + "))}


def _rules(runs: Sequence[Run]) -> str:
    """Return how was chosen; rules that differ in their last word alone are one sentence."""
    ways: dict[str, list[str]] = {}
    for rule in dict.fromkeys(str(run.choice["rule"]) for run in runs):
        same, _, last = rule.rpartition(_TIES) if ";" not in rule else ("", "", rule)
        ways.setdefault(same, []).append(last)
    return "; ".join(f"{same}{_TIES * bool(same)}{' or '.join(last)}" for same, last in ways.items())


def _intervals(runs: Sequence[Run]) -> tuple[str, list[str]]:
    """Return a sentence on intervals, and the keys of what it cites."""
    kinds = dict.fromkeys(f"{run.protocol['intervals']}, {run.protocol['resamples']} resamples" for run in runs)
    keys = [references.SCORE_INTERVALS] * any("score intervals" in kind for kind in kinds) + [references.BOOTSTRAP]
    said = f"Intervals are of 95 % ({'; '.join(kinds)}; {references.cited(*keys)})"
    patients = "; a cluster bootstrap draws whole patients" if any("cluster" in kind for kind in kinds) else ""
    return f"{said}{patients}.", keys


def _pairs(runs: Sequence[Run]) -> tuple[str, list[str]]:
    """Return which tests compare runs, and the keys of what they cite."""
    numbers = {run.task["type"] == "regression" for run in runs}
    swapped = f"a paired test (scores of two runs on test swapped at random; {references.cited(references.PAIRED)})"
    ways = [swapped] * (False in numbers) + ["a paired bootstrap"] * (True in numbers)
    if len(ways) == 2:
        ways = [f"{swapped[:-1]}; a paired bootstrap for regression)"]
    return ways[0], [references.PAIRED] * (False in numbers)


def _hardware(header: StoreHeader) -> str:
    """Return the machine of an extraction in words; empty where it was not written down."""
    facts = header.info.get("environment") or {}
    parts = [str(facts.get("name") or facts.get("device") or "")]
    parts += [f"{facts['cores']} cores"] if facts.get("cores") else []
    parts += [f"{facts['memory_bytes'] / 2**30:.0f} GiB"] if facts.get("memory_bytes") else []
    parts += [f"torch {facts['torch']}"] if facts.get("torch") else []
    parts += [f"Python {facts['python']}"] if facts.get("python") else []
    return ", ".join(filter(None, parts))


def _seconds(runs: Sequence[Run]) -> str:
    spent: dict[str, float] = {}
    for run in runs:
        spent[run.head] = spent.get(run.head, 0.0) + float(run.costs["probe"].get("seconds") or 0.0)
    return "; ".join(f"{head}, {seconds:.1f} s for training and scores" for head, seconds in sorted(spent.items()))


def _network(run: Run, header: StoreHeader | None) -> str:
    """Name a network and whose weights it has, with what own weights have seen as far as they say it."""
    recipe, known = run.store["recipe"], (header.info.get("backbone") if header is not None else None) or {}
    given, digest = str(run.store.get("weights") or ""), str(recipe.get("weights_digest") or "")[:16]
    if not digest and not recipe.get("source_id"):
        return f"{run.backbone} (no weights)"
    seen = ""
    if given or known.get("origin") == "file":
        seen = f", pretrained on: {known.get('pretraining') or NOT_KNOWN}"
    return f"{run.backbone} ({wording.whose_weights(recipe, known, given, digest or 'none')}{seen})"


def _tools(runs: Sequence[Run], libraries: Iterable[str]) -> list[str]:
    used = [*libraries, "torch", *(str(run.store["recipe"].get("source")) for run in runs)]
    return [references.CITED_FOR[name] for name in used if name in references.CITED_FOR]
