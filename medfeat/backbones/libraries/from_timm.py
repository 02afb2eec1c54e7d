"""Networks of timm, which says of each how it is read and what belongs to its weights."""

from __future__ import annotations

import inspect
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast, get_args

import timm
import torch
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn

from medfeat.backbones.backbone_table import LITE, Entry
from medfeat.backbones.features.pooling import poolings_of
from medfeat.backbones.features.views_of import Anatomy, channels_last, is_square
from medfeat.backbones.library import Access, Network, on_meta
from medfeat.backbones.weights.fitting import load_strictly
from medfeat.backbones.weights.hub import file_of_repo, file_of_url
from medfeat.backbones.weights.packaged import file_of_package, in_timm_order, is_packaged
from medfeat.backbones.weights.state import Adapt, State
from medfeat.backbones.weights.weights_file import FOLDER_FILES
from medfeat.errors import MissingFileError, UsageError, WeightsError, unknown_name
from medfeat.types import BackboneInfo, Interpolation

_AT_HUB = "@hf-hub:"
# timm's word for a pooling, ours for maps and for tokens
_MAP_POOLS = {"avg": "avg", "max": "max"}
_TOKEN_POOLS = {"token": "cls", "avg": "mean", "max": "max", "map": "attention"}
# what timm calls its own conversions of checkpoints, each beside its architecture
_CONVERSIONS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")


def describe(source_id: str, access: Access) -> Entry:
    """Describe ``NAME[.TAG]`` from timm's own pretrained configuration."""
    del access
    name = source_id.partition(".")[0]
    if not timm.is_model(name):
        raise unknown_name("timm backbone", name, timm.list_models())
    config = _config(source_id)
    size = config.input_size[-1]
    crop = "" if config.crop_mode == "center" else f"; timm crops it by {config.crop_mode!r}"
    tag = config.tag if config.has_weights else ""  # timm calls what was never trained "untrained"
    return Entry(
        BackboneInfo(
            name=f"timm:{source_id}",
            source="timm",
            source_id=f"{name}.{tag}" if tag else name,
            input_size=size,
            mean=tuple(config.mean),
            std=tuple(config.std),
            interpolation=_filter(config),
            pool="own",
            licence=config.license or "unknown",
            pretraining=(tag or "unknown").replace("_", " "),
            note=f"native size {size} px{crop}",
            resize=math.floor(size / config.crop_pct),
            squash=config.crop_mode == "squash",
        )
    )


def _config(source_id: str) -> PretrainedCfg:
    name, _, tag = source_id.partition(_AT_HUB)[0].partition(".")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if tag and tag not in tags:
        raise unknown_name(f"weights of timm:{name}", tag, tags)
    # a network without any pretrained weights has no configuration of its own
    return get_pretrained_cfg(source_id.partition(_AT_HUB)[0]) or PretrainedCfg(architecture=name)


def _filter(config: PretrainedCfg) -> Interpolation:
    known = get_args(Interpolation)
    return cast(Interpolation, config.interpolation) if config.interpolation in known else "bicubic"


def build(entry: Entry, access: Access) -> Network:
    """Build the architecture without a classifier, and let one trial run tell how it is read."""
    del access
    config = _config(entry.info.source_id)
    module = _create(entry)
    classifiers = config.classifier or ()
    heads = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    adapt = in_timm_order if is_packaged(_architecture(entry.info)) else _adaptation(module)
    return Network(module, _anatomy(module, entry), tuple(f"{head}." for head in heads), adapt)


def _architecture(info: BackboneInfo) -> str:
    return info.source_id.partition(_AT_HUB)[0].partition(".")[0]


def _create(entry: Entry) -> Any:
    return timm.create_model(_architecture(entry.info), pretrained=False, num_classes=0, **entry.options).eval()


