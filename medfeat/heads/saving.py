"""Trained heads on disk, in forms that cannot run code: skops with a closed list of types, XGBoost's own format.

A folder holds ``head.json`` (which form), and beside it ``head.skops`` or ``head.ubj``; of a mean over several heads
one file a head, ``head.0.skops``, ``head.1.ubj`` and so on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from medfeat.errors import DataError, MissingFileError
from medfeat.types import Fitted
from medfeat_cache import make_folder, write_whole
from medfeat_cache.commands import command
from medfeat_cache.reading import read_bounded, read_json

FORMAT = "medfeat-head"
VERSION = 1
# A kNN head keeps its training rows; beyond this no head is loaded whole.
HEAD_BYTES = 16 << 30
PROBES = (
    "medfeat.heads.linear.LinearProbe",
    "medfeat.heads.knn.NeighboursProbe",
    "medfeat.heads.svm.SupportProbe",
    "medfeat.heads.prototypes.PrototypesProbe",
    "medfeat.heads.ordinal.OrdinalProbe",
    "medfeat.heads.ridge.RidgeProbe",
    "medfeat.heads.mlp.PerceptronProbe",
    "medfeat.heads.attention.AttentionProbe",
    "medfeat.heads.zero_shot.ZeroShotProbe",
    "medfeat.heads.text_linear.TextLinearProbe",
    "medfeat.heads.lp_plus.LPPlusProbe",
    "medfeat.heads.majority.Majority",
)
# Beside scikit-learn's own estimators and plain numpy, which skops trusts by itself.
TRUSTED = (*PROBES, "medfeat.heads.knn.CosineIndex")
BOOSTING = "medfeat.heads.boosting.BoostingProbe"
AVERAGE = "medfeat.heads.average.AverageProbe"
MOST_MEMBERS = 16
_BRIDGE_TO_TORCH = "sklearn.externals.array_api_compat.torch"


def save_model(model: Fitted, folder: Path, *, trusted: Sequence[str] = ()) -> None:
    """Write a fitted head into a folder, which is made when it is not there.

    Parameters
    ----------
    model
        What was fitted.
    folder
        Where to.
    trusted
        Full names of the types that the head of an installed package declares its models to be made of.

    Raises
    ------
    DataError
        Neither one of medfeat's heads nor made of what is declared: it could not be loaded again without running
        foreign code. Nothing is written then.
    """
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    if _kind(model) == AVERAGE:
        members = model.fitted  # type: ignore[attr-defined]  # its kind says what it is
        saved = {f"head.{i}": _saved(member, trusted) for i, member in enumerate(members)}
        header |= {"kind": AVERAGE, "members": [facts for facts, *_ in saved.values()]}
    else:
        saved = {"head": _saved(model, trusted)}
        header |= saved["head"][0]
    make_folder(folder)
    for name, (_, ending, content) in saved.items():
        write_whole(folder / f"{name}.{ending}", [content], "saving the head")
    write_whole(folder / "head.json", [json.dumps(header, indent=1).encode()], "saving the head")


def _saved(model: Fitted, trusted: Sequence[str]) -> tuple[dict[str, Any], str, bytes]:
    """Return what is said of a model, the ending of its file, and what is in it."""
    kind = _kind(model)
    if kind != BOOSTING:
        return {"kind": kind}, "skops", _as_skops(model, trusted)
    facts = {"kind": kind, "parameters": model.get_params(), "features": model.features_.tolist()}  # type: ignore[attr-defined]  # _kind knows what it is
    return facts, "ubj", bytes(model.booster_.save_raw("ubj"))  # type: ignore[attr-defined]


def _as_skops(model: Fitted, trusted: Sequence[str]) -> bytes:
    skops, kind = _skops_io(), _kind(model)
    if kind not in (*PROBES, *trusted):
        raise DataError(
            f"a {kind} cannot be saved: only medfeat's own heads, and types that an installed head declares as "
            "`trusted`, load again without running code"
        )
    try:
        content: bytes = skops.dumps(model)
        strange = sorted(set(skops.get_untrusted_types(data=content)) - {*TRUSTED, *trusted})
    except Exception as error:  # a model of somebody else's can hold anything
        raise DataError(f"a {kind} cannot be saved ({type(error).__name__}: {error})") from error
    if strange:
        raise DataError(f"a {kind} cannot be saved: it holds {', '.join(strange[:3])}, which its head does not declare")
    return content


@cache
def _skops_io() -> Any:
    """Import skops, and not torch with it.

    skops lists scikit-learn's estimators, for which each package in it is imported, also its bridge to torch: seconds
    for what no head on the CPU needs. That list passes over a package that cannot be imported, as one marked None.
    """
    apart = not {"torch", _BRIDGE_TO_TORCH} & set(sys.modules)
    if apart:
        sys.modules[_BRIDGE_TO_TORCH] = None  # type: ignore[assignment]
    try:
        import skops.io
    finally:
        if apart:
            sys.modules.pop(_BRIDGE_TO_TORCH, None)
    return skops.io


def load_model(folder: Path, *, trusted: Sequence[str] = ()) -> Fitted:
    """Read a head that `save_model` wrote; no code in the files is run, whatever they hold.

    Parameters
    ----------
    folder
        Where it was written.
    trusted
        As `save_model` takes them; what the files themselves declare counts for nothing.

    Raises
    ------
    MissingFileError
        No head was saved there.
    DataError
        A file that is not what it says, is damaged, or holds a type that is not a head's.
    """
    path = folder / "head.json"
    if not path.is_file():
        raise MissingFileError(f"there is no saved head in {folder}: run {command('probe')} again")
    try:
        header = read_json(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}): run {command('probe')} again") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path} is not a saved head: its 'format' must be {FORMAT!r}")
    if header.get("version") != VERSION:
        raise DataError(f"{path} has version {header.get('version')!r}, this medfeat reads {VERSION}: update medfeat")
    if header.get("kind") != AVERAGE:
        return _load_one(folder / "head", header, trusted)
    from medfeat.heads.average import AverageProbe

    members = header.get("members")
    if not isinstance(members, list) or not 0 < len(members) <= MOST_MEMBERS:
        raise DataError(f"{path} must name 1 to {MOST_MEMBERS} members of a mean: run {command('probe')} again")
    return AverageProbe([_load_one(folder / f"head.{i}", facts, trusted) for i, facts in enumerate(members)])


def _load_one(stem: Path, facts: object, trusted: Sequence[str]) -> Fitted:
    if isinstance(facts, dict) and facts.get("kind") == BOOSTING:
        return _load_boosting(stem.with_name(f"{stem.name}.ubj"), facts)
    return _load_skops(stem.with_name(f"{stem.name}.skops"), trusted)


def _load_skops(path: Path, declared: Sequence[str]) -> Fitted:
    if not path.is_file():
        raise MissingFileError(f"{path} is missing: run {command('probe')} again")
    content = read_bounded(path, HEAD_BYTES)
    if not content.startswith(b"PK\x03\x04"):
        raise DataError(
            f"{path} is not a skops file (a pickle, perhaps): it was not opened; run {command('probe')} again"
        )
    skops = _skops_io()
    try:
        strange = sorted(set(skops.get_untrusted_types(data=content)) - {*TRUSTED, *declared})
        if strange:
            raise DataError(f"{path} holds {', '.join(strange[:3])}, which no head is made of: it was not loaded")
        model = skops.loads(content, trusted=[*TRUSTED, *declared])
    except DataError:
        raise
    # A hostile or damaged archive can fail in any way; whatever it is, this file is no head.
    except Exception as error:
        raise DataError(f"{path} is damaged ({type(error).__name__}): run {command('probe')} again") from error
    if _kind(model) not in (*PROBES, *declared) or not callable(getattr(model, "scores", None)):
        raise DataError(f"{path} holds a {_kind(model)}, which is not a head: it was not used")
    return model  # type: ignore[no-any-return]  # one of PROBES


def _load_boosting(path: Path, header: dict[str, Any]) -> Fitted:
    import xgboost

    from medfeat.heads.boosting import BoostingProbe

    if not path.is_file():
        raise MissingFileError(f"{path} is missing: run {command('probe')} again")
    try:
        probe = BoostingProbe(**header["parameters"])
        probe.booster_ = xgboost.Booster(model_file=bytearray(read_bounded(path, HEAD_BYTES)))
        probe.features_ = np.array(header["features"], dtype=np.int64)
        probe.rounds_ = probe.booster_.num_boosted_rounds()
    except (KeyError, TypeError, ValueError, xgboost.core.XGBoostError) as error:
        raise DataError(f"{path} is damaged ({type(error).__name__}): run {command('probe')} again") from error
    return probe


def _kind(model: object) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"
