"""Masks that lie beside their images: passed over, but only where the image is there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from medfeat.datasets.decoding.file_kinds import OTHER_PICTURES, SUFFIXES
from medfeat.errors import DataError

_KINDS = (
    r"segs?|segm|segmentations?|gts?|ground[ _-]?truths?|annotations?|annot|labels?|labelmap|contours?|superpixels|"
    r"manual|thumbs?|thumbnails?|previews?"
)
# mask, lungmask; with_mask and no_mask are classes of people.
_MASK = r"[a-z]*(?<!with)(?<!without)(?<!no)(?<!with[ _.-])(?<!without[ _.-])(?<!no[ _.-])masks?"
_KIND = rf"(?:{_KINDS}|{_MASK})"
_WORDS = r"(?:[^\W\d_][^\W_]*[ _.-]+)*"
# Which names are worth a closer look.
HINT = re.compile(rf"{_KINDS}|mask|roi|lesion", re.IGNORECASE)
SEPARATOR = re.compile(r"[ _.-]+")
# What follows the image's name: x_mask.png, x_mask_1.png, x_lung_mask.png, x_label-lesion_mask.png, x (1)_seg.png.
_MARK = re.compile(rf"{_WORDS}{_KIND}(?:[ _-]?\d+)?", re.IGNORECASE)
# As often a kind of image, so only beside x.png itself: x_lesion.png, x_left_roi_1.png.
_WEAK_MARK = re.compile(rf"{_WORDS}(?:rois?|lesions?)(?:[ _-]?\d+)?", re.IGNORECASE)
_MARK_BEFORE = re.compile(rf"{_KIND}(?:[ _.-]+|(?=\d))(?P<stem>.+)", re.IGNORECASE)
FOLDER = re.compile(rf"{_WORDS}{_KIND}(?:[ _-]?(?:images?|imgs?|files?|png|tr|ts|\d+))?", re.IGNORECASE)
_WEAK_FOLDER = re.compile(r".+[ _.-](?:rois?|lesions?)", re.IGNORECASE)
_IMAGE = r"(?:images?|imgs?|originals?|raw|scans?|pictures?|photos?|x|data|inputs?|png|jpe?g)"
_IMAGE_FOLDER = re.compile(rf"(?P<words>.+[ _.-])?{_IMAGE}(?:[ _-]?(?:tr|ts|\d+))?", re.IGNORECASE)
_IMAGE_BEFORE = re.compile(rf"{_IMAGE}(?:[ _.-]+|(?=\d))(?P<stem>.+)", re.IGNORECASE)
# What else follows a name that several images share: x_t1.png, x_flair.png, x_acq-1_T1w.png.
_OTHER_MARK = re.compile(rf"{_WORDS}[^\W\d_][^\W_]*", re.IGNORECASE)
# A folder beside one of masks that speaks of masks too makes both of them classes: mask and no_mask.
_CLASS_OF_MASKS = re.compile(r"mask", re.IGNORECASE)
_CHANNEL = re.compile(r"_\d{4}$")
_BY_LENGTH = sorted((*SUFFIXES, *OTHER_PICTURES), key=len, reverse=True)


def siblings(images: Sequence[str]) -> list[str]:
    """Return the images that are called like another one beside them with a word behind it: ``x_overlay`` beside ``x``.

    Examples
    --------
    >>> siblings(["a/x.png", "a/x_overlay.png", "a/x - Copy.png", "a/x_2.png", "b/x_left.png"])
    ['a/x_overlay.png', 'a/x - Copy.png']
    """
    stems = {_stem(image) for image in images}
    return [image for image in images if any(place in stems for place in _shorter(_stem(image)))]


def _shorter(stem: str) -> Iterator[str]:
    """Yield what is before a mark between words of a file's name, where a word with a letter is behind it."""
    start = stem.rfind("/") + 1
    for found in SEPARATOR.finditer(stem, start + 1):
        if any(letter.isalpha() for letter in stem[found.end() :]):
            yield stem[: found.start()]


