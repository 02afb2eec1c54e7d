"""Every store that is meant with every head that is asked for: the jobs of a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from medfeat.comma_lists import as_names
from medfeat.errors import DataError, UsageError, unknown_name
from medfeat.evaluation.judging.cross_validation import AUTO, VAL
from medfeat.evaluation.runs import wording
from medfeat.heads import HEADS, all_heads
from medfeat.tasks import FusedStore, fuse
from medfeat.tasks.patients import PATIENTS
from medfeat.workflows.asking.given_names import asked_datasets, asked_names, refuse_objects
from medfeat.workflows.asking.question import Question
from medfeat.workflows.stores.how_to_extract import extract_first
from medfeat.workflows.stores.one_store import named_stores
from medfeat.workflows.stores.store_names import find_meant, meant, other_versions, shown_names
from medfeat.workflows.stores.texts import TextsAsked
from medfeat_cache import Catalogue, FeatureStore, StoreHeader, resolve_root
from medfeat_cache.commands import command

# What `probe` trains where no head is named, and who chooses (record 0056); elsewhere a head that is made many times.
SETTLED_HEADS, SETTLED_CHOICE = ("quick",), AUTO
_DEFAULT_HEADS = ("linear",)
_REGRESSION_HEADS = ("ridge", "xgboost")
HEAD_OF_BAGS = "attention"
LAYERS = "layers"
BAGS = (LAYERS, PATIENTS)


@dataclass(frozen=True)
class StoreJob:
    """One store with one head.

    Attributes
    ----------
    header, head
        Which.
    dataset
        Names its images, with the version where there are several.
    onto
        Another dataset that the head is tested on; empty for none.
    beside
        Further stores of these images, whose features stand beside those of the first.
    bag
        ``patients``: all images of a patient are one sample. Empty for an image each.
    """

    header: StoreHeader
    head: str
    dataset: str
    onto: str = ""
    beside: tuple[StoreHeader, ...] = ()
    bag: str = ""

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        there = f" on {self.onto}" if self.onto else ""
        network = wording.network(str(self.header.recipe["backbone"]), wording.weights(self.header.info))
        more = f" and {len(self.beside)} more" if self.beside else ""
        bag = f" by {self.bag}" if self.bag else ""
        return f"{self.dataset} / {network}{more} / {self.head}{bag}{there}"

    @contextmanager
    def opened(self) -> Iterator[FeatureStore | FusedStore]:
        """Open its store for reading, or its stores as one."""
        with ExitStack() as stack:
            stores = [stack.enter_context(FeatureStore(one.path)) for one in (self.header, *self.beside)]
            yield fuse(stores) if self.beside else stores[0]


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """What is asked of the cache: which stores and heads, and which question.

    Attributes
    ----------
    data, backbone
        Names, several as a sequence or comma list; None (or ``all``) means every one in the cache.
    store
        First digits of digests of stores, or their paths; None means every one that the names fit.
    head
        Names of heads, or ``all`` that can learn the task; None means those that suit it.
    size
        Side of the stored images in pixels; None means every size.
    question
        By default a dataset's own.
    seed
        Of everything random.
    texts
        What heads that read texts of classes are given.
    cache_dir
        Where stores live; None means the usual place.
    one_of_all
        Whether its one head is here because all were asked for, somewhere else.
    bag
        ``layers``: those of a network side by side; ``patients``: all images of a patient are one sample. Without a
        head the attention head is asked for.
    by_default
        Heads for labels where none is named.

    Raises
    ------
    UsageError
        No such bag.
    """

    data: str | Sequence[str] | None = None
    backbone: str | Sequence[str] | None = None
    store: str | Sequence[str] | None = None
    head: str | Sequence[str] | None = None
    size: int | None = None
    question: Question = field(default_factory=Question)
    seed: int = 0
    texts: TextsAsked = field(default_factory=TextsAsked)
    cache_dir: str | Path | None = None
    one_of_all: bool = False
    bag: str | None = None
    by_default: tuple[str, ...] = _DEFAULT_HEADS

    def __post_init__(self) -> None:
        refuse_objects(data=self.data, backbone=self.backbone, store=self.store, head=self.head)
        if self.bag not in (None, *BAGS):
            raise UsageError(f"--bag must be {' or '.join(BAGS)}, got {self.bag!r}")

    @property
    def of_all(self) -> bool:
        """Whether all heads were asked for, of which some may not suit the task."""
        return self.head == "all" or self.one_of_all

    def catalogue(self) -> Catalogue:
        """Return the stores of its cache, which are looked at once."""
        return Catalogue(resolve_root(self.cache_dir))

    def stores(self, cache: Catalogue) -> list[StoreHeader]:
        """Return the stores that are meant.

        Raises
        ------
        UsageError
            When there are none, saying what is there and what to run; or a head that is not known.
        """
        for one in asked_names(self.head) or ():
            HEADS[one]  # a mistyped name is said before anything is looked for
        if self.store is not None:
            names = {"data": asked_datasets(self.data, cache), "backbone": asked_names(self.backbone)}
            return named_stores(cache, self.store, **names, size=self.size)
        return _find_probed(cache, self.data, self.backbone, self.size)

    def jobs(self, cache: Catalogue, stores: Sequence[StoreHeader], *, onto: str = "") -> list[StoreJob]:
        """Return a job for each of its stores and heads."""
        names, head = shown_names(stores, cache), self.head
        if self.bag is not None and head is None:
            head = HEAD_OF_BAGS
        bag = PATIENTS if self.bag == PATIENTS else ""
        return [
            StoreJob(header, one, names[header.digest], onto, bag=bag)
            for header in stores
            for one in heads_for(header, head, self.question, self.by_default)
        ]


def settled(asked: ProbeRequest, choose: str | None) -> tuple[ProbeRequest, str]:
    """Return what `probe` takes where nothing was said: heads, and how to choose among what they offer.

    Who names a head or a bag, and no way to choose, has val choose.
    """
    if asked.head is not None or asked.bag is not None:
        return asked, choose or VAL
    return replace(asked, by_default=SETTLED_HEADS), choose or SETTLED_CHOICE


def heads_for(
    header: StoreHeader,
    head: str | Sequence[str] | None,
    question: Question,
    by_default: tuple[str, ...] = _DEFAULT_HEADS,
) -> tuple[str, ...]:
    """Return the heads that were asked for, or those that suit the question."""
    if head is not None:
        return all_heads() if head == "all" else as_names(head)
    kind = (header.info.get("dataset") or {}).get("task")
    if not question.plain:
        # What cannot be asked of this store is said when its job comes, beside the others.
        with suppress(Exception), FeatureStore(header.path) as store:
            kind = question.of(store).task_type
    return _REGRESSION_HEADS if kind == "regression" else by_default


def _find_probed(
    cache: Catalogue, data: str | Sequence[str] | None, backbone: str | Sequence[str] | None, size: int | None
) -> list[StoreHeader]:
    """Return the stores that were asked for.

    Raises
    ------
    UsageError
        When there are none, saying what is there and what to run.
    """
    everything = cache.find()
    if not everything and everything.problems:
        raise UsageError(f"no readable store in {cache.root}: {everything.problems[0][1]}")
    if not everything:
        raise UsageError(f"no stores in {cache.root}: run {extract_first(cache)} first, or {command('demo')}")
    named = meant(cache, data)
    names = {"dataset": None if named is None else tuple(one.name for one in named), "backbone": asked_names(backbone)}
    for what, wanted in names.items():
        stored = {str(header.recipe.get(what)) for header in everything}
        for name in wanted or ():
            if name not in stored:
                error = unknown_name(f"{what} in the cache", name, stored)
                raise UsageError(f"{error}; to add it, run {_adding(cache, what, name)}")
    found = find_meant(cache, data, backbone=names["backbone"], size=size)
    if not found:
        sizes = ", ".join(map(str, sorted({int(header.recipe.get("size") or 0) for header in everything})))
        asked = ", ".join(
            f"{key} {' or '.join(value) if isinstance(value, tuple) else value}"
            for key, value in {**names, "size": size}.items()
            if value
        )
        if found.problems:
            path, problem = found.problems[0]
            raise DataError(f"no readable store in {cache.root} has {asked}; {path.name}: {problem}")
        others = other_versions(cache, data, backbone=names["backbone"], size=size)
        hint = f", or ask {', '.join(f'--data {one}' for one in others)}, which has one" if others else ""
        how = extract_first(cache, *((several or [None])[0] for several in names.values()), size=size)
        raise UsageError(f"no store in {cache.root} has {asked}; sizes there: {sizes}; run {how}{hint}")
    return list(found)


def _adding(cache: Catalogue, what: str, name: str) -> str:
    """Return the command that adds a dataset or a backbone; a name that nobody knows is not repeated in it."""
    from medfeat.backbones import backbone_names
    from medfeat.datasets import dataset_names

    if what == "dataset":
        return extract_first(cache, name if name in dataset_names() else None)
    return extract_first(cache, None, name if name in backbone_names() else None)
