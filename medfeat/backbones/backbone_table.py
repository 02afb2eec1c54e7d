"""The backbones that have a short name, as data one can scan; reading it imports no deep-learning library.

A row is the network, its weights, and the preprocessing that belongs to the weights. A test compares every
row with what the installed torchvision, timm and transformers say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from medfeat.registry import Registry
from medfeat.types import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

Colours: TypeAlias = tuple[float, float, float]

_IMAGENET: tuple[Colours, Colours] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF: tuple[Colours, Colours] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP: tuple[Colours, Colours] = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_CHEST: tuple[Colours, Colours] = ((0.5307, 0.5307, 0.5307), (0.2583, 0.2583, 0.2583))

LITE = "medfeat[lite]"
"""The extra that brings weights in packages."""

HINT = "(or name one as timm:NAME[.TAG], torchvision:NAME[.WEIGHTS] or hf:OWNER/REPO[@REVISION])"


@dataclass(frozen=True)
class Entry:
    """A registered backbone.

    Attributes
    ----------
    info
        What the name stands for.
    options
        Arguments for the library's own constructor.
    build
        For networks of no library: makes the module, weights included. It maps normalised (B, 3, S, S) images to maps
        (B, C, H, W), tokens (B, N, d) or vectors (B, d), which ``info.pool`` and ``--pool`` then pool; what comes as
        vectors was pooled inside the network, and ``info.pool`` says how.
    takes_raw
        `build`'s module takes uint8 images or volumes as they are, neither resized nor normalised.
    pools
        For networks of no library: other ways to read an image, by the name that ``--pool`` gives them.
    prefix
        Of tokens that `build`'s module returns: how many come before the patch tokens (class, registers); taken for at
        least 1 where ``info.pool`` needs a class token.
    untrained
        Makes `build`'s module with random weights; without it, every layer of `build`'s is reset.
    """

    info: BackboneInfo
    options: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[], nn.Module] | None = None
    takes_raw: bool = False
    pools: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)
    prefix: int = 0
    untrained: Callable[[], nn.Module] | None = None

    def __repr__(self) -> str:
        """Return the name and how images reach it."""
        info = self.info
        return f"Entry({info.name!r}, {info.source}, {info.input_size} px, pool {info.pool})"


def _accept(name: str, named: object) -> Entry:
    """Take an `Entry`, or a class or factory without arguments that makes one; the entry point's name is its name."""
    entry = named() if callable(named) else named
    if not isinstance(entry, Entry):
        raise TypeError(f"it names a {type(entry).__name__}, not an Entry or a factory without arguments of one")
    if entry.build is None and entry.info.source not in LIBRARIES:
        raise ValueError(f"its source must be one of {', '.join(LIBRARIES)}, or `build` be given")
    return replace(entry, info=replace(entry.info, name=name))


LIBRARIES = ("torchvision", "timm", "hf")
"""Prefixes that open a whole library: ``timm:resnet10t``."""

# The pool of `pixels` that gives grey images three channels, as sets of grey and colour images need it.
COLOUR = "rgb"

BACKBONES: Registry[Entry] = Registry("backbone", HINT, group="medfeat.backbones", accept=_accept)


def _torchvision(name: str, dim: int, pool: str = "avg", size: int = 224, resize: int = 256) -> None:
    BACKBONES.add(
        name,
        Entry(
            BackboneInfo(
                name=name,
                source="torchvision",
                source_id=f"{name}.IMAGENET1K_V1",
                input_size=size,
                mean=_IMAGENET[0],
                std=_IMAGENET[1],
                interpolation="bilinear",
                pool=pool,
                licence="BSD-3-Clause",
                pretraining="ImageNet-1k",
                dim=dim,
                resize=resize,
            )
        ),
    )


