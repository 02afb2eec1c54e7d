"""How long an embedding will be, from the architecture alone: before weights are fetched and images read."""

from __future__ import annotations

from medfeat.backbones import takes_raw
from medfeat.backbones.backbone_table import Entry
from medfeat.backbones.library import Access
from medfeat.backbones.naming import find
from medfeat.errors import MissingFileError
from medfeat.extraction.ask.as_stored import kept_by
from medfeat.extraction.network.slice_pooling import AXES, number_kept, policy_dim, slice_view
from medfeat.types import View

_OF_TOKENS = "raptor"
# What takes a second to build is asked for many datasets: the entry that was built, and its length, by name and view.
_known: dict[tuple[str, View], tuple[Entry, int]] = {}


def embedding_length(backbone: str, view: View, ndim: int) -> int | None:
    """Return how many numbers a view's embedding holds, by building the network without values.

    Parameters
    ----------
    backbone
        A name.
    view
        Layer, pooling and slice policy.
    ndim
        2 for images, 3 for volumes.

    Returns
    -------
    int or None
        None where the images decide (weights-free backbones, tokens, every slice), for a network of no library, and
        where the configuration of a repository is not on this machine.

    Raises
    ------
    UsageError
        For a layer or pooling that the network has not.
    """
    access = Access(offline=True)
    try:
        entry = find(backbone, access)
        if takes_raw(backbone) or entry.build is not None:
            return None
        view = view if ndim == 2 else slice_view(view)
        few = number_kept(view.slices) if view.slices is not None else None
        if view.slices == _OF_TOKENS or (kept_by(view) and not few):
            return None
        dim = _built(entry, backbone, view)
    except MissingFileError:
        return None
    vectors = len(AXES) * few if few else 1
    return dim if view.slices is None else vectors * policy_dim(view.slices, dim)


def _built(entry: Entry, backbone: str, view: View) -> int:
    """Return the length of a view's embedding by building the network, once for as long as its name means the same."""
    found = _known.get((backbone, view))
    if found is None or found[0] != entry:
        from medfeat.backbones.loading import skeleton  # brings in torch

        (dim,) = skeleton(entry, (view,), Access(offline=True))[1].dims
        found = _known[backbone, view] = entry, dim
    return found[1]
