"""Which network of a file is read: training scripts keep their tensors under names of their own, some two networks.

A file is seen as one flat list of named tensors, whatever was nested in it: ``{"teacher": {"backbone.conv": ...}}``
holds ``teacher.backbone.conv``. A network is found by its own names, under the prefix where most of them are. Where
several prefixes hold as many, with other values, a convention decides, and it is said; where there is none, nobody can
know which is meant, and the file is refused until one is named: ``FILE::PREFIX``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import torch

from medfeat.backbones.weights.part_spelling import PART, TOP
from medfeat.backbones.weights.state import State
from medfeat.errors import WeightsError

Named: TypeAlias = dict[str, torch.Tensor]

WRAPPERS = (
    *("teacher", "state_dict", "model_state_dict", "model_state", "model", "net", "weights"),
    *("state_dict_ema", "model_ema"),
)
"""Keys under which training scripts keep the tensors inside a checkpoint.

Averages over the training (``_ema``) come last: they are read where a checkpoint has nothing else, so that one that has
both gives the weights it names first, as plain training does.
"""

_PREFIXES = {"module", "model", "backbone", "network", "_orig_mod"}
# Components that say nothing of which network is under them
_NEUTRAL = _PREFIXES | {"state_dict", "model_state_dict", "model_state", "net", "weights", ""}
_AVERAGED = re.compile(r"(^|[._])(ema|momentum)([._]|$)|(^|\.)encoder_k(\.|$)", re.IGNORECASE)
_STUDENT = re.compile(r"(^|[._])student([._]|$)", re.IGNORECASE)
_TEACHER = re.compile(r"(^|[._])teacher([._]|$)", re.IGNORECASE)
_WRAPPED = re.compile(r"^((module|_orig_mod)\.)+")
_SOME = 6


def flatten(content: Mapping[object, object], around: tuple[int, ...] = ()) -> Named:
    """Name every tensor of nested dicts, with a dot between the names of a dict and of what is in it.

    Parameters
    ----------
    content
        Of a file; what is neither a tensor nor a dict is passed over.
    around
        Identities of the dicts around it, which only a hostile file puts into themselves.
    """
    found: Named = {}
    around = (*around, id(content))
    for key, value in content.items():
        if isinstance(value, torch.Tensor):
            found[str(key)] = value
        elif isinstance(value, Mapping) and id(value) not in around:
            found.update({f"{key}.{name}": tensor for name, tensor in flatten(value, around).items()})
    return found


def only_part(state: State, part: str, origin: str) -> Named:
    """Keep what is under one prefix, which is taken off.

    Parameters
    ----------
    state
        All tensors of a file.
    part
        The prefix as `flatten` spells it, or without the wrappers before it where that is clear; `TOP` is what is
        under none.
    origin
        Where they come from, for messages.

    Raises
    ------
    WeightsError
        When nothing is there, with what there is.
    """
    if part == TOP:
        return {name: tensor for name, tensor in state.items() if not any(end in state for end in _ends(name))}
    found = {f"{part}."}
    if not any(name.startswith(f"{part}.") for name in state):
        found = {before + f"{part}." for name in state if (before := _before(name, part)) is not None}
    if len(found) == 1:
        (lead,) = found
        return {name.removeprefix(lead): tensor for name, tensor in state.items() if name.startswith(lead)}
    if found:
        places = _listed([place.rstrip(".") for place in sorted(found)])
        raise WeightsError(f"{origin} has {part!r} in several places: name one of {places}")
    raise WeightsError(f"{origin} holds no tensors under {part!r}: its parts are {_listed(_parts(state))}")


def without_twins(state: State, wanted: State, origin: str, network: str) -> tuple[Named, list[str]]:
    """Leave out of a file that holds a network more than once all but the one that is read.

    Parameters
    ----------
    state
        All tensors of a file.
    wanted
        Tensors of the network, of which names and shapes count.
    origin, network
        Where the tensors come from and what they are for, in messages.

    Returns
    -------
    dict
        The tensors without those of the others, under their full names.
    list of str
        Which was read, where its prefix says more than that there was a wrapper.

    Raises
    ------
    WeightsError
        When several hold other values, and no convention says which is meant.
    """
    alike, names = _alike(state, wanted)
    kept = _distinct(_preferred(alike), state, names)
    if not kept:
        return dict(state), []
    if len(kept) > 1:
        places = " and ".join(map(_shown, kept))
        raise WeightsError(
            f"{origin} holds {network} {len(kept)} times, with other values, under {places}: "
            f"name the one you mean, e.g. --weights {_spelled(origin, kept[0])}"
        )
    read = kept[0]
    losers = tuple(prefix for prefix in alike if prefix != read)
    inside = read.startswith(losers)
    left = {n: t for n, t in state.items() if not n.startswith(losers) or (inside and n.startswith(read))}
    return left, _told(read, _distinct([read, *losers], state, names)[1:], origin)


def best_prefixes(state: State, wanted: State) -> list[str]:
    """Return the prefixes under which most of the wanted names are, those of the right shape; the shortest first.

    None, where no prefix has more than half of them: then the file's names are those of another library.
    """
    named: Counter[str] = Counter()
    shaped: Counter[str] = Counter()
    # checkpoints older than torch 0.4 do not count batches: one that does is no better for it
    names = {name for name in wanted if not name.endswith("num_batches_tracked")}
    for name, tensor in state.items():
        for end in (name, *_ends(name)):
            if end in names:
                prefix = name.removesuffix(end)
                named[prefix] += 1
                shaped[prefix] += tensor.shape == wanted[end].shape
    most = max(((named[prefix], shaped[prefix]) for prefix in named), default=(0, 0))
    if 2 * most[0] <= len(names):
        return []
    best = [prefix for prefix in named if (named[prefix], shaped[prefix]) == most]
    return sorted(best, key=lambda prefix: (len(prefix), prefix))


def unwrapped(state: State) -> Named:
    """Take off the keys under which a checkpoint keeps its tensors; what lies beside them is left out."""
    names = dict(state)
    while True:
        firsts = {name.partition(".")[0] for name in names if "." in name}
        inside = _preferred([key for key in WRAPPERS if key in firsts])
        if not inside:
            return names
        names = _under(names, inside[0])


def without_wrapper_prefix(state: State) -> Named:
    """Take off what training scripts put before every name: ``module.`` and the like."""
    names = dict(state)
    while names and len(first := {name.partition(".")[0] for name in names}) == 1 and first <= _PREFIXES:
        names = {name.partition(".")[2]: tensor for name, tensor in names.items()}
    return names


def _alike(state: State, wanted: State) -> tuple[list[str], Iterable[str]]:
    """Return the prefixes that hold the network as well as any other, and the names to compare them by."""
    best = best_prefixes(state, wanted)
    return (best, wanted) if best else _marked_twins(state)


def _marked_twins(state: State) -> tuple[list[str], Iterable[str]]:
    """Find networks of the same names, whatever these are, under keys that training scripts use."""
    under, names = "", dict(state)
    while True:
        marked = sorted({key for name in names if _is_marked(key := name.partition(".")[0]) and key != name})
        inside = {key: {_WRAPPED.sub("", name) for name in _under(names, key)} for key in marked}
        for key in marked:
            twins = [other for other in marked if 10 * len(inside[key] & inside[other]) > 9 * len(inside[key])]
            if len(twins) > 1 and len(inside[key]) > 1:
                return [f"{under}{twin}." for twin in twins], inside[key]
        if len(marked) != 1:
            return [], ()
        under, names = f"{under}{marked[0]}.", _under(names, marked[0])


def _is_marked(key: str) -> bool:
    return key in WRAPPERS or any(mark.search(key) for mark in (_AVERAGED, _STUDENT, _TEACHER))


def _under(state: State, key: str) -> Named:
    return {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(f"{key}.")}


def _preferred(prefixes: Sequence[str]) -> list[str]:
    """Leave out what gives way by convention: averages to what they are of, and students to their teacher.

    MoCo, BYOL and timm evaluate what was trained; DINO and its heirs evaluate the teacher.
    """
    trained = [prefix for prefix in prefixes if not _AVERAGED.search(prefix)] or list(prefixes)
    taught = any(_TEACHER.search(prefix) for prefix in trained)
    return [prefix for prefix in trained if not (taught and _STUDENT.search(prefix))]


def _distinct(prefixes: Iterable[str], state: State, names: Iterable[str]) -> list[str]:
    """Leave out prefixes that hold the same values as an earlier one."""
    kept: list[str] = []
    for prefix in prefixes:
        if not any(_equal(prefix, other, state, names) for other in kept):
            kept.append(prefix)
    return kept


def _equal(one: str, other: str, state: State, names: Iterable[str]) -> bool:
    for name in names:
        a, b = state.get(one + name), state.get(other + name)
        if a is not b and (a is None or b is None or a.dtype != b.dtype or not torch.equal(a, b)):
            return False
    return True


def _told(read: str, others: Sequence[str], origin: str) -> list[str]:
    if others:
        places = " and ".join(map(_shown, others))
        spelled = _spelled(origin, others[0])
        return [f"weights under {_shown(read)} were read, not those under {places}: --weights {spelled} names these"]
    if set(read.split(".")) <= _NEUTRAL:
        return []
    return [f"weights under {_shown(read)} were read"]


def _spelled(origin: str, prefix: str) -> str:
    return f"{origin}{'.' if PART in origin else PART}{prefix.rstrip('.') or TOP}"


def _shown(prefix: str) -> str:
    return repr(prefix.rstrip(".")) if prefix else "no prefix"


def _before(name: str, part: str) -> str | None:
    """Return what stands before a part in a name, None where it is not in it."""
    before, found, _ = f".{name}".partition(f".{part}.")
    return f"{before}.".removeprefix(".") if found else None


def _ends(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[at:]) for at in range(1, len(parts))]


def _parts(state: State) -> list[str]:
    return sorted({".".join(name.split(".")[:2]) if name.count(".") > 1 else name.partition(".")[0] for name in state})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SOME]) + (" ..." if len(names) > _SOME else "")