def _timm(
    name: str,
    source_id: str,
    dim: int,
    pool: str,
    pretraining: str,
    *,
    size: int = 224,
    resize: int = 0,
    colours: tuple[Colours, Colours] = _IMAGENET,
    licence: str = "Apache-2.0",
    note: str = "",
    options: Mapping[str, Any] | None = None,
) -> None:
    BACKBONES.add(
        name,
        Entry(
            BackboneInfo(
                name=name,
                source="timm",
                source_id=source_id,
                input_size=size,
                mean=colours[0],
                std=colours[1],
                interpolation="bicubic",
                pool=pool,
                licence=licence,
                pretraining=pretraining,
                note=note,
                dim=dim,
                resize=resize or size,
            ),
            options=options or {},
        ),
    )


# The networks of the course project this toolkit grew out of.
_torchvision("alexnet", 4096, "pre-logits")
_torchvision("vgg16", 4096, "pre-logits")
_torchvision("vgg19", 4096, "pre-logits")
_torchvision("resnet18", 512)
_torchvision("resnet34", 512)
_torchvision("resnet50", 2048)
_torchvision("resnet101", 2048)
_torchvision("resnet152", 2048)
_torchvision("inception_v3", 2048, size=299, resize=342)
_torchvision("squeezenet1_0", 512)
_torchvision("squeezenet1_1", 512)
BACKBONES.add(
    "beit",
    Entry(
        BackboneInfo(
            name="beit",
            source="hf",
            source_id="microsoft/beit-base-patch16-224",
            input_size=224,
            mean=_HALF[0],
            std=_HALF[1],
            interpolation="bilinear",
            pool="mean",
            licence="Apache-2.0",
            pretraining="ImageNet-22k then 1k",
            note="mean of the patch tokens and its layer norm, as the classifier of this checkpoint sees it",
            dim=768,
            resize=224,
            squash=True,
        ),
        options={"config": "BeitConfig", "use_relative_position_bias": True},
    ),
)

# The networks of the MedMNIST+ study; alexnet and vgg16 above belong to it too.
_DINOV3 = "DINOv3 licence"
_SAM_NOTE = "seconds an image on a CPU; the MedMNIST+ study fed it 224 px"
_DINO_NOTE = "native 518 px; position embeddings resampled to 224 px when the weights are loaded"
_GATED = "the weights are handed out under their own licence: accept it on the hub first"

_timm("mobilenetv2_100", "mobilenetv2_100.ra_in1k", 1280, "avg", "ImageNet-1k", resize=256)
_timm("densenet121", "densenet121.ra_in1k", 1024, "avg", "ImageNet-1k", resize=256)
_timm(
    "efficientnet_b4",
    "efficientnet_b4.ra2_in1k",
    1792,
    "avg",
    "ImageNet-1k",
    size=320,
    resize=365,
    note="320 px is its training size; the MedMNIST+ study fed it 224 px",
)
_timm(
    "vit_base",
    "vit_base_patch16_224.augreg2_in21k_ft_in1k",
    768,
    "cls",
    "ImageNet-21k then 1k",
    resize=248,
    colours=_HALF,
)
_timm(
    "clip",
    "vit_base_patch16_clip_224.laion2b_ft_in12k_in1k",
    768,
    "cls",
    "LAION-2B, then ImageNet-12k, then 1k",
    resize=235,
    colours=CLIP,
)
_timm(
    "eva02",
    "eva02_base_patch16_clip_224.merged2b",
    768,
    "cls",
    "Merged-2B",
    resize=248,
    colours=CLIP,
    licence="MIT",
    note="the class token before the projection to the text space",
)
_timm("dino", "vit_base_patch16_224.dino", 768, "cls", "ImageNet-1k", resize=248)
_timm("sam", "samvit_base_patch16.sa1b", 256, "avg", "SA-1B", size=1024, note=_SAM_NOTE)

# Small networks for small machines, whose weights the extra medfeat[lite] brings through a package index.
_LITE_NOTE = f"the extra {LITE} brings the weights where no hub can be reached"
for _number, _size, _resize in ((0, 224, 256), (1, 240, 272), (2, 260, 292)):
    _timm(
        f"efficientnet_lite{_number}",
        f"tf_efficientnet_lite{_number}.in1k",
        1280,
        "avg",
        "ImageNet-1k",
        size=_size,
        resize=_resize,
        colours=_HALF,
        note=_LITE_NOTE,
    )

