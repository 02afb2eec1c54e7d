"""Networks of no library: registered with a `build` of their own, or given as modules; read like those of libraries."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medfeat.backbones.backbone import RANDOM, Backbone, untrained
from medfeat.backbones.backbone_table import BACKBONES, Entry
from medfeat.backbones.features.depth import Depths, depths_of
from medfeat.backbones.features.pooling import OF_CLASS_TOKEN, POOLS, poolings_of
from medfeat.backbones.features.row_an_image import refuse_mixed_rows
from medfeat.backbones.features.views_of import Anatomy, FrozenViews, ViewPlan, plan_views
from medfeat.backbones.weights.fitting import left_out, load_strictly
from medfeat.backbones.weights.network_in_file import without_twins
from medfeat.backbones.weights.own_weights import own_weights
from medfeat.backbones.weights.part_spelling import split_part
from medfeat.backbones.weights.weights_file import read_part, refuse_list, weights_digest
from medfeat.errors import UsageError
from medfeat.identity import PLAIN, identity
from medfeat.types import BackboneInfo, Interpolation, View

# Their classes are known by name, and a network of theirs by its layers.
_LIBRARIES_OF_LAYERS = ("torch", "torchvision", "timm", "transformers", "monai")


def load_own(entry: Entry, views: Sequence[View], *, weights: str | Path | None, seed: int) -> Backbone:
    """Load a network that brings its own `build`.

    Parameters
    ----------
    entry, views, weights, seed
        As `medfeat.backbones.load_backbone` takes them.

    Raises
    ------
    UsageError
        For a view its features do not allow, and features that are none.
    WeightsError
        When weights do not fit.
    """
    if entry.takes_raw:
        return _raw(entry, views, weights)
    info, module, reported = _with_weights(entry, weights, seed)
    module = module.to("cpu", torch.float32).eval().requires_grad_(False)
    plan, anatomy = _planned(entry, module, views)
    embedder = FrozenViews(module, anatomy.features, plan)
    refuse_mixed_rows(embedder, plan.views, info.input_size)
    info = replace(info, weights_digest=weights_digest(embedder))
    return Backbone(info, embedder, plan.views, plan.dims, reported=tuple(reported))


def depths_of_own(entry: Entry) -> Depths:
    """Find the layers by depth of a network that brings its own `build`.

    Raises
    ------
    UsageError
        It has none, or they cannot be told apart.
    """
    if entry.takes_raw:
        raise UsageError(f"backbone {entry.info.name} has no layers: leave --layer out")
    module = _built(entry).to("cpu", torch.float32).eval().requires_grad_(False)
    anatomy = Anatomy(_features_of(entry.info.name), entry.info.pool)
    return depths_of(module, anatomy, _checked_size(entry.info.input_size), device=_device_of(module))


def backbone_from(
    module: nn.Module,
    *,
    input_size: int,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    name: str | None = None,
    pool: str | None = None,
    prefix: int = 0,
    interpolation: Interpolation = "bicubic",
    resize: int = 0,
    pretraining: str = "unknown",
    licence: str = "unknown",
) -> Entry:
    """Describe a network of your own, with its preprocessing, so that it can stand where a backbone's name does.

    Parameters
    ----------
    module
        Maps normalised (B, 3, S, S) images to maps (B, C, H, W), tokens (B, N, d) or vectors (B, d). It is copied
        now, and never changed: training it further is not seen until this is called again.
    input_size
        S, the side in pixels it is fed.
    mean, std
        Per channel or for all three, on the 0..1 scale.
    name
        By which it and its stores go; default: the class's name in lower case.
    pool
        How its features become one vector, one of `medfeat.backbones.features.pooling.POOLS`; None is the average of
        maps, and nothing for vectors. It must be named for tokens.
    prefix
        Tokens before the patch tokens: class and registers.
    interpolation
        Filter used to resize.
    resize
        Side in pixels that ``fit="reference"`` resizes to before it crops; 0 means `input_size`.
    pretraining, licence
        Of its weights, said wherever they are used.

    Returns
    -------
    Entry
        For `medfeat.extract`, `medfeat.embed` and `medfeat.sklearn.Embedder`. Each makes its name known for the rest
        of the process, so that ``probe``, ``predict`` and ``search`` find it again.

    Raises
    ------
    UsageError
        For a name that is taken, a size or a pooling that cannot be, and features that are none.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> backbone_from(net, input_size=32, mean=0.5, std=0.5, name="tiny").info.pool
    'avg'
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"a backbone is made from a torch.nn.Module, got {type(module).__name__}")
    kept = copy.deepcopy(module).to("cpu", torch.float32).eval().requires_grad_(False)
    info = BackboneInfo(
        name=_checked_name(name, type(module).__name__.lower()),
        source="module",
        # Two networks can hold the same tensors and do different things with them.
        source_id=f"{_kind(module)}@{_structure(module, prefix)}",
        input_size=_checked_size(input_size),
        mean=_three(mean, "mean"),
        std=_three(std, "std"),
        interpolation=interpolation,
        pool=pool or "none",
        licence=licence,
        pretraining=pretraining,
        resize=resize,
    )
    features = _trial(info.name, kept, input_size)
    info = replace(info, pool=_natural(info.name, features, pool))
    entry = Entry(info, build=_KeptModule(kept), prefix=prefix)
    return replace(entry, info=replace(info, dim=_planned(entry, kept, (View(),))[0].dims[0]))


