"""The model card of a saved probe: what it is, what it was trained on, how good it is, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run
from medfeat.task_types import listed
from medfeat.types import NOT_KNOWN, Interval
from medfeat_cache.commands import command

CARD_FILE = "card.md"
_HEADLINES = ("auc", "acc", "balanced_accuracy", "macro_f1", "quadratic_kappa", "ece", "r2", "mae", "rmse", "spearman")


def card(run: Run, info: Mapping[str, Any]) -> str:
    """Return the card in Markdown.

    Parameters
    ----------
    run
        Whose head was saved.
    info
        Of its store.
    """
    data, network = info.get("dataset") or {}, info.get("backbone") or {}
    predict = command("predict", run=run.key[:12], images="IMAGES")
    features = ", ".join(filter(None, (run.store["embedding"], f"{run.store['dim']} numbers")))
    lines = [
        f"# {run.head} head on {run.backbone} features of {run.dataset}",
        "",
        f"Run `{run.key[:12]}`, made {run.created_utc} by medfeat {run.versions.get('medfeat', '')}.",
        "",
        "## What it does",
        "",
        f"- Question: {run.task['name']} ({run.task['type']}; {run.task['origin']})",
        f"- Answers: {listed(run.task['classes'])}",
        f"- Images: {run.protocol['pixels']}; features: {features}",
        f"- Head: {run.head}, {wording.chosen(run.choice['settings']) or 'none'}; chosen by {run.choice['rule']}",
        "- For research. Not a medical device: no diagnosis may rest on it.",
        "",
        "## What it was made from",
        "",
        f"- Data: {run.dataset}, licence {data.get('licence', 'unknown')}. {data.get('citation', '')}".rstrip(),
        f"- Network: {_network(run, network)}",
        "",
        "## How good it is",
        "",
        "| metric | val | test, 95 % interval |",
        "| --- | ---: | ---: |",
        *(_row(name, run) for name in _HEADLINES if name in run.test.values),
        "",
        *(f"- {name}: {_plain(of['test'])} on test" for name, of in run.baselines.items()),
        f"- {run.val.n} val and {run.test.n} test samples; intervals by {run.protocol['intervals']}",
        *_calibration(run),
        "",
        "## What to mind",
        "",
        *(f"- {line}" for line in (*run.cautions, *run.notes, *_unknown(network))),
        "- Other scanners, patients or image sizes than those above were not tested; val cannot vouch for them.",
        f"- Feed it images embedded by the same recipe: {predict} refuses any other.",
    ]
    return "\n".join(lines) + "\n"


def _network(run: Run, network: Mapping[str, Any]) -> str:
    """Say which network it is and whose weights it has."""
    recipe, given = {"backbone": run.backbone, **run.store["recipe"]}, str(run.store.get("weights") or "")
    licence, seen = network.get("licence", "unknown"), network.get("pretraining", "unknown")
    words = wording.whose_weights(recipe, network, given, recipe.get("weights_digest") or "none")
    return f"{words}, licence {licence}, pretrained on: {seen}"


def _unknown(network: Mapping[str, Any]) -> list[str]:
    """Say that leaks cannot be ruled out where nobody knows what the weights were trained on."""
    own = network.get("origin") == "file" and str(network.get("pretraining", "")).startswith(NOT_KNOWN)
    return ["What its weights were trained on is not known: these images may have been among it."] if own else []


def _row(name: str, run: Run) -> str:
    test: Interval = run.test.values[name]
    val = run.val.values[name].value if name in run.val.values else float("nan")
    return f"| {name} | {val:.3f} | {test.value:.3f} [{test.low:.3f}, {test.high:.3f}] |"


def _plain(scores: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if value is not None)


def _calibration(run: Run) -> list[str]:
    if run.test.temperature is None:
        return []
    return [f"- Temperature {run.test.temperature:.3f}, fitted on val, calibrates its probabilities"]
