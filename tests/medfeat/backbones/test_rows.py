"""Any layer of a network: its row of an image is that of the image alone, or the layer is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medfeat.backbones import load_backbone
from medfeat.backbones.features.row_an_image import refuse_mixed_rows
from medfeat.backbones.features.views_of import Anatomy, FrozenViews, plan_views
from medfeat.backbones.library import Access
from medfeat.backbones.loading import skeleton
from medfeat.backbones.naming import find, library_of
from medfeat.errors import NotByImageError, UsageError
from medfeat.types import View

OFFLINE = Access(offline=True)
WINDOWED = [
    "timm:swin_tiny_patch4_window7_224",
    "timm:davit_tiny",
    "timm:maxvit_rmlp_pico_rw_256",
    "timm:mobilevit_xxs",
]
TOKENS = ["timm:cait_xxs24_224", "timm:deit_tiny_distilled_patch16_224", "timm:vit_tiny_patch16_224"]
OTHERS = [
    "timm:swinv2_tiny_window8_256",
    "timm:gcvit_xxtiny",
    "timm:coatnet_nano_rw_224",
    "timm:nest_tiny",
    "timm:hiera_tiny_224",
    "timm:efficientvit_m0",
    "timm:efficientvit_b0",
    "timm:xcit_nano_12_p16_224",
    "timm:pit_ti_224",
    "timm:levit_128s",
    "timm:mvitv2_tiny",
    "timm:mixer_s32_224",
    "timm:convnext_atto",
    "timm:vit_small_patch16_dinov3",
    "torchvision:swin_t",
    "torchvision:swin_v2_t",
    "torchvision:vit_b_32",
    "resnet18",
]


def sizes(network: nn.Module, anatomy: Anatomy, side: int, count: int) -> dict[str, tuple[int, ...]]:
    """The shape that each layer gives for so many images, without any help of ours."""
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            while isinstance(output, (tuple, list)) and output:
                output = output[0]
            if isinstance(output, torch.Tensor):
                seen[name] = tuple(output.shape)

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
    with torch.no_grad():
        anatomy.features(network, torch.zeros(count, 3, side, side, device="meta"))
    for handle in handles:
        handle.remove()
    return seen


def some(layers: list[str], most: int | None) -> list[str]:
    return layers if most is None else layers[:: max(1, len(layers) // most)]


def check(name: str, most: int | None = None) -> tuple[list[str], list[str]]:
    """Read every layer, or about `most` of each sort; return those that are right and those that are refused."""
    entry = find(name, OFFLINE)
    side = entry.info.input_size
    ghost, _ = skeleton(entry, (View(),), OFFLINE)
    two, five = (sizes(ghost.module, ghost.anatomy, side, count) for count in (2, 5))
    by_image = [layer for layer in two if (two[layer][:1], five[layer][:1]) == ((2,), (5,))]
    refused = some([layer for layer in two if layer not in by_image], most)
    for layer in refused:
        with pytest.raises(NotByImageError) as error:
            plan_views(ghost.module, ghost.anatomy, [View(layer)], side)
        assert layer in str(error.value) and str(two[layer]) in str(error.value) and "\n" not in str(error.value)
    taken = [layer for layer in some(by_image, most) if len(two[layer]) in (2, 3, 4)]
    while True:
        views = [View(), *map(View, taken)]
        try:
            plan = plan_views(ghost.module, ghost.anatomy, views, side)
            break
        except UsageError as error:  # inside of attention, or which of its tokens are patches is not known
            assert "tokens" in str(error), error
            taken.remove(str(error).split("'")[1])
    torch.manual_seed(0)
    network = library_of(entry.info.source).build(entry, OFFLINE)
    embedder = FrozenViews(network.module, network.anatomy.features, plan)
    images = torch.randn(3, 3, side, side) * torch.tensor([1.0, 0.3, 2.0]).reshape(3, 1, 1, 1)
    with torch.inference_mode():
        together = embedder(images)
        alone = [embedder(image[None]) for image in images]
    for view, rows, *single in zip(views, together, *alone, strict=True):
        expected = torch.cat(single)
        scale = float(expected.abs().max())
        torch.testing.assert_close(
            rows, expected, rtol=1e-3, atol=1e-4 * scale + 1e-6, msg=lambda m, v=view: f"{v}: {m}"
        )
    return taken, refused


@pytest.mark.parametrize("name", [*WINDOWED, *TOKENS, "timm:mixer_s32_224"])
def test_a_layer_is_right_image_by_image_or_refused(name: str) -> None:
    taken, refused = check(name, most=6)
    assert taken
    assert bool(refused) or name not in WINDOWED


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WINDOWED, *TOKENS, *OTHERS])
def test_every_layer_is_right_image_by_image_or_refused(name: str) -> None:
    taken, _ = check(name)
    assert taken


@pytest.mark.parametrize(
    ("name", "layer", "shape", "near"),
    [
        ("timm:swin_tiny_patch4_window7_224", "layers.0.blocks.0.attn", "(128, 49, 96)", "'layers.0.blocks.0'"),
        ("timm:swin_tiny_patch4_window7_224", "layers.0.blocks.1.attn.qkv", "(128, 49, 288)", "'layers.0.blocks.1'"),
        ("timm:mobilevit_xxs", "stages.2.1.transformer.0", "(8, 256, 64)", "'stages.2.1'"),
        ("torchvision:swin_t", "features.1.0.attn", "", ""),
    ],
)
def test_windows_are_refused_with_their_shape_and_a_layer_that_works(
    name: str, layer: str, shape: str, near: str
) -> None:
    if not shape:  # torchvision puts windows together inside of its attention
        assert load_backbone(name, weights="random", views=[View(layer)]).dims == (96,)
        return
    with pytest.raises(NotByImageError) as error:
        load_backbone(name, weights="random", views=[View(), View(layer)])
    for part in (repr(layer), shape, "2 images", near):
        assert part in str(error.value)
    load_backbone(name, weights="random", views=[View(near.strip("'"))])


class Toy(nn.Module):
    """Four tokens of each image and a class token, through a layer that may do anything to the batch."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.layer = layer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        self.layer(tokens)
        return tokens


