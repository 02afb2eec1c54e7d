"""Fitting named tensors to a network: all of them and no others, and nothing changed on the way without a word."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from medfeat.backbones.weights.network_in_file import best_prefixes, unwrapped, without_wrapper_prefix
from medfeat.backbones.weights.state import Adapt, State
from medfeat.errors import WeightsError

# What masked autoencoders have besides the encoder, in the names of MAE, timm and SimMIM
_DECODER = ("decoder_", "decoder.", "mask_token")
_POSITIONS = ("pos", "relative")


def load_strictly(
    module: nn.Module, state: State, *, heads: Iterable[str], adapt: Adapt | None, origin: str
) -> list[str]:
    """Give a network its weights, all of them and no others; a network on the meta device becomes real by it.

    Parameters
    ----------
    module
        The network, changed in place.
    state
        Tensors by name; a prefix common to all that fit (``module.``, ``backbone.`` ...) is taken off.
    heads
        Name prefixes of classifier parameters, ignored whatever their class count.
    adapt
        The library's own conversion, tried when names or shapes do not fit as they are: without the prefix first,
        then with it. One that fails leaves the tensors unconverted.
    origin
        Where the weights come from, for messages.

    Returns
    -------
    list of str
        What was ignored, in words.

    Raises
    ------
    WeightsError
        When anything is missing, unexpected or of another shape.
    """
    wanted = module.state_dict()
    # told of the names in the file: some conversions drop the token for what is masked without a word
    _, decoder = _without_decoder(_without_prefix(state, wanted), wanted)
    fitting, ignored = _converted(state, module, tuple(heads), adapt)
    fitting, left = _without_decoder(fitting, wanted)
    misfits = _misfits(fitting, wanted)
    if any(misfits):
        raise misfit_error(origin, module, *misfits)
    # filled in place: it also says of which version of the network its names are, and MNASNet insists on that
    wanted.update(
        {name: _as_float32(fitting[name]) if name in fitting else torch.zeros((), dtype=torch.long) for name in wanted}
    )
    module.load_state_dict(wanted, strict=True, assign=True)
    return ignored + (decoder or left)


def _converted(
    state: State, module: nn.Module, heads: tuple[str, ...], adapt: Adapt | None
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return the tensors in the form that fits best, without heads, and what was ignored for it."""
    wanted = module.state_dict()
    bare = _without_prefix(state, wanted)
    best = _without_heads(bare, heads)
    if adapt is None or not any(_misfits(best[0], wanted)):
        return best
    # most conversions know names without a prefix; some look for one of their own, and need the names as they are
    forms = (bare, without_wrapper_prefix(unwrapped(state)), state)
    for names in {tuple(names): names for names in forms}.values():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of how a library goes about its own tensors
                found = _without_heads(adapt(dict(names), module), heads)
        except Exception:
            # other architectures break it in all ways; what does not fit is then said of their names as they are
            continue
        # of two forms that do not fit, the one that comes nearer tells more of what is wrong
        best = min(best, found, key=lambda form: sum(map(len, _misfits(form[0], wanted))))
        if not any(_misfits(best[0], wanted)):
            break
    return best


def _as_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _without_prefix(state: State, wanted: State) -> dict[str, torch.Tensor]:
    """Take off the prefix under which most of the wanted names are found; what is outside of it belongs to others."""
    best = best_prefixes(state, wanted)
    if not best:
        return unwrapped(state)
    return {name.removeprefix(best[0]): tensor for name, tensor in state.items() if name.startswith(best[0])}


def _without_heads(state: State, heads: Iterable[str]) -> tuple[dict[str, torch.Tensor], list[str]]:
    dropped = [name for name in state if name.startswith(tuple(heads))]
    ignored = [f"classifier {name} {tuple(state[name].shape)} was ignored" for name in dropped]
    return {name: tensor for name, tensor in state.items() if name not in dropped}, ignored