@dataclass(frozen=True)
class _KeptModule:
    """Builds a network by handing it out; unlike a function it can be pickled, as pipelines are."""

    module: nn.Module

    def __call__(self) -> nn.Module:
        return self.module


def _with_weights(entry: Entry, weights: str | Path | None, seed: int) -> tuple[BackboneInfo, nn.Module, Sequence[str]]:
    if str(weights) == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return untrained(entry.info, seed), _untrained_module(entry), ()
    module = _built(entry)
    if weights is None:
        return entry.info, module, ()
    _refuse_without_weights(entry, module, weights)
    place, part = split_part(weights)
    refuse_list(place)
    wanted = module.state_dict()
    state, origin = read_part(place, part)
    state, read = without_twins(state, wanted, origin, type(module).__name__)
    if part:
        read = [f"weights under {part!r} were read", *read]
    told = [*read, *load_strictly(module, state, heads=(), adapt=None, origin=origin)]
    return own_weights(entry.info, place), module, [*told, *left_out(state, wanted, told)]


def _built(entry: Entry) -> nn.Module:
    module = entry.build() if entry.build is not None else None
    if not isinstance(module, nn.Module):
        raise UsageError(f"backbone {entry.info.name} must build a torch.nn.Module, got {type(module).__name__}")
    # It may hand out the same module each time, and what is done with it here must not stay in it.
    return copy.deepcopy(module)


def _untrained_module(entry: Entry) -> nn.Module:
    """Draw every weight anew, or refuse: a network of which some weights stay trained is not random."""
    if entry.untrained is not None:
        return entry.untrained()
    module = _built(entry)
    _refuse_without_weights(entry, module, RANDOM)
    for name, part in module.named_modules():
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        left = [own for own, _ in part.named_parameters(recurse=False)]
        if reset is None and left:
            where = f"{name}.{left[0]}".removeprefix(".")
            raise UsageError(
                f"backbone {entry.info.name} cannot be made with random weights: nothing says how to draw {where}; "
                "give its entry `untrained`, or its layers reset_parameters()"
            )
        if reset is not None:
            reset()
    return module


def _refuse_without_weights(entry: Entry, module: nn.Module, weights: str | Path) -> None:
    if not any(True for _ in module.parameters()):
        raise UsageError(f"backbone {entry.info.name} has no weights to replace, got --weights {weights}")


def _planned(entry: Entry, module: nn.Module, views: Sequence[View]) -> tuple[ViewPlan, Anatomy]:
    name, pool, size = entry.info.name, entry.info.pool, entry.info.input_size
    if pool == "none" and entry.info.dim and all(view in (View(), View(pool="none")) for view in views):
        # Declared to give vectors of a known length: what it gives is looked at when it runs.
        resolved = tuple(replace(view, pool="none") for view in views)
        plan = ViewPlan(resolved, (_vector_of(name),) * len(views), (entry.info.dim,) * len(views))
        return plan, Anatomy(_features_of(name), "none")
    features = _trial(name, module, _checked_size(size))
    prefix = max(entry.prefix, 1) if pool in OF_CLASS_TOKEN else entry.prefix
    heads = {pool: lambda _network, vectors: vectors} if features.ndim == 2 else {}
    allowed = (*heads, *poolings_of(features.ndim, prefix))
    if pool not in allowed:
        shape = "x".join(map(str, features.shape[1:]))
        raise UsageError(
            f"backbone {name} declares pool {pool!r}, and its features of {shape} an image are pooled by "
            f"{', '.join(allowed)}: declare one of these"
        )
    anatomy = Anatomy(_features_of(name), pool, heads, prefix)
    return plan_views(module, anatomy, views, size, device=_device_of(module)), anatomy


def _trial(name: str, module: nn.Module, size: int) -> torch.Tensor:
    """Run two black images through a network, to see what its features look like."""
    try:
        with torch.no_grad():
            found = module(torch.zeros(2, 3, size, size, device=_device_of(module)))
    except Exception as error:  # a network of somebody else's can fail in any way
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"backbone {name} does not take images of (2, 3, {size}, {size}) ({type(error).__name__}: {reason})"
        ) from error
    return _checked_features(name, found)


