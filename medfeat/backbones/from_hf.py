"""Networks of Hugging Face transformers, from their repositories or from a folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers.utils import logging as transformers_logging

from medfeat.backbones.download import commit_of, file_of_repo
from medfeat.backbones.embedder import Anatomy, Read
from medfeat.backbones.network import Access, Network, State, on_meta
from medfeat.backbones.table import Entry
from medfeat.backbones.weights import FOLDER_FILES, misfit_error, without_wrapper_prefix
from medfeat.errors import MissingFileError, UsageError
from medfeat.types import BackboneInfo, Interpolation

# transformers leaves these untyped
_AUTO: Any = transformers.AutoModel
logging: Any = transformers_logging

# Pillow's numbers for its filters, which image processors store
_FILTERS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class Processing:
    """What an image processor's configuration says, as far as it changes the network's input."""

    size: int
    resize: int
    squash: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation


def describe(source_id: str, access: Access) -> Entry:
    """Describe ``OWNER/REPO[@REVISION]`` from the configuration files of the repository."""
    repo, _, revision = source_id.partition("@")
    if repo.count("/") != 1:
        raise UsageError(f"a Hugging Face backbone must be named hf:OWNER/REPO[@REVISION], got 'hf:{source_id}'")
    config_file = _file(repo, ("config.json",), revision, access)
    config = json.loads(config_file.read_text())
    config = config.get("vision_config", config)
    processing = _processing(repo, revision, config, access)
    commit = commit_of(config_file) or revision
    return Entry(
        BackboneInfo(
            name=f"hf:{source_id}",
            source="hf",
            source_id=f"{repo}@{commit}" if commit else repo,
            input_size=processing.size,
            mean=processing.mean,
            std=processing.std,
            interpolation=processing.interpolation,
            pool="own",
            licence=f"see https://huggingface.co/{repo}",
            resize=processing.resize,
            squash=processing.squash,
        )
    )


def _file(repo: str, names: tuple[str, ...], revision: str, access: Access) -> Path:
    own = [access.folder / name for name in names if access.folder and (access.folder / name).is_file()]
    return own[0] if own else file_of_repo(repo, names, revision=revision or None, offline=access.offline)


def _processing(repo: str, revision: str, config: dict[str, Any], access: Access) -> Processing:
    names = ("preprocessor_config.json", "processor_config.json")
    try:
        file = _file(repo, names, revision, access)
    except MissingFileError as error:
        message = f"hf:{repo} has no preprocessor_config.json at hand, so its preprocessing is not known ({error})"
        raise MissingFileError(message) from error
    content = json.loads(file.read_text())
    return read_processing(content.get("image_processor", content), int(config.get("image_size") or 224))


def read_processing(content: dict[str, Any], native: int) -> Processing:
    """Read an image processor's configuration.

    Parameters
    ----------
    content
        Of ``preprocessor_config.json``.
    native
        Side in pixels the network was made for, where the processor does not say.

    Returns
    -------
    Processing
        Sizes, filter and normalisation.
    """
    size = content.get("size", native)
    if isinstance(size, dict):
        squash = "shortest_edge" not in size
        resize = int(size.get("shortest_edge") or size.get("height") or native)
    else:
        # old processors stored one number; those that crop meant the shorter edge by it
        resize, squash = int(size), not content.get("do_center_crop", False)
    crop = content.get("crop_size") or resize
    crop = int(crop["height"]) if isinstance(crop, dict) else int(crop)
    normalises = content.get("do_normalize", True)
    return Processing(
        size=crop if content.get("do_center_crop", False) else resize,
        resize=resize,
        squash=squash,
        mean=tuple(content["image_mean"]) if normalises and "image_mean" in content else (0.0,) * 3,
        std=tuple(content["image_std"]) if normalises and "image_std" in content else (1.0,) * 3,
        interpolation=_FILTERS.get(int(content.get("resample", 2)), "bilinear"),
    )


def build(entry: Entry, access: Access) -> Network:
    """Build the image network of the configuration, without any task's head."""
    config = _config(entry, access)
    with _quiet():
        module = _AUTO.from_config(config, trust_remote_code=access.trust_remote_code)
    # models of images and text keep the former in a tower of its own
    module = getattr(module, "vision_model", module).eval()
    return Network(module, _anatomy(module, entry))


