"""Heads: what is trained on cached embeddings. Importing this package loads neither scikit-learn, XGBoost nor torch."""

from __future__ import annotations

from medfeat.heads.registry import HEADS, LazyHead, describe

__all__ = ["HEADS", "LazyHead", "describe"]
