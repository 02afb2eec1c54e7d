"""Heads: what is trained on cached embeddings. Importing this package loads neither scikit-learn, XGBoost nor torch."""

from __future__ import annotations

from medfeat.heads.head_registry import (
    HEADS,
    LazyHead,
    all_heads,
    describe,
    head_identity,
    make_head,
    may_read_texts,
    reads_texts,
    refuse_repetition,
    refuse_unsuited,
    takes_budget,
    trusted_types,
    weighted_head,
)
from medfeat.heads.held_heads import HeadsAsked, names_of_heads

__all__ = [
    "HEADS",
    "HeadsAsked",
    "LazyHead",
    "all_heads",
    "describe",
    "head_identity",
    "make_head",
    "may_read_texts",
    "names_of_heads",
    "reads_texts",
    "refuse_repetition",
    "refuse_unsuited",
    "takes_budget",
    "trusted_types",
    "weighted_head",
]