def _checked_features(name: str, found: Any) -> torch.Tensor:
    if not isinstance(found, torch.Tensor) or found.ndim not in (2, 3, 4):
        what = f"{found.ndim} axes" if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
        raise UsageError(f"backbone {name} gives {what}; it must give a tensor (B, C, H, W), (B, N, d) or (B, d)")
    return found


def _features_of(name: str) -> Any:
    def features(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        return _checked_features(name, network(images))

    return features


def _vector_of(name: str) -> Any:
    def vector(_network: nn.Module, features: torch.Tensor) -> torch.Tensor:
        if features.ndim != 2:
            raise UsageError(
                f"backbone {name} declares pool 'none' and gives features of {features.ndim} axes: declare how they "
                f"are pooled, one of {', '.join(POOLS)}"
            )
        return features

    return vector


def _natural(name: str, features: torch.Tensor, asked: str | None) -> str:
    if asked is not None:
        return asked
    if features.ndim == 3:
        raise UsageError(f"backbone {name} gives tokens: say pool='cls' or pool='mean', and prefix=N tokens in front")
    return "avg" if features.ndim == 4 else "none"


def _device_of(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in module.parameters()), torch.device("cpu"))


def _structure(module: nn.Module, prefix: int) -> str:
    """Digest how a network is put together and read, and what its own code does; tensors are not looked at."""
    parts = [(name, _kind(part), sorted(_settings(part))) for name, part in module.named_modules()]
    kinds = dict.fromkeys(type(part) for part in module.modules())
    codes = [identity(kind) for kind in kinds if kind.__module__.partition(".")[0] not in _LIBRARIES_OF_LAYERS]
    return hashlib.blake2b(repr((parts, codes, prefix)).encode(), digest_size=6).hexdigest()


def _settings(part: nn.Module) -> Iterator[tuple[str, str]]:
    for name, value in vars(part).items():
        if not name.startswith("_") and name != "training" and isinstance(value, (*PLAIN, tuple)):
            yield name, repr(value)


def _kind(part: nn.Module) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _checked_name(asked: str | None, default: str) -> str:
    taken = asked if asked is not None else default
    known = taken in BACKBONES and BACKBONES[taken].info.source != "module"
    if asked is not None and known:
        raise UsageError(f"name {asked!r} is that of a registered backbone; choose another")
    if not re.fullmatch(r"[\w][\w.-]*", taken):
        raise UsageError(f"name must be letters, digits, '-', '_' and '.', starting with a letter, got {taken!r}")
    return f"{taken}-own" if known else taken


def _checked_size(size: int) -> int:
    if size < 1:
        raise UsageError(f"input_size must be a side in pixels, got {size}")
    return size


def _three(values: float | Sequence[float], what: str) -> tuple[float, ...]:
    found = (float(values),) * 3 if isinstance(values, (int, float)) else tuple(float(value) for value in values)
    if len(found) != 3 or (what == "std" and min(found) <= 0):
        raise UsageError(f"{what} must be one number or three, a std above 0, got {values}")
    return found


def _raw(entry: Entry, views: Sequence[View], weights: str | Path | None) -> Backbone:
    name = entry.info.name
    if weights is not None:
        raise UsageError(f"backbone {name} has no weights to replace, got --weights {weights}")
    builds = {entry.info.pool: entry.build, **entry.pools}
    pools = [view.pool or entry.info.pool for view in views]
    if any(view.layer is not None for view in views) or not set(pools) <= set(builds):
        allowed = f"--pool may be {' or '.join(builds)}, leave --layer out" if entry.pools else ""
        raise UsageError(f"backbone {name} has one view only: {allowed or 'leave --layer and --pool out'}")
    networks = {pool: _built(replace(entry, build=builds[pool])) for pool in dict.fromkeys(pools)}
    module = _Views([networks[pool] for pool in pools])
    info = replace(entry.info, weights_digest=weights_digest(module))
    resolved = tuple(replace(view, pool=pool) for view, pool in zip(views, pools, strict=True))
    return Backbone(info, module, resolved, (entry.info.dim,) * len(views), entry.takes_raw)


class _Views(nn.Module):
    """Gives the output of each view's network, in eval mode and without gradients; views that share one run it once."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        first, *others = dict.fromkeys(networks)
        self.network, self.others = first, nn.ModuleList(others)
        self._order = [[first, *others].index(network) for network in networks]
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = [network(images) for network in (self.network, *self.others)]
        return tuple(outputs[i] for i in self._order)
