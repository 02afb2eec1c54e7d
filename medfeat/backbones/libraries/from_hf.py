"""Networks of Hugging Face transformers, from their repositories or from a folder."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.utils import logging as transformers_logging

from medfeat.backbones.backbone_table import Entry
from medfeat.backbones.features.pooling import PROJECTED
from medfeat.backbones.features.views_of import Anatomy, Read
from medfeat.backbones.libraries.hf_files import configured
from medfeat.backbones.library import Access, Network, on_meta
from medfeat.backbones.weights.fitting import misfit_error
from medfeat.backbones.weights.hub import commit_of, file_of_repo
from medfeat.backbones.weights.network_in_file import best_prefixes, unwrapped, without_wrapper_prefix
from medfeat.backbones.weights.state import State
from medfeat.backbones.weights.weights_file import FOLDER_FILES, INDEX_FILES, files_of_index
from medfeat.errors import UsageError, first_line
from medfeat.types import BackboneInfo

# transformers leaves these untyped
_AUTO: Any = transformers.AutoModel
logging: Any = transformers_logging
# What models of text and of sound take
_OTHER_INPUTS = {"input_ids", "input_values", "input_features"}
# How models call the tokens that are not patches; more of them than this no model has
_EXTRA_TOKEN = re.compile(r"(^|[._])(cls|class|distillation|register)_?(token|embedding)s?$")
_MOST_EXTRA_TOKENS = 16
# Where models of images and text keep the network of the images
_TOWER = "vision_model."
_HEADS = (
    "classifier.",
    "cls_classifier.",
    "distillation_classifier.",
    "decode_head.",
    "auxiliary_head.",
    "lm_head.",
    "decoder.",
    "text_model.",
    "text_projection.",
    "visual_projection.",
    "logit_scale",
    "logit_bias",
)


def describe(source_id: str, access: Access) -> Entry:
    """Describe ``OWNER/REPO[@REVISION]`` from the configuration files of the repository, or of a folder given."""
    model = configured(source_id, access)
    processing = model.processing
    return Entry(
        BackboneInfo(
            name=f"hf:{source_id}",
            source="hf",
            source_id=model.source_id,
            input_size=processing.size,
            mean=processing.mean,
            std=processing.std,
            interpolation=processing.interpolation,
            pool="own",
            licence=f"see https://huggingface.co/{model.repo}",
            resize=processing.resize,
            squash=processing.squash,
        )
    )


def build(entry: Entry, access: Access) -> Network:
    """Build the image network of the configuration, without any task's head."""
    with _quiet(), _one_line(entry, access):
        module = _model(entry, access)
    if entry.options.get(PROJECTED):
        return _of_images_and_texts(module.eval(), entry)
    # models of images and text keep the former in a tower of its own
    module = getattr(module, "vision_model", module).eval()
    taken = inspect.signature(module.forward).parameters
    if "pixel_values" not in taken and not _OTHER_INPUTS.isdisjoint(taken):
        raise UsageError(f"{entry.info.name} ({type(module).__name__}) takes no images: name a model that does")
    return Network(module, _anatomy(module, entry))


def _of_images_and_texts(module: Any, entry: Entry) -> Network:
    """Return a whole model, whose image features are those that it compares with texts."""
    if not (hasattr(module, "get_image_features") and hasattr(module, "get_text_features")):
        kind = type(module).__name__
        raise UsageError(f"{entry.info.name} ({kind}) has no projection to a space of texts: name a model that has one")

    def features(network: Any, x: torch.Tensor) -> torch.Tensor:
        return projected(network.get_image_features(pixel_values=x))

    return Network(module, Anatomy(features, PROJECTED, {PROJECTED: lambda _network, vectors: vectors}))


