"""A store as a head reads it: bags for heads that take them, else one vector a sample."""

from __future__ import annotations

from medfeat.errors import OneVectorError
from medfeat.tasks import FusedStore, Samples, gather
from medfeat.tasks.patients import PatientStore
from medfeat.tasks.readable import Probed, Readable
from medfeat.types import Head, Task
from medfeat_cache import FeatureStore


def takes_bags(head: Head) -> bool:
    """Whether a head learns from the several vectors of a sample; one says so by its attribute ``takes_bags``."""
    return bool(getattr(head, "takes_bags", False))


def gather_for(head: Head, store: Readable, task: Task) -> Samples:
    """Join a store and a task by id, as a head reads it: of heads that take no bags, a bag is its mean.

    Of stores side by side, a head that takes bags is told the widths, and makes a bag of the layers of an image.

    Raises
    ------
    OneVectorError
        The head takes bags and the store has one vector a sample.
    DataError
        As `medfeat.tasks.gather`.
    """
    refuse_one_vector(head, store)
    bags = takes_bags(head)
    if bags and isinstance(store, FusedStore):
        head.widths = tuple(block.stop - block.start for block in store.blocks)  # type: ignore[attr-defined]  # looked at
        return gather(store, task)
    return gather(store, task, bags=bags)


def refuse_one_vector(head: Head, store: Readable) -> None:
    """Refuse a store that has one vector a sample where a head weighs several.

    Raises
    ------
    OneVectorError
        It does.
    """
    several = isinstance(store, PatientStore) or (isinstance(store, FusedStore) and hasattr(head, "widths"))
    if takes_bags(head) and not several and len(getattr(store, "shape", ())) < 2:
        raise OneVectorError(
            f"the {head.name} head weighs several vectors of a sample, and {store.path} has one: "
            "extract with --slices keep (volumes) or --pool tokens, say --bag layers or --bag patients, "
            "or choose another head"
        )


def stored_shape(store: Probed) -> tuple[int, ...]:
    """Return the shape of a sample's embedding in the file, of a store that is read by its means too."""
    if not isinstance(store, FeatureStore):  # stores side by side
        return (store.dim,)
    column = store.column(store.groups[0], "embeddings")
    return (store.dim,) if column is None else column.shape[1:]
