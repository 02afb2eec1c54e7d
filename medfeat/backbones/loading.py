"""From a name to a frozen network that is ready to embed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from medfeat.backbones.backbone import RANDOM, Backbone, untrained
from medfeat.backbones.backbone_table import Entry
from medfeat.backbones.features.depth import Depths, depths_of
from medfeat.backbones.features.pooling import PROJECTED
from medfeat.backbones.features.row_an_image import refuse_mixed_rows
from medfeat.backbones.features.views_of import FrozenViews, ViewPlan, plan_views
from medfeat.backbones.libraries.own_network import depths_of_own, load_own
from medfeat.backbones.library import Access, Network, on_meta
from medfeat.backbones.naming import find, library_of
from medfeat.backbones.weights.fitting import left_out, refuse_other_patches, resampled
from medfeat.backbones.weights.network_in_file import without_twins
from medfeat.backbones.weights.own_weights import own_weights
from medfeat.backbones.weights.part_spelling import split_part
from medfeat.backbones.weights.weights_file import read_part, refuse_list, weights_digest
from medfeat.errors import UsageError
from medfeat.types import BackboneInfo, Progress, SilentProgress, View


def load_backbone(
    name: str,
    *,
    views: Sequence[View] = (View(),),
    weights: str | Path | None = None,
    seed: int = 0,
    adapt: bool = False,
    offline: bool = False,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Backbone:
    """Load a frozen backbone: its architecture, its weights, and how to read it.

    Parameters
    ----------
    name
        A short name, ``timm:NAME[.TAG]``, ``torchvision:NAME[.WEIGHTS]`` or ``hf:OWNER/REPO[@REVISION]``.
    views
        What to return of one forward pass.
    weights
        None for the pretrained ones, a file or folder, ``FILE::PREFIX`` for one of several networks in a file, or
        ``"random"`` for an untrained network.
    seed
        Of random weights.
    adapt
        Let a patch embedding of another patch size be resampled, which is refused otherwise.
    offline
        Make no network call.
    trust_remote_code
        Let a Hugging Face repository run its own code.
    progress
        Told of what is downloaded.

    Returns
    -------
    Backbone
        In eval mode, without gradients, on the CPU, in float32.

    Raises
    ------
    UsageError
        For an unknown name, layer or pooling.
    MissingFileError
        When weights are not there and may not, or cannot, be fetched.
    WeightsError
        When weights do not fit the architecture or are not plain tensors.
    """
    if not views:
        raise UsageError("views must name at least one view, got none")
    place, part = split_part(weights) if weights is not None else (None, "")
    access = _access(weights, offline=offline, trust_remote_code=trust_remote_code, progress=progress)
    entry = _for_views(find(name, access), views)
    if entry.build is not None:
        return load_own(entry, views, weights=weights, seed=seed)
    if place is None:
        # looked for before anything is built: what is missing is said at once
        info, file = library_of(entry.info.source).locate(entry.info, access)
        return _filled(entry, info, views, file, access=access, adapt=True)
    if str(weights) == RANDOM:
        return _random(entry, views, access=access, seed=seed)
    refuse_list(place)
    return _filled(entry, own_weights(entry.info, place), views, place, access=access, part=part, adapt=adapt)


def layers_by_depth(
    name: str,
    *,
    weights: str | Path | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Depths:
    """Find the layers of a network by depth; no weights are read.

    Parameters
    ----------
    name, weights, offline, trust_remote_code, progress
        As `load_backbone` takes them; of `weights` only the configuration of a Hugging Face folder is looked at.

    Raises
    ------
    UsageError
        For an unknown name, or a network whose layers cannot be told apart by depth.
    MissingFileError
        When a configuration is not there and may not, or cannot, be fetched.
    """
    access = _access(weights, offline=offline, trust_remote_code=trust_remote_code, progress=progress)
    entry = find(name, access)
    if entry.build is not None:
        return depths_of_own(entry)
    network, _ = skeleton(entry, (View(),), access)
    return depths_of(network.module, network.anatomy, entry.info.input_size)


def _access(weights: str | Path | None, *, offline: bool, trust_remote_code: bool, progress: Progress | None) -> Access:
    place = split_part(weights)[0].expanduser() if weights is not None else None
    return Access(offline, trust_remote_code, place if place and place.is_dir() else None, progress or SilentProgress())


def _for_views(entry: Entry, views: Sequence[View]) -> Entry:
    """Ask for a whole model of images and texts where a view needs its projection."""
    if entry.info.source != "hf" or not any(view.pool == PROJECTED for view in views):
        return entry
    return replace(entry, options={**entry.options, PROJECTED: True})


def skeleton(entry: Entry, views: Sequence[View], access: Access) -> tuple[Network, ViewPlan]:
    """Build a network on the meta device, which costs neither memory nor arithmetic, and resolve the views on it.

    Parameters
    ----------
    entry
        What to build.
    views
        What to read.
    access
        Whether configurations may be fetched.

    Returns
    -------
    Network
        Without values.
    ViewPlan
        How to read it.
    """
    entry = _for_views(entry, views)
    network = on_meta(lambda: library_of(entry.info.source).build(entry, access))
    network = replace(network, module=network.module.to("meta").eval())
    return network, plan_views(network.module, network.anatomy, views, entry.info.input_size)


def _filled(
    entry: Entry,
    info: BackboneInfo,
    views: Sequence[View],
    file: Path,
    *,
    access: Access,
    part: str = "",
    adapt: bool = False,
) -> Backbone:
    state, origin = read_part(file, part)
    library = library_of(info.source)
    network, plan = skeleton(entry, views, access)
    wanted = network.module.state_dict()
    state, read = without_twins(state, wanted, origin, type(network.module).__name__)
    module, ignored = library.fill(network, state, entry, origin)
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        # constants that no checkpoint holds exist in a real build only
        module, ignored = library.fill(library.build(entry, access), state, entry, origin)
    changed = resampled(state, wanted)
    if not adapt:
        refuse_other_patches(changed, wanted, origin)
    if part:
        read = [f"weights under {part!r} were read", *read]
    told = [*read, *ignored, *(f"{name} was resampled {what}" for name, what in changed.items())]
    if info.origin == "file":
        told += left_out(state, wanted, told)
    return _backbone(info, module, network, plan, tuple(told))


def _random(entry: Entry, views: Sequence[View], *, access: Access, seed: int) -> Backbone:
    network, plan = skeleton(entry, views, access)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = library_of(entry.info.source).build(entry, access).module
    return _backbone(untrained(entry.info, seed), module, network, plan, ())


def _backbone(
    info: BackboneInfo, module: nn.Module, network: Network, plan: ViewPlan, reported: tuple[str, ...]
) -> Backbone:
    embedder = FrozenViews(module, network.anatomy.features, plan)
    refuse_mixed_rows(embedder, plan.views, info.input_size)
    info = replace(info, pool=network.anatomy.pool, weights_digest=weights_digest(embedder))
    return Backbone(info, embedder, plan.views, plan.dims, reported=reported)
