"""A run's protocol and cautions in the words the published table uses, so that both can be put side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from medfeat.task_types import shortened
from medfeat.types import OFFICIAL_GROUPS, UNTRAINED, Task

_NONE: Mapping[str, Any] = {}
_TAGGED = ("timm", "torchvision")  # whose ids name the published weights behind a dot
TRAINING = {"linear": "linear probe", "knn": "kNN", "finetune": "fine-tuned", "zero-shot": "zero-shot"}


def training(head: str, settings: Mapping[str, Any] = _NONE) -> str:
    """Return how a head trains, as published rows say it; of ``auto``, the head that was chosen.

    Examples
    --------
    >>> training("auto", {"head": "knn + svm"})
    'mean of knn and svm on frozen features'
    """
    chosen_head = str(settings.get("head", head))
    names = chosen_head.split(" + ")
    words = f"mean of {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else chosen_head
    return TRAINING.get(chosen_head, f"{words} on frozen features")


def chosen(settings: Mapping[str, Any]) -> str:
    """Return settings in a few words.

    Examples
    --------
    >>> chosen({"C": 0.0316227})
    'C=0.0316'
    >>> chosen({"head": "knn", "k": 11})
    'knn: k=11'
    >>> chosen({"head": "linear + knn", "linear": {"C": 1.0}, "knn": {"k": 11}})
    'mean of linear (C=1) and knn (k=11)'
    """
    parts = [f"{name} ({chosen(part)})" for name, part in settings.items() if isinstance(part, Mapping)]
    if parts:
        return f"mean of {', '.join(parts[:-1])} and {parts[-1]}"
    words = {key: f"{part:.3g}" if isinstance(part, float) else str(part) for key, part in settings.items()}
    before = f"{words.pop('head')}: " if "head" in words else ""
    return before + ", ".join(f"{key}={word}" for key, word in words.items())


USUAL: dict[str, Any] = {"refit": False, "choose": "val", "class_weight": "none", "budget": None}


def made_with(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `medfeat probe` behind a run that are not the usual ones, its seed aside.

    Two runs that differ here are two answers: no table, pair or spread over seeds may take one for the other. Runs made
    before an option was there have the usual one.
    """
    return {name: protocol[name] for name, usual in USUAL.items() if protocol.get(name, usual) != usual}


def unusual(protocol: Mapping[str, Any]) -> list[str]:
    """Return `made_with` in words."""
    words = {
        "refit": "refitted on train+val",
        "choose": "cross-validated over train+val",
        "class_weight": f"class weights {protocol.get('class_weight')}",
        "budget": f"budget of {protocol.get('budget'):g} s" if protocol.get("budget") else "",
    }
    return [words[name] for name in made_with(protocol)]


def trained(protocol: Mapping[str, Any]) -> str:
    """Return how a run was trained, with what was unusual about it.

    Examples
    --------
    >>> trained({"training": "linear probe", "refit": True, "class_weight": "balanced"})
    'linear probe, refitted on train+val, class weights balanced'
    """
    return ", ".join((protocol["training"], *unusual(protocol)))


def pixels(recipe: Mapping[str, Any]) -> str:
    """Return what the network was shown: ``28 native``, ``28 enlarged to 224``, ``native 224`` ...

    Parameters
    ----------
    recipe
        Of the store; absent fields are taken as unknown.

    Examples
    --------
    >>> pixels({"size": 28, "input_size": 224, "fit": "whole"})
    '28 enlarged to 224'
    >>> pixels({"size": 224, "input_size": 224, "fit": "reference", "resize": "shorter side to 256"})
    '224 resized to 256, centre 224'
    """
    if recipe.get("stores"):
        return " + ".join(dict.fromkeys(map(pixels, recipe["stores"])))
    size, fed = int(recipe.get("size") or 0), int(recipe.get("input_size") or 0)
    if not size:
        return f"own images resized to {fed}" if fed else "own images as they are"
    if recipe.get("fit") == "pad" and fed != size:
        return f"{size} zero-padded to {fed}"
    words = recipe.get("resize") if recipe.get("fit") == "reference" else ""  # such as "shorter side to 256"
    resized = int(str(words).rpartition(" ")[2]) if words else 0
    if resized > fed > 0:
        return f"{size} resized to {resized}, centre {fed}"
    if fed in (0, size):
        return "native 224" if size == 224 else f"{size} native"
    return f"{size} {'enlarged' if fed > size else 'reduced'} to {fed}"


def embedding(recipe: Mapping[str, Any]) -> str:
    """Return which embedding a store holds, beyond its backbone: layer, pooling, slices, and what is not plain."""
    if recipe.get("bag"):  # all images of a patient
        return ", ".join(filter(None, (embedding({**recipe, "bag": None}), f"by {recipe['bag']}")))
    if recipe.get("stores"):
        return _side_by_side(recipe["stores"])
    parts = [recipe.get("layer"), recipe.get("pool"), recipe.get("slices")]
    parts = [part for part in parts if part != "none"]  # weights-free backbones pool nothing
    if recipe.get("precision") not in (None, "fp32"):
        parts.append(recipe["precision"])
    parts.append(recipe.get("dtype"))
    if recipe.get("copies"):
        parts.append(f"copies {recipe['copies']}")
    if recipe.get("fit") not in (None, "whole"):
        parts.append(f"fit {recipe['fit']}")
    return ", ".join(str(part) for part in parts if part)


