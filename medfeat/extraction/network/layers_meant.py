"""Words for several layers become the layers of the network at hand, one view each."""

from __future__ import annotations

from dataclasses import replace

from medfeat.extraction.ask.request import Request
from medfeat.types import LAYER_WORDS, Progress, SilentProgress, View


def with_layers(request: Request, backbone: str, progress: Progress | None = None) -> Request:
    """Return the request with a view for each layer that ``every`` or ``quarter`` stands for in a backbone.

    Parameters
    ----------
    request
        How to embed.
    backbone
        Whose layers are meant; its architecture is built without weights, and only where a word was said.
    progress
        Told which layers they are.

    Raises
    ------
    UsageError
        For a network whose layers cannot be told apart by depth.
    MissingFileError
        When its configuration is not there and may not, or cannot, be fetched.
    """
    if not any(view.layer in LAYER_WORDS for view in request.views):
        return request
    from medfeat.backbones import layers_by_depth  # brings in torch

    progress = progress or SilentProgress()
    depths = layers_by_depth(
        backbone,
        weights=request.weights,
        offline=request.offline,
        trust_remote_code=request.trust_remote_code,
        progress=progress,
    )
    views: list[View] = []
    for view in request.views:
        if view.layer not in LAYER_WORDS:
            views.append(view)
            continue
        layers = depths.meant(view.layer)
        progress.say(f"{view.layer} of {backbone}: {', '.join(layer or 'the last features' for layer in layers)}")
        views += [replace(view, layer=layer) for layer in layers]
    return replace(request, views=tuple(dict.fromkeys(views)), depth=depths.places())
