"""The commands that make a run again, by what its stores, its recipe and its training say of how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medfeat.evaluation.judging.tuned import HEAD as TUNED
from medfeat.evaluation.measures.bootstrap import RESAMPLES
from medfeat.evaluation.runs import wording
from medfeat.evaluation.runs.run import Run
from medfeat.tasks import OFFICIAL
from medfeat.workflows.jobs.store_jobs import HEAD_OF_BAGS, LAYERS
from medfeat.workflows.stores.how_to_extract import can_be_extracted, extract_line, network_words, opening_words
from medfeat_cache import StoreHeader, recipe_digest
from medfeat_cache.commands import command_line

# Options of `finetune` by the names of its settings, where they differ, and those that say what is usual anyway.
_NAMED = {"smoothing": "label_smoothing"}
_USUAL = {
    "soup": 1, "loss": "ce", "class_weight": "none", "sampler": "shuffled", "blocks": 0, "train_batch_norm": False,
}  # fmt: skip
_TRAINING = ("epochs", "batch_size", "lr", "layer_decay", "weight_decay", "smoothing", "patience")


def made_again(run: Run, headers: Mapping[str, StoreHeader], runs: Mapping[str, Run]) -> str:
    """Return the commands, for a shell.

    Parameters
    ----------
    run
        To be made again.
    headers
        Stores that are there, by their digests; of one that is not, the recipe says what it can.
    runs
        Those that are there, by their keys: a training began with one.
    """
    if run.head == TUNED and "fine_tuning" in run.protocol:
        return _training(run, headers, runs.get(str((run.costs.get("start") or {}).get("run"))))
    recipes = run.store["recipe"].get("stores") or [run.store["recipe"]]
    bag = next((str(recipe["bag"]) for recipe in recipes if recipe.get("bag")), None)
    recipes = [{name: part for name, part in recipe.items() if name not in ("bag", "patients")} for recipe in recipes]
    if len(recipes) > 1 and run.head == HEAD_OF_BAGS:
        bag = LAYERS
    extracts = [_extract(recipe, headers.get(recipe_digest(recipe)), run) for recipe in recipes]
    probe = command_line(
        "probe", store=[recipe_digest(recipe)[:12] for recipe in recipes], head=run.head, bag=bag,
        select=len(recipes) > 1 and bag is None,
        **_asked(run), seed=run.protocol["seed"] or None, resamples=_resamples(run), **wording.made_with(run.protocol),
    )  # fmt: skip
    return " && ".join([*filter(None, extracts), probe])


def _asked(run: Run) -> dict[str, Any]:
    """Return the question in the words of the command; a run of before they were kept has its name alone."""
    if "asked" in run.task:
        return dict(run.task["asked"])
    return {} if run.task["name"] == OFFICIAL else {"task": run.task["name"]}


def _resamples(run: Run) -> int | None:
    number = int(run.protocol["resamples"])
    return None if number == RESAMPLES else number


def _extract(recipe: Mapping[str, Any], header: StoreHeader | None, run: Run) -> str:
    """Return how a store is made; nothing for features that no command embeds."""
    if header is None:
        words = network_words(recipe, {})
        weights = words.pop("weights", None) or str(run.store.get("weights") or "") or None
        size = recipe.get("size") or None
        return command_line("extract", data=run.dataset, size=size, **words, weights=weights)
    return extract_line(header, **network_words(recipe, header.info)) if can_be_extracted(header) else ""


def _training(run: Run, headers: Mapping[str, StoreHeader], start: Run | None) -> str:
    """Return the command that trains the network again, from the weights that its start was embedded with."""
    tuned: Mapping[str, Any] = run.protocol["fine_tuning"]
    recipe = run.store["recipe"]
    header = None if start is None else headers.get(str(start.store["digest"]))
    words = network_words(recipe, {} if header is None else header.info)
    data = {"data": run.dataset, "size": run.size or None} if header is None else opening_words(header)
    mode = tuned["mode"]
    options = {_NAMED.get(name, name): tuned[name] for name in _TRAINING}
    options |= {name: tuned[name] for name, usual in _USUAL.items() if tuned.get(name, usual) != usual}
    return command_line(
        "finetune", **data, **{name: words[name] for name in _OF_TRAININGS if name in words}, mode=mode, **options,
        rank=tuned["rank"] if mode == "lora" else None, augment="auto" if tuned["augment"] else "none",
        from_probe=None if tuned["start"] else "never", **_asked(run if start is None else start),
        seed=run.protocol["seed"] or None, resamples=_resamples(run),
    )  # fmt: skip


# What `finetune` takes of what `extract` takes of a network.
_OF_TRAININGS = ("backbone", "weights", "pool", "slices", "fit", "precision")