class Apply(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, tokens: torch.Tensor) -> object:
        return self.function(tokens)


def toy(function: object) -> tuple[nn.Module, Anatomy]:
    torch.manual_seed(0)
    layer = function if isinstance(function, nn.Module) else Apply(function)
    return Toy(layer), Anatomy(lambda network, images: network(images), "mean")


def read(function: object) -> FrozenViews:
    network, anatomy = toy(function)
    views = [View("layer")]
    plan = plan_views(network, anatomy, views, 8, device="cpu")
    embedder = FrozenViews(network, anatomy.features, plan)
    refuse_mixed_rows(embedder, plan.views, 8)
    return embedder


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.transpose(0, 1),
        lambda x: (x.transpose(0, 1), x),
        lambda x: x.reshape(-1, 2, 8),
        lambda x: x.mean(0),
        lambda x: x.new_zeros(2, 8),
        lambda x: torch.cat([x, x]),
    ],
    ids=["tokens first", "tuple of tokens first", "windows", "no images", "two whatever comes", "twice"],
)
def test_an_output_of_other_rows_than_images_is_refused(function: object) -> None:
    with pytest.raises(NotByImageError, match=r"layer 'layer' gives .* not one row an image: name 'patches' instead"):
        read(function)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.roll(1, 0),
        lambda x: x.flip(0),
        lambda x: x + x.mean(0),
        lambda x: x.transpose(0, 1).reshape(x.shape),
        lambda x: x[:1].expand_as(x),
        lambda x: (x - x.mean((0, 1))) / x.std((0, 1)),
    ],
    ids=["rolled", "reversed", "mean added", "reshaped over the batch", "the first image for all", "normalised"],
)
def test_rows_that_depend_on_other_images_are_refused(function: object) -> None:
    with pytest.raises(NotByImageError, match="layer 'layer' mixes images"):
        read(function)


