"""The networks that tools are compared with: laid where each finds them, and run by hand to know their vectors."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

SCRIPTS = Path(__file__).parent / "rivals"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LITE, SMALL = "tf_efficientnet_lite0.in1k", "test_resnet.r160_in1k"
RESNET, VIT, SIMCLR = "own/resnet-18", "vit-of-open-clip", "resnet-of-lightly-train"


@dataclass(frozen=True)
class Network:
    """One that is put somewhere, and how it is made by hand of what was put there."""

    put: object
    made: object


def snapshot(hub, repo):
    """Make the folder of a repository in a cache of the hub, laid out as huggingface_hub does."""
    place = hub / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(COMMIT)
    folder = place / "snapshots" / COMMIT
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def put_in_hub(name):
    """Put the weights of a timm network where timm looks for them: real ones where a package brings them."""

    def put(folder):
        import timm
        from safetensors.torch import save_file

        from medfeat.backbones.weights.packaged import file_of_package, in_timm_order, is_packaged

        torch.manual_seed(0)
        architecture = name.partition(".")[0]
        state = timm.create_model(architecture, pretrained=False).state_dict()
        found = file_of_package(architecture) if is_packaged(architecture) else None
        if found is not None:
            bare = timm.create_model(architecture, pretrained=False, num_classes=0)
            state = in_timm_order(torch.load(found[1], weights_only=True), bare)
        whole = {key: tensor.contiguous() for key, tensor in state.items()}
        save_file(whole, snapshot(folder.parent / "home" / "hub", f"timm/{name}") / "model.safetensors")

    return put


def made_of_timm(name):
    def made(folder):
        import timm

        file = snapshot(folder.parent / "home" / "hub", f"timm/{name}") / "model.safetensors"
        overlay = {"file": str(file), "hf_hub_id": None}
        net = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
        return net, _crop_of_timm(net), net.default_cfg

    return made


def _crop_of_timm(net):
    import timm

    return timm.data.create_transform(**timm.data.resolve_model_data_config(net), is_training=False)


def put_resnet(folder):
    """Save a ResNet-18 of random weights as transformers saves one, where it looks for the hub's."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetModel

    torch.manual_seed(0)
    sizes = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
    place = snapshot(folder.parent / "home" / "hub", RESNET)
    ResNetModel(ResNetConfig(layer_type="basic", **sizes)).save_pretrained(place)
    ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875).save_pretrained(place)


def made_of_transformers(folder):
    from transformers import AutoImageProcessor, AutoModel

    place = snapshot(folder.parent / "home" / "hub", RESNET)
    net, seen = AutoModel.from_pretrained(place).eval(), AutoImageProcessor.from_pretrained(place)
    return (
        lambda batch: net(batch).pooler_output.flatten(1),
        lambda image: seen(image, return_tensors="pt")["pixel_values"][0],
        None,
    )


def put_by_its_tool(script, environment, word, images=None):
    """Let a tool make the network by itself, in its own environment."""

    def put(folder):
        python = Path(os.environ.get("MEDFEAT_RIVALS", "")) / environment / "bin" / "python"
        if python.exists():
            given = folder.parent / images if images else "-"
            words = [python, SCRIPTS / script, given, folder, word]
            subprocess.run(words, check=True, env={**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"})

    return put


def made_of_open_clip(folder):
    import timm

    overlay = {"file": str(folder / "clip.pt"), "hf_hub_id": None}
    name = "vit_base_patch32_clip_224.laion2b"
    net = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
    return net, _crop_of_timm(net), net.default_cfg


def made_of_torchvision(folder):
    import torchvision

    net = torchvision.models.resnet18()
    net.load_state_dict(torch.load(folder / "exported_models" / "exported_last.pt", weights_only=True))
    net.fc = torch.nn.Identity()
    look = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(**look)]
    return net, transforms.Compose(steps), look


NETWORKS = {
    LITE: Network(put_in_hub(LITE), made_of_timm(LITE)),
    SMALL: Network(put_in_hub(SMALL), made_of_timm(SMALL)),
    RESNET: Network(put_resnet, made_of_transformers),
    VIT: Network(put_by_its_tool("with_clip_benchmark.py", "clip_benchmark", "prepare"), made_of_open_clip),
    SIMCLR: Network(
        put_by_its_tool("with_lightly_train.py", "lightly-train", "pretrain", "images"), made_of_torchvision
    ),
}


def by_hand(network, folder, files, *, crop):
    """Return what a network's own forward pass in eval mode gives, one image after another, in float32."""
    net, cropped, look = NETWORKS[network].made(folder)
    if isinstance(net, torch.nn.Module):
        net.eval()
    seen = cropped
    if not crop and look is not None:
        seen = transforms.Compose([transforms.ToTensor(), transforms.Normalize(look["mean"], look["std"])])
    with torch.inference_mode():
        return {one.name: np.ravel(net(seen(Image.open(one).convert("RGB"))[None]).numpy()) for one in files}
