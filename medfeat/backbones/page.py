"""The page docs/backbones.md, made from the registry: ``python -m medfeat.backbones.page > docs/backbones.md``."""

from __future__ import annotations

from medfeat.backbones.features.pooling import POOLS
from medfeat.backbones.naming import backbone_names, describe
from medfeat.types import BackboneInfo

HEAD = """# Backbones

A backbone's name stands for a network, its weights, and the preprocessing that belongs to the weights. This page is
made from the registry by `python -m medfeat.backbones.page`; a test compares the two, and another compares every
row with what the installed torchvision, timm and transformers say. `medfeat list backbones` prints the same table.

"""

REST = """
Any other network of the three libraries goes by `timm:NAME[.TAG]`, `torchvision:NAME[.WEIGHTS]` or
`hf:OWNER/REPO[@REVISION]`; its sizes, colours and filter come from the library's own configuration, and a Hugging
Face revision is resolved to its commit. `trust_remote_code` is off unless asked for.

## What is read out of a network

The default is the features just before the classifier, pooled as the architecture pools them. `--pool` names
another pooling, `--layer` any module by its dotted name (its output is pooled by its shape); several of them come
out of one forward pass and go to several stores.

{pools}

Two words stand for several layers, whose vectors together often say more than the last ones alone
([fusing them](new-tasks.md#several-views-at-once)):

- `--layer every`: every block of a network that keeps one side from end to end, as vision transformers do; of one whose
  maps shrink, as in convolutional networks, the last layer at each side: the ends of the stages, and of the stem's.
- `--layer quarter`: the blocks at 1/4, 2/4, 3/4 and 4/4 of depth; of stages the last four.

The last of them is always the network's own last features, the store that is made without `--layer`. They are found
from the shapes that the modules of any network give (torchvision, timm, Hugging Face, your own), without its weights;
`--dry-run` names them. `--layer quarter --pool cls+mean` joins class token and patch mean of each; networks without a
class token are refused.

`--copies flip` averages the vectors of an image and its mirror image (and of both upside down), `--copies crops` those
of five windows of 7/8 of its sides: another store, at two to five times the time. Both only where the change leaves
the meaning as it is, by the same table as [augmentation](fine-tuning.md): a chest X-ray is never mirrored, own images
are only cropped, volumes neither.

## How an image becomes the input

- `--fit whole` (default): the whole image to S x S with the network's own filter, equal to Pillow's resize level by
  level.
- `--fit reference`: what the library itself does at test time (resize, centre crop; or its image processor).
- `--fit pad`: the image unscaled in the middle of S x S, as in the MedMNIST+ study. The study pads *after*
  normalising, so the frame is the mean colour, not black. An image larger than S is first shrunk to fit. S is the
  backbone's own input size; the study fed all of its networks 224 px.

Pillow 13 filters the height before the width when the height shrinks by more than twice as many pixels as the
width; medfeat does the same whatever Pillow is installed. Square images are not affected.

## Decisions behind the table

- **DINOv2** is built for 224 px; timm resamples the position embeddings of its 518 px weights when they are loaded.
- **DINOv3** is read at its class token. timm's own default for it is the mean of the patch tokens: `--pool mean`.
- **EfficientNet-B4** runs at 320 px, the size it was trained at (timm tests it at 384), **DenseNet-121** and
  **ConvNeXt** at 224 (tested at 288). The MedMNIST+ study fed 224 px to all.
- **SAM** runs at its native 1024 px, which takes seconds an image on a CPU.
- **BEiT** is resized with the bilinear filter its image processor names, and pooled by its own pooler: mean of the
  patch tokens, then a layer norm.
- **AlexNet and VGG** give what their last linear layer sees; `--pool avg` gives the averaged convolutional
  features.
- **Inception** is fed ImageNet's colours and converts them itself, as torchvision's weights want it.
- **CLIP, EVA-02, BiomedCLIP** are read before the projection to the text space. Models of images and texts from Hugging
  Face are read behind it with `--pool projected`, for [classes in words](new-tasks.md#classes-in-words); timm's image
  towers have lost it.

## Overlap with MedMNIST

A backbone that saw the images of a data set's source while it was trained may know the test images. The table marks
what is known: RAD-DINO was trained on NIH ChestX-ray14, from which ChestMNIST is made. For networks trained on
figures or pictures of the web (BiomedCLIP, CLIP, EVA-02, SigLIP, DINOv2, DINOv3) nobody has published such a
comparison: no mark does not mean no overlap.
"""


def page() -> str:
    """Return the text of docs/backbones.md."""
    lines = [
        "| name | weights | input | filter | pool | d | licence | pretraining | overlap | note |",
        "|" + "---|" * 10,
    ]
    lines += [_row(describe(name)) for name in backbone_names()]
    pools = "\n".join(f"- `{name}`: {meaning}" for name, meaning in POOLS.items())
    return HEAD + "\n".join(lines) + "\n" + REST.format(pools=pools)


def _row(info: BackboneInfo) -> str:
    cells = (
        f"`{info.name}`",
        f"{info.source} `{info.source_id}`" if info.input_size else "none",
        f"{info.input_size} px" if info.input_size else "as it is",
        info.interpolation,
        info.pool,
        str(info.dim) if info.dim else "784 / 2352 / 21952",
        info.licence,
        info.pretraining,
        ", ".join(info.overlap) or "none known",
        info.note,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
