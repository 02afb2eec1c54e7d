"""Names of splits as people write them: ``train_data``, ``Validation``, ``imagesTs``, ``holdout``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from medfeat.errors import DataError

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "vld", "dev", "devel", "tune", "tuning"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
# Either of two splits; which one tell the others.
EITHER = ("eval", "evaluation", "evaluate")
# Only beside a word such as images: nnU-Net's imagesTr and imagesTs.
SHORT = {"tr": "train", "va": "val", "ts": "test", "te": "test"}
AROUND = ("data", "set", "dataset", "images", "image", "imgs", "img", "pictures", "samples", "split", "folder", "stage")
GLUED = re.compile(rf"(?P<split>{'|'.join([*SPLIT_NAMES, *EITHER])})(?:{'|'.join(AROUND)})")
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+")


def split_word(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test``, ``eval`` where it may be either of two, None for the name of no split.

    Capitals, numbers, marks between words, and words such as data, set and images beside it change nothing.

    Examples
    --------
    >>> [split_word(name) for name in ("train_data", "01 Training-Set", "imagesTs", "hold-out", "benign")]
    ['train', 'train', 'test', 'test', None]
    """
    words = [word.lower() for word in WORD.findall(unicodedata.normalize("NFKC", name))]
    bare = "".join(word for word in words if word not in AROUND)
    if glued := GLUED.fullmatch(bare):
        bare = glued["split"]
    if bare in EITHER:
        return "eval"
    short = SHORT.get(bare) if any(word in AROUND for word in words) else None
    return SPLIT_NAMES.get(bare, short)


def splits_of(names: Iterable[str], where: str) -> dict[str, str]:
    """Return the split that each name stands for; names of no split are left out.

    Parameters
    ----------
    names
        Of folders, columns or cells that belong together.
    where
        They were found, for errors.

    Raises
    ------
    DataError
        When one could be val or test, and the others do not tell which.
    """
    found = {name: split for name in sorted(set(names)) if (split := split_word(name)) is not None}
    either = [name for name, split in found.items() if split == "eval"]
    left = [split for split in ("val", "test") if split not in found.values()]
    if either and len(left) != 1:
        raise DataError(
            f"{where}: {either[0]!r} may be val or test, and {', '.join(sorted(found))} do not tell which; "
            "rename it to one of them"
        )
    return {name: left[0] if split == "eval" else split for name, split in found.items()}


def said_splits(splits: dict[str, str]) -> str:
    """Tell which names are taken for which split, empty when each is spelled ``train``, ``val`` or ``test``."""
    odd = {name: split for name, split in splits.items() if name.strip().lower() != split}
    return ", ".join(f"{name} as {split}" for name, split in odd.items())
