"""Texts for the classes of a task, read by the very network that embedded the images of a store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from medfeat.backbones.features.pooling import PROJECTED
from medfeat.errors import NoTextsError
from medfeat.extraction.ask.made_from import MadeFrom, NetworkThen, RemakeOptions
from medfeat.heads import may_read_texts, reads_texts
from medfeat.heads.texts import ClassTexts, TextSource, directions
from medfeat.tasks.prompts import Prompts, prompts_for
from medfeat.tasks.readable import Probed
from medfeat.types import Progress, Task
from medfeat_cache.commands import command


@dataclass(frozen=True)
class TextsAsked:
    """Which texts are meant, and how they are read.

    Attributes
    ----------
    prompts
        A file of texts; None means those that are known of the dataset.
    offline
        Make no network call when their network is loaded.
    """

    prompts: str | Path | None = None
    offline: bool = False


def source_for(head: str, store: Probed, task: Task, asked: TextsAsked, progress: Progress) -> TextSource | None:
    """Return what gives a head its texts; None for a head that reads none, or none of this store's network.

    Parameters
    ----------
    head
        Its name.
    store, task
        The images and the question.
    asked
        Which texts.
    progress
        Told when texts are read.

    Raises
    ------
    NoTextsError
        The store does not hold images in the space of texts.
    UsageError, DataError
        No texts for these classes, or a file of another form.
    """
    if not may_read_texts(head):
        return None
    network = MadeFrom.of(store.recipe, store.info).network if store.recipe.get("pool") == PROJECTED else None
    if network is None and not reads_texts(head):
        return None
    if network is None:
        raise NoTextsError(
            f"the {head} head compares images with texts, and this store holds {store.recipe.get('pool')} features: "
            "embed by a network of images and texts, "
            f"{command('extract', data='NAME', backbone='hf:OWNER/REPO', pool='projected')}"
        )
    texts = prompts_for(str(store.recipe["dataset"]), asked.prompts).of(task)
    return TextSource(texts.digest, cache(partial(_read, network, texts, asked.offline, progress)))


def _read(network: NetworkThen, prompts: Prompts, offline: bool, progress: Progress) -> ClassTexts:
    from medfeat.backbones.text_tower import text_tower  # brings in torch
    from medfeat.extraction.remake import load_again

    count = sum(map(len, (*prompts.classes, *prompts.without)))
    progress.say(f"reading {count} texts for {len(prompts.classes)} classes by {network.name}")
    options = RemakeOptions(offline=offline)
    folder = Path(network.path) if network.path and Path(network.path).is_dir() else None
    tower = text_tower(load_again(network, options, progress), folder)

    def read(texts: tuple[tuple[str, ...], ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        owners = np.repeat(np.arange(len(texts)), [len(some) for some in texts])
        return directions(tower.vectors([text for some in texts for text in some]), owners, len(texts))

    return ClassTexts(read(prompts.classes), read(prompts.without) if prompts.without else None, tower.scale)
