"""slide2vec's `Model.embed_images` with an encoder registered as its documentation shows: two files an image.

python with_slide2vec.py IMAGES OUT NETWORK
"""

from __future__ import annotations

import sys
from pathlib import Path

import timm
from slide2vec import ExecutionOptions, ImageSpec, Model, TorchTileEncoder, register_encoder


@register_encoder(
    "lite0",
    encode_dim=1280,
    input_size=224,
    supports_variable_input_size=False,
    supported_spacing_um=None,
    default_spacing_um=0.5,
    precision="fp32",
    source="timm/tf_efficientnet_lite0.in1k",
)
class Lite(TorchTileEncoder):
    def __init__(self, *, output_variant=None):
        net = timm.create_model(sys.argv[3], pretrained=True, num_classes=0)
        look = {name: net.default_cfg[name] for name in ("mean", "std")}
        super().__init__(net, encode_dim=1280, input_size=224, output_variant=output_variant, **look)


def main(images, out, _network):
    files = sorted(Path(images).rglob("*.png"), key=lambda file: file.name)
    model = Model.from_preset("lite0", device="cpu")
    model.embed_images(
        [ImageSpec(sample_id=file.stem, image_path=file) for file in files],
        execution=ExecutionOptions(output_dir=Path(out), num_gpus=1, precision="fp32"),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
