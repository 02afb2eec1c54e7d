"""From what a person typed to a registry entry."""

from __future__ import annotations

import importlib

from medfeat.backbones.backbone_table import BACKBONES, COLOUR, LIBRARIES, Entry
from medfeat.backbones.library import Access, Library
from medfeat.errors import MissingFileError, UsageError
from medfeat.types import BackboneInfo


def backbone_names() -> list[str]:
    """Return every short name, in the table's order; those of installed packages come last and are not imported."""
    return list(BACKBONES)


def describe(name: str) -> BackboneInfo:
    """Say what a name stands for, without building anything and without a network call.

    Parameters
    ----------
    name
        A short name (imports no deep-learning library), ``timm:NAME[.TAG]``, ``torchvision:NAME[.WEIGHTS]`` or
        ``hf:OWNER/REPO[@REVISION]``.

    Returns
    -------
    BackboneInfo
        Without the digest of the weights; of a Hugging Face repository that is not on this machine, name and source.

    Raises
    ------
    UsageError
        For an unknown name, with close ones named.

    Examples
    --------
    >>> describe("resnet18").input_size
    224
    """
    try:
        return find(name, Access(offline=True)).info
    except MissingFileError:
        # all there is to know before the first download
        repo = name.partition(":")[2]
        note = "not on this machine yet: the rest is known once it is loaded"
        return BackboneInfo(name, "hf", repo, 0, (0.0,) * 3, (1.0,) * 3, "bicubic", "own", note=note)


def takes_colour(name: str) -> bool:
    """Tell whether embeddings of grey and of colour images differ in length, unless the backbone is told of colour."""
    return name in BACKBONES and COLOUR in BACKBONES[name].pools


def takes_raw(name: str) -> bool:
    """Say whether a backbone takes images and volumes as they are: neither resized nor sliced.

    Parameters
    ----------
    name
        As for `describe`. Only registered backbones can: one of a library is fed images of its own size, which is not
        known before its configuration is here.

    Examples
    --------
    >>> takes_raw("pixels"), takes_raw("resnet18"), takes_raw("hf:OWNER/REPO")
    (True, False, False)
    """
    return name in BACKBONES and BACKBONES[name].takes_raw


def registered(entry: Entry) -> str:
    """Make an entry known by its name for the rest of the process, and return the name."""
    BACKBONES.replace(entry.info.name, entry)
    return entry.info.name


def brings_weights(name: str) -> bool:
    """Say whether a registered backbone builds a network of no library, whose weights only it knows.

    Parameters
    ----------
    name
        As for `describe`.
    """
    return name in BACKBONES and BACKBONES[name].build is not None and BACKBONES[name].info.origin != "weights-free"


def readiness(name: str) -> tuple[bool, str]:
    """Say whether a backbone can be loaded without a network call.

    Parameters
    ----------
    name
        As for `describe`.

    Returns
    -------
    bool
        Whether its weights are on this machine, or it needs none.
    str
        Where they are, or what is missing.
    """
    try:
        entry = find(name, Access(offline=True))
        if entry.build is not None:
            return True, "needs no weights" if entry.info.origin == "weights-free" else "brings its weights"
        return True, str(library_of(entry.info.source).locate(entry.info, Access(offline=True))[1])
    except MissingFileError as error:
        return False, str(error)


def find(name: str, access: Access) -> Entry:
    """Return the registered entry of a short name, or one made from a library's own description."""
    prefix, colon, rest = name.partition(":")
    if not colon or name in BACKBONES:
        return BACKBONES[name]
    if prefix not in LIBRARIES or not rest:
        forms = "timm:NAME[.TAG], torchvision:NAME[.WEIGHTS] or hf:OWNER/REPO[@REVISION]"
        raise UsageError(f"backbone must be a short name, {forms}, got {name!r}")
    return library_of(prefix).describe(rest, access)


def library_of(source: str) -> Library:
    """Import what is known of one library: ``torchvision``, ``timm`` or ``hf``."""
    library: Library = importlib.import_module(f"medfeat.backbones.libraries.from_{source}")
    return library
