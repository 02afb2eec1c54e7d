"""The page on heads is made from the code, and says of gamma what scikit-learn does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from medfeat.heads import HEADS, all_heads
from medfeat.heads.page import page
from medfeat.heads.standardise import Standardiser
from medfeat.heads.svm import SupportProbe

PAGE = Path(__file__).resolve().parents[3] / "docs" / "heads.md"


def test_the_page_is_made_from_the_code_and_names_every_head():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python tools/make_docs.py`"
    assert all(f"| `{name}` |" in page() for name in all_heads() if name not in HEADS.packages())


def test_a_width_of_one_is_the_gamma_that_scikit_learn_calls_scale():
    X = np.random.default_rng(0).normal(3, 2, (40, 7))
    y = (X[:, :1] + X[:, 1:2] > 6).astype(np.int64)
    Z = Standardiser.fit(X).transform(X)
    theirs = SVC(C=1.0, gamma="scale").fit(Z, y[:, 0]).decision_function(Z)
    np.testing.assert_allclose(SupportProbe(1.0, width=1.0).fit(X, y).margins(X)[:, 0], theirs, atol=1e-3)