@pytest.mark.parametrize("function", [lambda x: x * 2, lambda x: (x, x.transpose(0, 1)), nn.Identity(), nn.ReLU()])
def test_a_layer_that_keeps_images_apart_is_read(function: object) -> None:
    assert read(function)(torch.randn(3, 3, 8, 8))[0].shape == (3, 8)


def test_attention_that_wants_tokens_first_is_refused() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MultiheadAttention(8, 2)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            first = tokens.transpose(0, 1)
            return self.inner(first, first, first)[0].transpose(0, 1)

    network, anatomy = toy(Attention())
    with pytest.raises(NotByImageError, match=r"'layer.inner' gives \(4, 2, 8\) for 2 images.*name 'layer' instead"):
        plan_views(network, anatomy, [View("layer.inner")], 8, device="cpu")
    assert plan_views(network, anatomy, [View("layer")], 8, device="cpu").dims == (8,)


@pytest.mark.parametrize(
    ("name", "layer", "said"),
    [
        ("timm:convit_tiny", "blocks.0.attn.attn_drop", r"\(2, 4, 196, 196\), which is no map of an image"),
        ("timm:convit_tiny", "blocks.11.attn.attn_drop", r"\(2, 4, 197, 197\), which is no map of an image"),
        ("timm:cait_xxs24_224", "blocks.0.attn.proj_l", r"\(2, 196, 196, 4\), which is no map of an image"),
        ("timm:edgenext_xx_small", "stages.1.blocks.1.xca.attn_drop", "one and the same row for every image"),
    ],
)
def test_attention_weights_are_no_picture(name: str, layer: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_backbone(name, weights="random", views=[View(layer)])


def test_maps_of_any_layout_are_read() -> None:
    for name, layer, width in (
        ("timm:edgenext_xx_small", "stages.1.blocks.1", 48),
        ("timm:swin_tiny_patch4_window7_224", "layers.0.blocks.0", 96),
        ("resnet18", "layer1", 64),
    ):
        assert load_backbone(name, weights="random", views=[View(layer)]).dims == (width,)


@pytest.mark.parametrize(
    ("name", "layer", "prefix"),
    [
        ("timm:vit_tiny_patch16_224", "patch_embed", 0),
        ("timm:vit_tiny_patch16_224", "blocks.0", 1),
        ("timm:deit_tiny_distilled_patch16_224", "patch_embed", 0),
        ("timm:deit_tiny_distilled_patch16_224", "blocks.3.mlp", 2),
        ("timm:vit_small_patch16_dinov3", "patch_embed", 0),
        ("timm:vit_small_patch16_dinov3", "blocks.0", 5),
        ("timm:cait_xxs24_224", "blocks.0", 0),
        ("timm:coat_lite_tiny", "serial_blocks4.1", 1),
    ],
)
def test_a_layer_is_pooled_without_its_own_prefix_tokens(name: str, layer: str, prefix: int) -> None:
    # DINOv3's patches lie on a map until its first block
    mean_of = "avg" if (name, layer) == ("timm:vit_small_patch16_dinov3", "patch_embed") else "mean"
    views = [View(layer, mean_of), View(layer, "max"), View(layer, "tokens")]
    backbone = load_backbone(name, weights="random", views=views)
    seen: list[torch.Tensor] = []
    network = backbone.module.network
    network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    side = backbone.info.input_size
    with torch.inference_mode():
        mean, maximum, tokens = backbone.module(torch.randn(2, 3, side, side))
    features = seen[0].flatten(1, 2) if seen[0].ndim == 4 else seen[0]
    torch.testing.assert_close(mean, features[:, prefix:].mean(1))
    torch.testing.assert_close(maximum, features[:, prefix:].amax(1))
    assert torch.equal(tokens, features[:, prefix:])


def test_a_layer_before_the_class_token_has_none() -> None:
    assert load_backbone("timm:vit_tiny_patch16_224", weights="random", views=[View("patch_embed")]).views == (
        View("patch_embed", "mean"),
    )
    with pytest.raises(UsageError, match="pool must be one of mean, max, tokens for layer 'patch_embed', got 'cls'"):
        load_backbone("timm:vit_tiny_patch16_224", weights="random", views=[View("patch_embed", "cls")])
