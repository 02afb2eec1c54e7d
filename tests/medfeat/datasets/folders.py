"""Folders of images, written short, and what is listed in them."""

import itertools
import re

from medfeat.datasets.folders.folder import list_folder
from medfeat.types import SilentProgress


def spelled(*patterns):
    """Spell ``{a|b}/1.png`` out: one name for each choice."""
    for pattern in patterns:
        parts = re.split(r"\{(.*?)\}", pattern)
        choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
        yield from ("".join(choice) for choice in itertools.product(*choices))


def listed(root):
    """(image, split, class) of each image, and what was said, with the root left out."""
    progress = SilentProgress()
    found = list_folder(root, "set", task=None, progress=progress)
    count = len(found.ids)
    split = found.split or (None,) * count
    labelling = found.labelling
    names = [labelling.classes[i] for i in labelling.values[:, 0]] if labelling else [None] * count
    return list(zip(found.ids, split, names, strict=True)), [line.removeprefix(f"{root}: ") for line in progress.said]


def kinds(root):
    return sorted({image[1:] for image in listed(root)[0]}, key=str)
