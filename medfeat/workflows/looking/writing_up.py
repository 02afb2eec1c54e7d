"""Sentences for a methods section and the references beside them, from what runs and stores keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medfeat.evaluation.runs.run import Run
from medfeat.evaluation.runs.write_run import versions
from medfeat.report import references
from medfeat_cache import StoreHeader


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
    rules = "; ".join(dict.fromkeys(run.choice["rule"] for run in runs))
    intervals = "; ".join(dict.fromkeys(_intervals(run) for run in runs))
    lines = [
        f"Images were embedded once and heads trained on the cached embeddings ({libraries}). Every"
        f" hyper-parameter was chosen by {rules}; test was scored once. Intervals are of 95 % ({intervals}; Newcombe,"
        " 2006; Efron and Tibshirani, 1993), or of whole patients where patients are known.",
        "Groups: a paired test (scores of two runs on test swapped at random; Bandos, Rockette and Gur, 2005; a paired"
        " bootstrap for regression) with Holm's correction (Holm, 1979) at 5 %, against the best on val of each group.",
    ]
    lines += [f"Embedded on {one}." for one in dict.fromkeys(filter(None, map(_hardware, used)))]
    lines += [f"Heads: {_seconds(runs)}."]
    data = {str(one.recipe.get("dataset")): one.info.get("dataset") or {} for one in used}
    lines += [f"{name}: {facts['citation']}. Licence: {facts.get('licence') or 'unknown'}."
              for name, facts in data.items() if facts.get("citation")]  # fmt: skip
    weights = {run.backbone: run.store["recipe"] for run in runs}
    networks = (f"{name} ({_weights(recipe)})" for name, recipe in weights.items())
    lines.append(f"Networks: {'; '.join(networks)}.")
    cited = {name: str(facts["citation"]) for name, facts in data.items() if facts.get("citation")}
    return Methods(tuple(lines), references.bibtex(_keys(runs), cited))


def _libraries(runs: Sequence[Run]) -> str:
    """Return the versions that made the runs; where runs differ, all of them."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for name, number in (run.versions or versions()).items():
            found.setdefault(name, [])
            if number not in found[name]:
                found[name].append(number)
    return ", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in found.items())


def _intervals(run: Run) -> str:
    return f"{run.protocol['intervals']}, {run.protocol['resamples']} resamples"


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


def _weights(recipe: Mapping[str, Any]) -> str:
    parts = [recipe.get("source"), recipe.get("source_id")]
    digest = str(recipe.get("weights_digest") or "")
    source = " ".join(str(part) for part in parts if part)
    return ", ".join(part for part in (source, f"weights {digest[:16]}" if digest else "") if part) or "no weights"


def _keys(runs: Sequence[Run]) -> list[str]:
    used = ["scikit-learn", "torch", *(str(run.store["recipe"].get("source")) for run in runs), *(r.head for r in runs)]
    cited = [references.CITED_FOR[name] for name in used if name in references.CITED_FOR]
    return [references.BOOTSTRAP, references.HOLM, *cited]