def _features(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network.forward_features(x)  # type: ignore[no-any-return, operator]


def _own(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network.forward_head(x, pre_logits=True)  # type: ignore[no-any-return, operator]


def _anatomy(module: nn.Module, entry: Entry) -> Anatomy:
    """Find out the form of the features, and what timm's own pooling is called here."""
    ghost = module
    if next(module.parameters()).device.type != "meta":
        ghost = on_meta(lambda: _create(entry)).to("meta")
    size = entry.info.input_size
    with torch.no_grad():
        features = _features(ghost, torch.empty(2, 3, size, size, device="meta"))
        if not isinstance(features, torch.Tensor):
            raise UsageError(f"{entry.info.name} returns several features at once, which medfeat cannot read")
        pooled = _own(ghost, features)
    prefix = _prefix(module, features.shape[1]) if features.ndim == 3 else 0
    pool = _own_pool(module, features, pooled, prefix)
    default = pool if entry.info.pool == "own" else entry.info.pool
    return Anatomy(_features, default, {pool: _own}, prefix)


def _prefix(module: nn.Module, tokens: int) -> int:
    """Count the tokens that are no patches: timm says it of most networks, and CoaT and VOLO have a class token."""
    told = getattr(module, "num_prefix_tokens", None)
    if told is not None:
        return int(told)
    named = any("cls_token" in name for name, _ in module.named_parameters())
    return int(named and is_square(tokens - 1) and not is_square(tokens))


def _own_pool(module: nn.Module, features: torch.Tensor, pooled: torch.Tensor, prefix: int) -> str:
    width = features.shape[-1] if features.ndim == 3 or channels_last(features) else features.shape[1]
    if pooled.shape[-1] != width:
        return "pre-logits"
    told = getattr(module, "global_pool", None) or getattr(getattr(module, "head", None), "global_pool", None)
    kind = told if isinstance(told, str) else getattr(told, "pool_type", "")
    names = _TOKEN_POOLS if features.ndim == 3 else _MAP_POOLS
    return names.get(kind, poolings_of(features.ndim, prefix)[0])


def _adaptation(module: nn.Module) -> Adapt | None:
    """Return timm's own conversion of checkpoints of this architecture, which it keeps beside the architecture."""
    home = sys.modules[type(module).__module__]
    convert = next((getattr(home, name) for name in _CONVERSIONS if hasattr(home, name)), None)
    if convert is None or len(inspect.signature(convert).parameters) > 1:
        return cast("Adapt | None", convert)
    # those of DenseNet, RegNet and VGG need not know the network
    return lambda state, _: convert(state)


def locate(info: BackboneInfo, access: Access) -> tuple[BackboneInfo, Path]:
    """Find the weights in the Hugging Face or torch hub cache or in an installed package, or download them."""
    architecture = _architecture(info)
    if not is_packaged(architecture):
        return _at_hub(info, access)
    try:
        return _at_hub(info, replace(access, offline=True))
    except MissingFileError:
        carried = file_of_package(architecture)
    if carried is not None:
        return replace(info, source_id=f"{architecture}@pip:{carried[0]}"), carried[1]
    try:
        return _at_hub(info, access)
    except MissingFileError as error:
        raise MissingFileError(f"{error}, or `pip install '{LITE}'`, which brings them") from error


def _at_hub(info: BackboneInfo, access: Access) -> tuple[BackboneInfo, Path]:
    _, elsewhere, repo = info.source_id.partition(_AT_HUB)
    if elsewhere:
        return info, file_of_repo(repo, FOLDER_FILES[2:], offline=access.offline)
    config = asdict(_config(info.source_id))
    if config["custom_load"] and not config["hf_hub_id"]:
        raise WeightsError(f"{info.name} keeps its weights in a form only timm reads: give a file with --weights FILE")
    if config["hf_hub_id"]:
        named = config["hf_hub_filename"]
        repo = config["hf_hub_id"]
        names = (named,) if named else FOLDER_FILES[:2]
        return info, file_of_repo(repo, names, offline=access.offline)
    if not config["url"]:
        raise WeightsError(f"timm has no weights for {info.name}: give a file with --weights FILE, or --weights random")
    return info, file_of_url(config["url"], offline=access.offline, progress=access.progress)


def fill(network: Network, state: State, entry: Entry, origin: str) -> tuple[nn.Module, list[str]]:
    """Load strictly, converted by timm where it must be."""
    del entry
    ignored = load_strictly(network.module, state, heads=network.heads, adapt=network.adapt, origin=origin)
    return network.module, ignored
