"""Names of splits as people write them: ``train_data``, ``Validation``, ``imagesTs``, ``holdout``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from medfeat.errors import DataError

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "vld", "dev", "devel", "tune", "tuning", "validierung"), "val"
    ),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
# Either of two splits; which one tell the others.
_EITHER = ("eval", "evaluation", "evaluate")
# Only beside a word such as images: nnU-Net's imagesTr and imagesTs.
SHORT = {"tr": "train", "va": "val", "ts": "test", "te": "test"}
_AROUND = (
    "data",
    "set",
    "dataset",
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "samples",
    "split",
    "folder",
    "stage",
    "cohort",
)
_GLUED = re.compile(rf"(?P<split>{'|'.join([*SPLIT_NAMES, *_EITHER])})(?:{'|'.join(_AROUND)})")
# Beside another word, as in train_benign, malignant-test and trainBenign.
_WORDS, _MARK = rf"(?i:{'|'.join([*SPLIT_NAMES, *_EITHER])})", r"(?:[ _.-]+|(?<=[a-z])(?=[A-Z]))"
_JOINED = (
    re.compile(rf"(?:\d+[ _.-]+)?(?P<split>{_WORDS}){_MARK}(?P<rest>.+)"),
    re.compile(rf"(?P<rest>.+?){_MARK}(?P<split>{_WORDS})"),
)
# Both splits, as in PASCAL VOC.
_BOTH = "trainval"
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+")


def split_word(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test``, ``eval`` where it may be either of two, None for the name of no split.

    Capitals, numbers, marks between words, and words such as data, set and images beside it change nothing.

    Examples
    --------
    >>> [split_word(name) for name in ("train_data", "01 Training-Set", "imagesTs", "hold-out", "benign")]
    ['train', 'train', 'test', 'test', None]
    """
    bare, beside = _bare(name)
    if bare in _EITHER:
        return "eval"
    return SPLIT_NAMES.get(bare, SHORT.get(bare) if beside else None)


def _bare(name: str) -> tuple[str, bool]:
    """Return the letters of a name without words such as data, and whether there were any of these."""
    words = [word.lower() for word in _WORD.findall(unicodedata.normalize("NFKC", name))]
    bare = "".join(word for word in words if word not in _AROUND)
    glued = _GLUED.fullmatch(bare)
    return glued["split"] if glued else bare, any(word in _AROUND for word in words)


def split_and_rest(name: str) -> tuple[str, str] | None:
    """Part a name such as ``train_benign`` or ``benign-test`` into its split and the rest.

    None for the name of a split alone, and for one that names none.

    Examples
    --------
    >>> [split_and_rest(name) for name in ("train_benign", "benign-Test", "train_data", "benign")]
    [('train', 'benign'), ('Test', 'benign'), None, None]
    """
    if split_word(name) is not None:
        return None
    match = next((match for form in _JOINED if (match := form.fullmatch(name))), None)
    return (match["split"], match["rest"]) if match else None


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
        When one could be val or test, and the others do not tell which; when one is train and val together, beside one
        of these.
    """
    found = {name: split for name in sorted(set(names)) if (split := split_word(name)) is not None}
    either = [name for name, split in found.items() if split == "eval"]
    left = [split for split in ("val", "test") if split not in found.values()]
    if either and len(left) != 1:
        raise DataError(
            f"{where}: {either[0]!r} may be val or test, and {', '.join(sorted(found))} do not tell which; "
            "rename it to one of them"
        )
    both = [name for name in found if _bare(name)[0] == _BOTH]
    parts = [name for name, split in found.items() if name not in both and split != "test"]
    if both and parts:
        raise DataError(
            f"{where}: {both[0]!r} is train and val together and would repeat {' and '.join(parts)}; "
            f"leave {both[0]!r} out"
        )
    return {name: left[0] if split == "eval" else split for name, split in found.items()}


def splits_in_paths(paths: Iterable[str]) -> set[str]:
    """Return the splits that the folders and names of images speak of, none where one image's path speaks of none.

    Examples
    --------
    >>> sorted(splits_in_paths(["a/train_1.png", "b/test_2.png"])), splits_in_paths(["train/1.png", "2.png"])
    (['test', 'train'], set())
    """
    found: set[str] = set()
    for path in paths:
        names = [part.partition(".")[0] for part in path.split("/")]
        words = [split_word(pair[0]) if (pair := split_and_rest(name)) else split_word(name) for name in names]
        if not any(words):
            return set()
        found.update(filter(None, words))
    return found


def said_splits(splits: dict[str, str]) -> str:
    """Tell which names are taken for which split, empty when each is spelled ``train``, ``val`` or ``test``."""
    odd = {name: split for name, split in splits.items() if name.strip().lower() != split}
    return ", ".join(f"{name} as {split}" for name, split in odd.items())