def _without_decoder(state: State, wanted: State) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Leave out the decoder that a masked autoencoder keeps beside its encoder, and the token for what is masked."""
    dropped = [name for name in state if name.startswith(_DECODER) and name not in wanted]
    ignored = [f"of masked pretraining alone, and ignored: {some(dropped, 'tensors')}"] if dropped else []
    return {name: tensor for name, tensor in state.items() if name not in dropped}, ignored


def _misfits(state: State, wanted: State) -> tuple[list[str], list[str], list[str]]:
    """Return what is missing, what is unexpected, and what has another shape."""
    # checkpoints older than torch 0.4 do not count batches, and no embedding depends on the count
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in wanted]
    shapes = [
        f"{name} is {found} instead of {tuple(wanted[name].shape)}"
        for name, tensor in state.items()
        if name in wanted and (found := _form(tensor, wanted[name])) != tuple(wanted[name].shape)
    ]
    return missing, unexpected, shapes


def _form(tensor: torch.Tensor, wanted: torch.Tensor) -> tuple[int, ...] | str:
    """Return the shape of a plain tensor, and in words what another one is."""
    if tensor.is_quantized or tensor.layout is not torch.strided or tensor.is_meta:
        return "no plain tensor of numbers"
    if wanted.is_floating_point() and not tensor.is_floating_point():
        return f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")
    return tuple(tensor.shape)


def misfit_error(
    origin: str, module: nn.Module, missing: list[str], unexpected: list[str], shapes: list[str]
) -> WeightsError:
    """Build the error for weights of another architecture, with the first few names of each kind."""
    parts = [some(missing, "missing"), some(unexpected, "unexpected"), some(shapes, "of another shape")]
    told = ", ".join(part for part in parts if part)
    return WeightsError(f"{origin} does not fit {type(module).__name__}: {told}; name the backbone it was made for")


def some(names: list[str], kind: str) -> str:
    """Count names and give the first few of them; empty when there are none."""
    if not names:
        return ""
    more = " ..." if len(names) > 3 else ""
    return f"{len(names)} {kind} ({'; '.join(names[:3])}{more})"


def resampled(state: State, held: State) -> dict[str, str]:
    """Find what a library's conversion made of other numbers than the file holds.

    Parameters
    ----------
    state
        All tensors of the file.
    held
        Those of the network after it was filled from them.

    Returns
    -------
    dict
        By the name in the network, what became of it, in words: ``from (768, 3, 32, 32) to (768, 3, 16, 16)``.
        A tensor that was renamed, reshaped or joined of others is none.
    """
    prefix = next(iter(best_prefixes(state, held)), "")
    sizes = {tensor.numel() for tensor in state.values()}
    changed = {}
    for name, tensor in held.items():
        found, shape = state.get(prefix + name), tuple(tensor.shape)
        if found is not None and found.numel() != tensor.numel():
            changed[name] = f"from {tuple(found.shape)} to {shape}"
        elif found is None and tensor.numel() not in sizes and (_is_kernel(name, tensor) or _is_position(name)):
            changed[name] = f"to {shape}"
    return changed


def refuse_other_patches(changed: Mapping[str, str], held: State, origin: str) -> None:
    """Refuse a patch embedding that was resampled: the network was trained to see patches of another size.

    Parameters
    ----------
    changed
        From `resampled`.
    held
        Tensors of the network.
    origin
        Where the weights come from, for the message.

    Raises
    ------
    WeightsError
        With the name of the tensor and both of its shapes.
    """
    for name, what in changed.items():
        if _is_kernel(name, held[name]) and not _is_position(name):
            raise WeightsError(
                f"{origin}: {name} would be resampled {what}: it was trained on patches of another size; "
                "name the backbone it was made for, or allow it with --adapt"
            )


def unread(state: State, held: State) -> list[str]:
    """Name the tensors, beside those that are held, that a library's conversion left out of a file of their names."""
    prefix = next(iter(best_prefixes(state, held)), None)
    if prefix is None or any(prefix + name not in state for name in held if not name.endswith("num_batches_tracked")):
        return []  # some were renamed, and which of the others they were is not known
    names = [name.removeprefix(prefix) for name in state if name.startswith(prefix)]
    return [name for name in names if name not in held and not name.startswith(_DECODER)]


def left_out(state: State, held: State, told: Sequence[str]) -> list[str]:
    """Say in a line which tensors of a file were not read, those aside that `told` speaks of already."""
    names = [name for name in unread(state, held) if not any(name in line for line in told)]
    return [f"not read, as the network has no such names: {some(names, 'tensors')}"] if names else []


def _is_kernel(name: str, tensor: torch.Tensor) -> bool:
    return tensor.ndim >= 4 or "patch" in name


def _is_position(name: str) -> bool:
    return any(part in name for part in _POSITIONS)