def _config(entry: Entry, access: Access) -> Any:
    options = dict(entry.options)
    if "config" in options:
        return getattr(transformers, options.pop("config"))(**options)
    repo, _, revision = entry.info.source_id.partition("@")
    try:
        return transformers.AutoConfig.from_pretrained(
            access.folder if access.folder and (access.folder / "config.json").is_file() else repo,
            revision=revision or "main",
            local_files_only=True,
            trust_remote_code=access.trust_remote_code,
        )
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        advice = "" if access.trust_remote_code else "; if it needs code of its own, pass trust_remote_code"
        raise UsageError(f"hf:{repo} cannot be built by transformers ({first[:200]}){advice}") from error


def _features(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return network(pixel_values=x).last_hidden_state  # type: ignore[no-any-return]


def _anatomy(module: Any, entry: Entry) -> Anatomy:
    config = module.config
    patch = getattr(config, "patch_size", None)
    prefix, heads = 0, _own_heads(module)
    if (isinstance(patch, int) and "mean" not in heads) or hasattr(config, "num_register_tokens"):
        prefix = _prefix(module, entry.info.input_size)
    elif isinstance(patch, int):
        prefix = 1
    told = entry.info.pool
    default = next(iter(heads), "cls" if prefix else "avg") if told == "own" else told
    return Anatomy(_features, default, heads, prefix)


def _prefix(module: Any, size: int) -> int:
    """Count the tokens that are not patches."""
    if any(parameter.device.type != "meta" for parameter in module.parameters()):
        module = on_meta(lambda: type(module)(module.config)).to("meta").eval()
    with torch.no_grad():
        tokens = _features(module, torch.empty(1, 3, size, size, device="meta"))
    return int(tokens.shape[1] - (size // module.config.patch_size) ** 2) if tokens.ndim == 3 else 0


def _own_heads(module: nn.Module) -> dict[str, Read]:
    """Return the pooling layers an architecture has of its own."""
    kind = type(module).__name__
    if kind.startswith(("Beit", "Data2VecVision")) and getattr(module.config, "use_mean_pooling", False):
        return {"mean": lambda network, x: network.pooler(x)}
    if kind.startswith("Siglip") and hasattr(module, "head"):
        return {"attention": lambda network, x: network.head(x)}
    if hasattr(module, "post_layernorm") and kind.startswith("CLIP"):
        return {"cls": lambda network, x: network.post_layernorm(x[:, 0])}
    if kind.startswith("ConvNext") and hasattr(module, "layernorm"):
        return {"avg": lambda network, x: network.layernorm(x.mean((2, 3)))}
    return {}


def locate(info: BackboneInfo, access: Access) -> tuple[BackboneInfo, Path]:
    """Find the weights in the Hugging Face cache, downloading them on first use."""
    repo, _, revision = info.source_id.partition("@")
    file = file_of_repo(repo, FOLDER_FILES[:2], revision=revision or None, offline=access.offline)
    commit = commit_of(file)
    resolved = replace(info, source_id=f"{repo}@{commit}") if commit else info
    return resolved, file


def fill(network: Network, state: State, entry: Entry, origin: str) -> tuple[nn.Module, list[str]]:
    """Load strictly, through transformers itself, which renames what older checkpoints call otherwise."""
    del entry
    kind: Any = type(network.module)
    config = network.module.config
    state = without_wrapper_prefix(state)
    with _quiet():
        module, told = kind.from_pretrained(
            None,
            config=config,
            state_dict=dict(state),
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, with everything else that does not fit
        )
    unexpected = sorted(told["unexpected_keys"])
    ignored = [name for name in unexpected if _is_head(name)]
    wrong = [name for name in unexpected if name not in ignored]
    missing = [name for name in sorted(told["missing_keys"]) if not _is_unused(name, network)]
    shapes = [
        f"{name} is {tuple(found)} instead of {tuple(wanted)}"
        for name, found, wanted in sorted(told["mismatched_keys"])
    ]
    if missing or wrong or shapes:
        raise misfit_error(origin, module, missing, wrong, shapes)
    return module.eval(), [
        f"classifier {name} {tuple(state[name].shape)} was ignored" for name in ignored if name in state
    ]


def _is_head(name: str) -> bool:
    return name.startswith(("classifier.", "decode_head.", "auxiliary_head.", "lm_head.", "decoder.", "text_model."))


def _is_unused(name: str, network: Network) -> bool:
    # a pooler that no pooling here reads, and that many checkpoints lack
    return name.startswith("pooler.") and "mean" not in network.anatomy.heads


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bars and load reports out of the terminal: what matters of them is raised or returned."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
