"""Imported first, it keeps a program that runs no network from importing torch, which takes seconds."""

from __future__ import annotations

import sys
from types import ModuleType

if "torch" not in sys.modules:
    stub = ModuleType("medfeat.extraction.network.preprocess")
    stub.__dict__.update(Preprocess=None, preprocess_list=None)  # what resizes images, and alone needs torch at once
    sys.modules[stub.__name__] = stub
