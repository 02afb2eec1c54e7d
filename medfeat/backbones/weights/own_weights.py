"""What is known of weights that come as a file: what medfeat wrote into its header; of any other one, nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from medfeat.backbones.weights.weights_file import header_of, is_tuning
from medfeat.types import NOT_KNOWN, BackboneInfo

KNOWN = "known"
"""Where medfeat writes `facts_to_keep` into the header of a file of weights."""


def own_weights(info: BackboneInfo, file: Path) -> BackboneInfo:
    """Return what is said of a network with the weights of a file: its form is known, not where they are from.

    Parameters
    ----------
    info
        Of the network by its name, with the facts of its published weights.
    file
        As `medfeat.backbones.load_backbone` takes it. Weights that medfeat tuned say on which dataset: a probe there
        must not pass for one of a frozen network.
    """
    header = header_of(file)
    known = header.get(KNOWN)
    if isinstance(known, Mapping):
        return replace(_nothing_known(info), **_facts(known))
    return _tuned(info, header) if is_tuning(header) else _nothing_known(info)


def facts_to_keep(pretraining: str, licence: str, overlap: tuple[str, ...]) -> dict[str, Any]:
    """Return what is known of weights as it is kept in the header of their file.

    Parameters
    ----------
    pretraining, licence, overlap
        As `medfeat.types.BackboneInfo` has them.
    """
    return {"pretraining": pretraining, "licence": licence, "overlap": list(overlap)}


def _facts(known: Mapping[str, Any]) -> dict[str, Any]:
    words = {name: str(known.get(name) or NOT_KNOWN) for name in ("pretraining", "licence")}
    overlap = known.get("overlap")
    return {**words, "overlap": tuple(map(str, overlap)) if isinstance(overlap, list) else ()}


def _nothing_known(info: BackboneInfo) -> BackboneInfo:
    return replace(info, origin="file", licence=NOT_KNOWN, pretraining=NOT_KNOWN, overlap=(), note="")


def _tuned(info: BackboneInfo, story: Mapping[str, Any]) -> BackboneInfo:
    """Read the story of a training from before such facts were kept beside it: they follow from where it began."""
    began, dataset = story["started_from"], str(story["dataset"])
    if is_tuning(began.get("tuned")):
        before = _tuned(info, began["tuned"])
    elif began.get("origin") == "file":
        before = _nothing_known(info)
    else:
        seen = info.overlap if began.get("origin") == "pretrained" else ()
        said = str(began.get("pretraining", NOT_KNOWN))
        before = replace(info, origin="file", pretraining=said, overlap=seen, note="")
    overlap = tuple(dict.fromkeys((*before.overlap, dataset)))
    return replace(before, pretraining=f"{before.pretraining}, then tuned by medfeat on {dataset}", overlap=overlap)