def _side_by_side(recipes: Sequence[Mapping[str, Any]]) -> str:
    """Return in what the embeddings differ that stand side by side, and what they share."""
    layers = {recipe.get("layer") for recipe in recipes}
    parts = [f"{len(layers)} layers"] if len(layers) > 1 else []
    sizes = sorted({int(recipe.get("size") or 0) for recipe in recipes})
    parts += [f"{' + '.join(map(str, sizes))} px"] if len(sizes) > 1 else []
    shared = {embedding({**recipe, "layer": recipe.get("layer") if len(layers) == 1 else None}) for recipe in recipes}
    return ", ".join([*parts, " + ".join(sorted(filter(None, shared)))]).removesuffix(", ") or "side by side"


def weights(info: Mapping[str, Any]) -> str:
    """Return the file of weights that a store's network was given; empty for pretrained and random ones.

    Parameters
    ----------
    info
        Of the store.

    Examples
    --------
    >>> weights({"asked": {"weights": {"origin": "file", "path": "trained/epoch9.pth", "part": "teacher"}}})
    'epoch9.pth::teacher'
    """
    used = (info.get("asked") or {}).get("weights") or {}
    if used.get("origin") != "file" or not used.get("path"):
        return ""
    name = PurePath(str(used["path"])).name
    return f"{name}::{used['part']}" if used.get("part") else name


def whose_weights(recipe: Mapping[str, Any], network: Mapping[str, Any], given: str, digest: str) -> str:
    """Say which network it is and whose weights it has; the id of published weights is not that of own ones.

    Parameters
    ----------
    recipe
        Of the store.
    network
        ``info["backbone"]`` of the store; may be empty where the store is gone.
    given
        The file of weights, see `weights`; empty for none.
    digest
        Of the weights, as it is to be shown.

    Examples
    --------
    >>> whose_weights({"source": "timm", "source_id": "vit.augreg"}, {"origin": "file"}, "mine.pth", "blake2b:12")
    'timm vit, weights file mine.pth (blake2b:12)'
    """
    source = str(network.get("source") or recipe.get("source") or "")
    name = str(network.get("source_id") or recipe.get("source_id") or recipe.get("backbone") or "")
    origin = "file" if given else str(network.get("origin", "unknown"))
    if origin == "file":
        name = name.partition(".")[0] if source in _TAGGED else name
    words = f"{source} {name}, weights {origin}{f' {given}' if given else ''} ({digest})"
    return words.strip()


def network(backbone: str, given: str) -> str:
    """Name a network wherever it is shown: by its backbone, and by the file of its weights where one was given."""
    return f"{backbone} ({given})" if given else backbone


def networks(named: Iterable[tuple[str, str]]) -> list[str]:
    """Name networks that are shown together: with their files of weights where one backbone has several.

    Parameters
    ----------
    named
        Backbone and file of weights of each, as `network` takes them.

    Examples
    --------
    >>> networks([("resnet18", "a.pth"), ("resnet18", "b.pth"), ("vgg16", "c.pth")])
    ['resnet18 (a.pth)', 'resnet18 (b.pth)', 'vgg16']
    """
    given: dict[str, set[str]] = {}
    shown = list(named)
    for backbone, file in shown:
        given.setdefault(backbone, set()).add(file)
    return [network(backbone, file if len(given[backbone]) > 1 else "") for backbone, file in shown]


def cautions(dataset: str, backbone: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what must be said wherever this run's score is shown.

    Parameters
    ----------
    dataset
        Name of the dataset.
    backbone
        ``info["backbone"]`` of the store.
    """
    found = []
    if "random" in (backbone.get("origin"), backbone.get("source")) or backbone.get("pretraining") == UNTRAINED:
        found.append("random weights")
    if dataset in (backbone.get("overlap") or ()):
        found.append("pretraining data overlaps this dataset")
    return tuple(found)


def class_cautions(task: Task) -> tuple[str, ...]:
    """Say which classes (or labels) one split shows and another never does: no score can be of these.

    Parameters
    ----------
    task
        The question; a split that has no samples at all is not spoken of.

    Examples
    --------
    >>> class_cautions(task)                                                    # doctest: +SKIP
    ('train never shows rare, which is in test',)
    """
    if task.task_type == "regression":
        return ()
    shown = {split: _shown(task, split) for split in OFFICIAL_GROUPS if (task.split == split).any()}
    found = []
    for less, more in (("train", "test"), ("train", "val"), ("val", "train"), ("test", "train")):
        lacking = sorted(shown[more] - shown[less]) if less in shown and more in shown else []
        if lacking:
            names = shortened([task.classes[i] for i in lacking], 5)
            found.append(f"{less} never shows {names}, which {'is' if len(lacking) == 1 else 'are'} in {more}")
    return tuple(found)


def _shown(task: Task, split: str) -> set[int]:
    labels = task.labels[task.split == split]
    return set((labels.any(axis=0).nonzero()[0] if task.task_type == "multi-label" else labels[:, 0]).tolist())