def masks_among(images: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the masks among the names of images whose image is there, and those whose image is not.

    The image of ``a/x_mask.png`` is any ``a/x``, or an ``a/x_t1`` that is no mask itself; that of ``a/masks/x.png`` is
    ``a/x`` or ``a/images/x``, or the same with more folders between. A mask without its image is an image of its own.

    Parameters
    ----------
    images
        Paths, posix.
    """
    bare = {image: _stem(image) for image in images}
    stems = set(bare.values())
    stems |= {_CHANNEL.sub("", stem) for stem in stems}
    named = {image: places for image, stem in bare.items() if (places := list(_named(stem)))}
    shared = stems | _shared(stem for image, stem in bare.items() if image not in named) if named else stems
    masks = {image for image, places in named.items() if not shared.isdisjoint(places)}
    masks |= {image for image, stem in bare.items() if not stems.isdisjoint(_named(stem, _WEAK_MARK))}
    beside = _beside({_folder(image) for image in images if image not in masks})
    of_masks = {folder: _depths(folder, beside, FOLDER) for folder in {_folder(image) for image in images}}
    weak = {folder: _depths(folder, beside, _WEAK_FOLDER) for folder in of_masks}
    for image, stem in bare.items():
        depths = (*of_masks[_folder(image)], *weak[_folder(image)])
        if any(_has_image(stem, depth, beside, shared) for depth in depths):
            masks.add(image)
    alone = {image for image in images if image in named or of_masks[_folder(image)]}
    return sorted(masks), sorted(alone - masks)


def refuse_folder_of_masks(images: Sequence[str], root: str) -> None:
    """Refuse a folder named after masks beside class folders whose images have the very names of those in it.

    Raises
    ------
    DataError
        Naming one such file, and the image of that name.
    """
    tops: dict[str, dict[str, str]] = {}
    for image in images:
        top, _, rest = image.partition("/")
        if rest:
            name = _stem(rest).rpartition("/")[2]
            tops.setdefault(top, {})[max((n for n in _named(name) if n), key=len, default=name)] = image
    plain = [top for top in tops if not FOLDER.fullmatch(top)]
    others = {name: image for top in plain for name, image in tops[top].items()}
    for top, inside in tops.items():
        if top not in plain and not _are_classes(tops, top) and inside.keys() <= others.keys():
            name, mask = next(iter(inside.items()))
            raise DataError(
                f"{root}: each file of the folder {top} has the name of an image elsewhere, such as {mask} and "
                f"{others[name]}; move it away if it holds masks, or, where it is a class, list the images in a CSV"
            )


def _named(stem: str, mark: re.Pattern[str] = _MARK) -> Iterator[str]:
    """Yield where the image of a mask may be that is marked in its own name; of ``a/lung_mask`` alone, it is ``a/``."""
    if not HINT.search(stem):
        return
    folder, slash, name = stem.rpartition("/")
    for end, start in _parted(name):
        if mark.fullmatch(name, start):
            yield f"{folder}{slash}{name[:end]}"
    if mark is _MARK and (match := _MARK_BEFORE.fullmatch(name)):
        yield f"{folder}{slash}{match['stem']}"
    if mark is _MARK and mark.fullmatch(name) and not any(letter.isdigit() for letter in name):
        yield f"{folder}{slash}"


def _shared(stems: Iterable[str]) -> set[str]:
    """Return what images that are no masks share with their masks: x of x_t1 and img_x, and their folder."""
    found = set()
    for stem in stems:
        folder, slash, name = stem.rpartition("/")
        if _CLASS_OF_MASKS.search(name):  # x_nomask
            continue
        found.add(f"{folder}{slash}")
        for end, start in _parted(name):
            if _OTHER_MARK.fullmatch(name, start):
                found.add(f"{folder}{slash}{name[:end]}")
        if match := _IMAGE_BEFORE.fullmatch(name):
            found.add(f"{folder}{slash}{match['stem']}")
    return found


def _parted(name: str) -> list[tuple[int, int]]:
    """Return where each separator in a name starts and ends."""
    return [match.span() for match in SEPARATOR.finditer(name) if match.start() and match.end() < len(name)]


def _beside(folders: Iterable[str]) -> dict[str, set[str]]:
    """Return the names of the folders in each folder."""
    beside: dict[str, set[str]] = {}
    for folder in folders:
        parts = folder.split("/")
        for i, part in enumerate(parts):
            beside.setdefault("/".join(parts[:i]), set()).add(part)
    return beside


def _depths(folder: str, beside: dict[str, set[str]], form: re.Pattern[str]) -> list[int]:
    """Return at which depths a path of folders has one of masks."""
    if not HINT.search(folder):
        return []
    parts = folder.split("/")
    named = [i for i, part in enumerate(parts) if form.fullmatch(part)]
    return [i for i in named if not _are_classes(beside.get("/".join(parts[:i]), ()), parts[i])]


def _has_image(stem: str, depth: int, beside: dict[str, set[str]], known: Collection[str]) -> bool:
    """Tell whether beside the folder of masks at this depth, or in a folder of images there, is the image of a mask."""
    *folders, last = stem.split("/")
    above = folders[:depth]
    names = {last, *_named(last), *_named(last, _WEAK_MARK)}
    others = [[other] for other in beside.get("/".join(above), ()) if _holds_images_of(other, folders[depth])]
    places = ("/".join((*above, *between, *folders[depth + 1 :], name)) for between in ([], *others) for name in names)
    return any(place in known for place in places)


def _holds_images_of(folder: str, masks: str) -> bool:
    """Tell whether a folder's name is that of images, and not of other ones than those of a folder of masks."""
    match = None if FOLDER.fullmatch(folder) else _IMAGE_FOLDER.fullmatch(folder)
    same = SEPARATOR.split(folder.casefold())[0] == SEPARATOR.split(masks.casefold())[0]
    return match is not None and (match["words"] is None or same)


def _are_classes(names: Iterable[str], folder: str) -> bool:
    return any(name != folder and _CLASS_OF_MASKS.search(name) and not FOLDER.fullmatch(name) for name in names)


def _folder(image: str) -> str:
    return image.rpartition("/")[0]


def _stem(image: str) -> str:
    suffix = next((suffix for suffix in _BY_LENGTH if image.lower().endswith(suffix)), "")
    return image[: len(image) - len(suffix)]
