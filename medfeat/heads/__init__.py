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

__all__ = [
    "HEADS",
    "LazyHead",
    "all_heads",
    "describe",
    "head_identity",
    "make_head",
    "may_read_texts",
    "reads_texts",
    "refuse_repetition",
    "refuse_unsuited",
    "takes_budget",
    "trusted_types",
    "weighted_head",
]
