"""Masks that lie beside their images: passed over, but only where the image is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from medfeat.datasets.decode import SUFFIXES
from medfeat.errors import DataError

_KINDS = (
    r"masks?|segs?|segm|segmentations?|gts?|ground[ _-]?truths?|annotations?|annot|labels?|labelmap|contours?|"
    r"superpixels|manual|thumbs?|thumbnails?|previews?"
)
# x_mask.png, x_mask_1.png, x-seg.png, x (1)_Segmentation.png; and mask_x.png.
MARKED = re.compile(rf"(?P<stem>.+?)[ _.-]+(?:{_KINDS})(?:[ _-]?\d+)?", re.IGNORECASE)
MARKED_BEFORE = re.compile(rf"(?:{_KINDS})[ _.-]+(?P<stem>.+)", re.IGNORECASE)
FOLDER = re.compile(rf"(?:{_KINDS})(?:[ _-]?(?:images?|imgs?|files?|png|tr|ts|\d+))?", re.IGNORECASE)
IMAGE_FOLDER = re.compile(
    r"(?:images?|imgs?|originals?|raw|scans?|pictures?|photos?|x|data|inputs?|png|jpe?g)(?:[ _-]?(?:tr|ts|\d+))?",
    re.IGNORECASE,
)
# A folder beside one of masks that speaks of masks too makes both of them classes: mask and no_mask.
CLASS_OF_MASKS = re.compile(r"mask", re.IGNORECASE)
CHANNEL = re.compile(r"_\d{4}$")


def masks_beside(images: Sequence[str]) -> list[str]:
    """Return the masks among the names of images: those whose image is there under the name that the mask implies.

    The image of ``a/x_mask.png`` is any ``a/x``; that of ``a/masks/x.png`` is ``a/x`` or ``a/images/x``, or the same
    with more folders between. A mask without its image is an image of its own.

    Parameters
    ----------
    images
        Paths, posix.
    """
    stems = {_stem(image) for image in images}
    stems |= {CHANNEL.sub("", stem) for stem in stems}
    masks = {image for image in images if any(place in stems for place in _of_name(_stem(image)))}
    kept = [image for image in images if image not in masks]
    inside = _of_folders(kept, stems)
    return sorted(masks | inside)


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
            tops.setdefault(top, {})[_unmarked(PurePosixPath(_stem(rest)).name)] = image
    for top, inside in tops.items():
        others = {name: image for other, names in tops.items() if other != top for name, image in names.items()}
        if FOLDER.fullmatch(top) and others and not _are_classes(tops, top) and inside.keys() <= others.keys():
            name, mask = next(iter(inside.items()))
            raise DataError(
                f"{root}: each file of the folder {top} has the name of an image elsewhere, such as {mask} and "
                f"{others[name]}; move it away if it holds masks, or, where it is a class, list the images in a CSV"
            )


def _of_name(stem: str) -> list[str]:
    """Return where the image of a mask would be that is marked in its file's own name."""
    path = PurePosixPath(stem)
    found = [match["stem"] for kind in (MARKED, MARKED_BEFORE) if (match := kind.fullmatch(path.name))]
    return [str(path.with_name(name)) for name in found]


def _of_folders(images: Sequence[str], stems: set[str]) -> set[str]:
    """Return the images in folders of masks whose image is found beside that folder."""
    beside: dict[str, set[str]] = {}
    for image in images:
        parts = PurePosixPath(image).parts
        for i in range(len(parts) - 1):
            beside.setdefault("/".join(parts[:i]), set()).add(parts[i])
    return {image for image in images if any(place in stems for place in _places(image, beside))}


def _places(image: str, beside: dict[str, set[str]]) -> Iterable[str]:
    parts = PurePosixPath(_stem(image)).parts
    for i, part in enumerate(parts[:-1]):
        before = beside["/".join(parts[:i])]
        if not FOLDER.fullmatch(part) or _are_classes(before, part):
            continue
        inside = (*parts[i + 1 : -1], _unmarked(parts[-1]))
        yield "/".join((*parts[:i], *inside))
        for other in before:
            if IMAGE_FOLDER.fullmatch(other):
                yield "/".join((*parts[:i], other, *inside))


def _are_classes(names: Iterable[str], folder: str) -> bool:
    return any(name != folder and CLASS_OF_MASKS.search(name) and not FOLDER.fullmatch(name) for name in names)


def _unmarked(name: str) -> str:
    match = MARKED.fullmatch(name) or MARKED_BEFORE.fullmatch(name)
    return match["stem"] if match else name


def _stem(image: str) -> str:
    suffix = next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if image.lower().endswith(suffix)), "")
    return image[: len(image) - len(suffix)]
