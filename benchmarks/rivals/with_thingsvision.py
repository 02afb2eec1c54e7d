"""thingsvision as its README shows it: an extractor of timm, its own dataset and loader, `save_features` at the end.

python with_thingsvision.py IMAGES OUT NETWORK
"""

from __future__ import annotations

import sys

from thingsvision import get_extractor
from thingsvision.utils.data import DataLoader, ImageDataset
from thingsvision.utils.storing import save_features


def main(images, out, network):
    extractor = get_extractor(model_name=network, source="timm", device="cpu", pretrained=True)
    backend = extractor.get_backend()
    seen = extractor.get_transformations(resize_dim=256, crop_dim=224)
    dataset = ImageDataset(root=images, out_path=out, backend=backend, transforms=seen)
    batches = DataLoader(dataset=dataset, batch_size=32, backend=backend)
    features = extractor.extract_features(
        batches=batches, module_name="global_pool", flatten_acts=True, output_type="ndarray"
    )
    save_features(features, out_path=out, file_format="npy")


if __name__ == "__main__":
    main(*sys.argv[1:])
