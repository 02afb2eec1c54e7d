"""Frozen means frozen: a fingerprint of every parameter and buffer, taken before and after."""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def fingerprint(module: torch.nn.Module) -> str:
    """Digest all parameters and buffers of a module, also the buffers that its state dict leaves out."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().data if plain.numel() else b"")
    return digest.hexdigest()