def projected(output: Any) -> torch.Tensor:
    """Return the (n, d) vectors that ``get_image_features`` or ``get_text_features`` gave, of any transformers."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def _model(entry: Entry, access: Access) -> Any:
    options = {name: value for name, value in entry.options.items() if name != PROJECTED}
    if "config" in options:
        return _AUTO.from_config(getattr(transformers, options.pop("config"))(**options))
    repo, _, revision = entry.info.source_id.partition("@")
    own = access.folder if access.folder and (access.folder / "config.json").is_file() else None
    trusted = access.trust_remote_code
    source: dict[str, Any] = {
        "revision": None if own else revision or "main",
        # the configuration is here by now; code of the repository's own may not be
        "local_files_only": access.offline or not trusted,
    }
    config = transformers.AutoConfig.from_pretrained(own or repo, trust_remote_code=trusted, **source)
    if hasattr(config, "mask_ratio"):
        # masked autoencoders hide patches at random, in eval mode too
        config.mask_ratio = 0.0
    code = (getattr(config, "auto_map", None) or {}).get("AutoModel")
    if not (code and trusted):
        return _AUTO.from_config(config, trust_remote_code=False)
    # from_config would look for the code on the hub even where nobody may call it, and at another commit
    kind: Any = get_class_from_dynamic_module(code, own or repo, **source)
    return kind._from_config(config)


@contextlib.contextmanager
def _one_line(entry: Entry, access: Access) -> Iterator[None]:
    """Say in one line what cannot be built."""
    try:
        yield
    except Exception as error:
        if isinstance(error, RuntimeError) and torch.get_default_device().type == "meta":
            # perhaps it only cannot be on the meta device: `on_meta` builds for real then, and here it is said
            raise
        advice = "" if access.trust_remote_code else "; if it needs code of its own, pass trust_remote_code"
        name = entry.info.name
        raise UsageError(f"{name} cannot be built by transformers ({first_line(error)}){advice}") from error


def _features(network: nn.Module, x: torch.Tensor, **options: Any) -> torch.Tensor:
    if not x.is_meta:
        return network(pixel_values=x, **options).last_hidden_state  # type: ignore[no-any-return]
    try:
        return network(pixel_values=x, **options).last_hidden_state  # type: ignore[no-any-return]
    except Exception as error:
        # the trial run, which computes nothing: what fails here are sizes that do not fit each other
        what = f"{type(network).__name__} cannot take an image of {x.shape[-1]} px as it is configured"
        raise UsageError(f"{what} ({first_line(error)}): check config.json and preprocessor_config.json") from error


def _features_in_order(network: Any, x: torch.Tensor) -> torch.Tensor:
    """Read a masked autoencoder, which sorts patches by noise: rising noise keeps them where they are."""
    noise = torch.arange(network.embeddings.patch_embeddings.num_patches, dtype=torch.float32, device=x.device)
    return _features(network, x, noise=noise.expand(len(x), -1))


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
    features = _features_in_order if type(module).__name__.startswith("ViTMAE") else _features
    return Anatomy(features, default, heads, prefix)


def _prefix(module: Any, size: int) -> int:
    """Count the tokens that are not patches, where the network has any and keeps one token a patch."""
    if not any(_EXTRA_TOKEN.search(name) for name, _ in module.named_parameters()):
        return 0
    if any(parameter.device.type != "meta" for parameter in module.parameters()):
        module = on_meta(lambda: type(module)(module.config)).to("meta").eval()
    with torch.no_grad():
        tokens = _features(module, torch.empty(1, 3, size, size, device="meta"))
    extra = int(tokens.shape[1] - (size // module.config.patch_size) ** 2) if tokens.ndim == 3 else 0
    # a network that merges patches has fewer tokens than patches, and their difference says nothing
    return extra if 0 <= extra <= _MOST_EXTRA_TOKENS else 0


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
    """Find the weights in the Hugging Face cache, downloading them on first use; all the files of a cut checkpoint."""
    repo, _, revision = info.source_id.partition("@")
    where: dict[str, Any] = {"revision": revision or None, "offline": access.offline}
    file = file_of_repo(repo, (*FOLDER_FILES[:2], *INDEX_FILES), **where)
    for piece in files_of_index(file) if file.name in INDEX_FILES else ():
        file_of_repo(repo, (piece,), **where)
    commit = commit_of(file)
    resolved = replace(info, source_id=f"{repo}@{commit}") if commit else info
    return resolved, file


def fill(network: Network, state: State, entry: Entry, origin: str) -> tuple[nn.Module, list[str]]:
    """Load strictly, through transformers itself, which renames what older checkpoints call otherwise."""
    del entry
    kind: Any = type(network.module)
    config = network.module.config
    state = _as_saved(state, network.module)
    if PROJECTED not in network.anatomy.heads:
        state = _of_tower(state)
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


def _as_saved(state: State, module: Any) -> State:
    """Take off all but what transformers itself puts before the names of a network, and looks for."""
    best = next(iter(best_prefixes(state, module.state_dict())), None)
    if best is None:
        return without_wrapper_prefix(unwrapped(state))
    own = (f"{module.base_model_prefix}.", _TOWER)
    outer = next((best.removesuffix(end) for end in own if best.endswith(end) and end != "."), best)
    return {name.removeprefix(outer): tensor for name, tensor in state.items() if name.startswith(outer)}


def _is_head(name: str) -> bool:
    return name.startswith(_HEADS)


def _of_tower(state: State) -> State:
    """Leave out what lies beside an image tower: the text's tower, projections and their scales are other parts."""
    if not any(name.startswith(_TOWER) for name in state):
        return state
    return {name: tensor for name, tensor in state.items() if name.startswith((_TOWER, "classifier."))}


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
