"""What most scripts do: resize with PIL in a DataLoader, run the network eagerly in float32, collect in a list.

A program of its own, so that its wall time can be measured; it shares nothing with medfeat.

    python usual_pattern.py NETWORK IMAGES.npz WORKERS [WEIGHTS]
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pictures(Dataset):
    """An npz's images through the usual transforms."""

    def __init__(self, images):
        self.images = images
        self.transform = transforms.Compose(
            [
                transforms.Resize((224, 224), interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index]).convert("RGB"))


def network(name, weights=None):
    torch.manual_seed(0)
    if name.startswith("timm:"):
        import timm

        return timm.create_model(name.removeprefix("timm:"), num_classes=0).eval()
    net = getattr(torchvision.models, name)()
    if weights:
        net.load_state_dict(torch.load(weights, weights_only=True))
    if hasattr(net, "fc"):
        net.fc = torch.nn.Identity()
    else:
        net = torch.nn.Sequential(net.features, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return net.eval()


def embed(net, images, workers, batch=64):
    """Return embeddings and the steady rate: images a second, the first batch left out."""
    rows, started, counted = [], None, 0
    with torch.inference_mode():
        for pixels in DataLoader(Pictures(images), batch_size=batch, num_workers=workers):
            rows.append(net(pixels).numpy())
            if started is None:
                started = time.perf_counter()
            else:
                counted += len(pixels)
        rate = counted / (time.perf_counter() - started) if counted else float("nan")
    return np.concatenate(rows), rate


if __name__ == "__main__":
    data = np.load(sys.argv[2])
    everything = np.concatenate([data[f"{split}_images"] for split in ("train", "val", "test")])
    net = network(sys.argv[1], sys.argv[4] if len(sys.argv) > 4 else None)
    features, _ = embed(net, everything, int(sys.argv[3]))
    np.save(f"{sys.argv[2]}.features.npy", features)