# Today's general networks.
_timm("convnext_b", "convnext_base.fb_in22k_ft_in1k", 1024, "avg", "ImageNet-22k then 1k", resize=256)
_SMALLER = {"img_size": 224}
_timm("dinov2_s", "vit_small_patch14_dinov2.lvd142m", 384, "cls", "LVD-142M", note=_DINO_NOTE, options=_SMALLER)
_timm("dinov2_b", "vit_base_patch14_dinov2.lvd142m", 768, "cls", "LVD-142M", note=_DINO_NOTE, options=_SMALLER)
_timm(
    "dinov2_l",
    "vit_large_patch14_dinov2.lvd142m",
    1024,
    "cls",
    "LVD-142M",
    note=f"{_DINO_NOTE}; the backbone of RAPTOR (3D)",
    options=_SMALLER,
)
_timm(
    "dinov3_s",
    "vit_small_patch16_dinov3.lvd1689m",
    384,
    "cls",
    "LVD-1689M",
    size=256,
    licence=_DINOV3,
    note=_GATED,
)
_timm("dinov3_b", "vit_base_patch16_dinov3.lvd1689m", 768, "cls", "LVD-1689M", size=256, licence=_DINOV3, note=_GATED)
_timm("dinov3_l", "vit_large_patch16_dinov3.lvd1689m", 1024, "cls", "LVD-1689M", size=256, licence=_DINOV3, note=_GATED)
_timm("siglip2_b", "vit_base_patch16_siglip_224.v2_webli", 768, "attention", "WebLI", resize=248, colours=_HALF)

# Networks trained on medical images.
BACKBONES.add(
    "rad_dino",
    Entry(
        BackboneInfo(
            name="rad_dino",
            source="hf",
            source_id="microsoft/rad-dino",
            input_size=518,
            mean=_CHEST[0],
            std=_CHEST[1],
            interpolation="bicubic",
            pool="cls",
            licence="MIT (earlier: MSRLA); for research, see the model card",
            pretraining="chest X-rays: BRAX, CheXpert, MIMIC-CXR, NIH ChestX-ray14, PadChest",
            overlap=("chestmnist",),
            note="ChestMNIST is made from NIH ChestX-ray14, which it was trained on",
            dim=768,
            resize=518,
            squash=False,
        ),
        options={"config": "Dinov2Config", "image_size": 518},
    ),
)
_timm(
    "biomedclip",
    "vit_base_patch16_224@hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    768,
    "cls",
    "PMC-15M: figures of biomedical papers with their captions",
    colours=CLIP,
    licence="MIT; for research, see the model card",
    note="image tower, before the projection to the text space; overlap with MedMNIST sources is not known",
)


# Without weights: what the others have to beat.
def _weights_free(
    name: str,
    build: Callable[[], nn.Module],
    note: str,
    dim: int = 0,
    pools: Mapping[str, Callable[[], nn.Module]] | None = None,
) -> None:
    info = BackboneInfo(
        name=name,
        source="weights-free",
        source_id=name,
        input_size=0,
        mean=(0.0,),
        std=(1.0,),
        interpolation="bicubic",
        pool="none",
        origin="weights-free",
        licence="none",
        pretraining="none",
        note=note,
        dim=dim,
    )
    BACKBONES.add(name, Entry(info, build=build, takes_raw=True, pools=pools or {}))


def _pixels() -> nn.Module:
    from medfeat.backbones.libraries.weights_free import Pixels

    return Pixels()


def _colour_pixels() -> nn.Module:
    from medfeat.backbones.libraries.weights_free import Pixels

    return Pixels(colour=True)


def _statistics() -> nn.Module:
    from medfeat.backbones.libraries.weights_free import Statistics

    return Statistics()


_weights_free("pixels", _pixels, "raw pixels / 255 at 28 px, flattened", pools={COLOUR: _colour_pixels})
_weights_free("stats", _statistics, "mean, std, min, five quantiles, max and edge strength of an image", dim=10)
