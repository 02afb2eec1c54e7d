"""Which array of an .npz file is what: MedMNIST's ``train_images``, other people's ``x_train`` and ``valid_images``."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from medfeat.datasets.splits.split_names import split_word, splits_of
from medfeat.errors import DataError
from medfeat.types import OFFICIAL_GROUPS, OWN_GROUP

_ROLES = {
    **dict.fromkeys(("images", "image", "imgs", "img", "x", "data", "inputs", "pixels", "volumes"), "images"),
    **dict.fromkeys(("labels", "label", "y", "targets", "target"), "labels"),
}
_ROLE = "|".join(sorted(_ROLES, key=len, reverse=True))
# Outside or inside the split's name, and x and y glued to it: train_images, images_train, X_train, trainX, ytest.
_BEFORE = re.compile(
    rf"(?P<role>{_ROLE})(?:[_ .-]|(?=[A-Z]))(?P<split>.+)|(?P<glued>[xy])(?P<after>[a-z]+)", re.IGNORECASE
)
_AFTER = re.compile(rf"(?P<split>.+?)(?:[_ .-]|(?=[XY]$))(?P<role>{_ROLE})", re.IGNORECASE)


@dataclass(frozen=True)
class NpzKeys:
    """The names of the arrays.

    Attributes
    ----------
    images, labels
        Name of the array of each group, in official order; `OWN_GROUP` alone where there are no splits.
    unused
        Names of the others.
    """

    images: dict[str, str]
    labels: dict[str, str]
    unused: tuple[str, ...]


def npz_keys(names: Collection[str], where: str) -> NpzKeys:
    """Tell images from labels, and splits apart.

    Parameters
    ----------
    names
        Of the arrays.
    where
        The file, for errors.

    Raises
    ------
    DataError
        When two arrays could be the same, or a name could be val or test.
    """
    parsed = {name: found for name in names if (found := _parsed(name)) is not None}
    splits = splits_of({split for split, _ in parsed.values()}, where)
    taken: dict[str, dict[str, str]] = {"images": {}, "labels": {}}
    for name, (split, role) in parsed.items():
        other = taken[role].setdefault(splits[split], name)
        if other != name:
            raise DataError(f"{where}: {other} and {name} could both be the {splits[split]} {role}; leave one out")
    images, labels = (
        {group: found[group] for group in OFFICIAL_GROUPS if group in found}
        or ({OWN_GROUP: role} if role in names else {})
        for role, found in taken.items()
    )
    used = {*images.values(), *labels.values()}
    return NpzKeys(images, labels, tuple(name for name in names if name not in used))


def _parsed(name: str) -> tuple[str, str] | None:
    """Return the part of a name that names a split, and what the array holds."""
    for match in (_AFTER.fullmatch(name), _BEFORE.fullmatch(name)):
        if match is None:
            continue
        found = match.groupdict()
        split, role = found["split"] or found["after"], found["role"] or found["glued"]
        if split_word(split) is not None:
            return split, _ROLES[role.lower()]
    return None
