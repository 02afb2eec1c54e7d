"""How long an embedding will be, from the architecture alone: before weights are fetched and images read."""

from __future__ import annotations

from medfeat.backbones import takes_raw
from medfeat.backbones.library import Access
from medfeat.backbones.naming import find
from medfeat.errors import MissingFileError
from medfeat.extraction.ask.as_stored import kept_by
from medfeat.extraction.network.slice_pooling import AXES, number_kept, policy_dim, slice_view
from medfeat.types import View

_OF_TOKENS = "raptor"


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
        from medfeat.backbones.loading import skeleton  # brings in torch

        view = view if ndim == 2 else slice_view(view)
        few = number_kept(view.slices) if view.slices is not None else None
        if view.slices == _OF_TOKENS or (kept_by(view) and not few):
            return None
        (dim,) = skeleton(entry, (view,), access)[1].dims
    except MissingFileError:
        return None
    vectors = len(AXES) * few if few else 1
    return dim if view.slices is None else vectors * policy_dim(view.slices, dim)
