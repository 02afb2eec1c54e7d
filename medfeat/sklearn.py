"""A frozen backbone as a scikit-learn transformer: images in, embeddings out, each image embedded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from medfeat.backbones import Entry
from medfeat.errors import UsageError
from medfeat.workflows.embed import embed

__all__ = ["Embedder"]


class Embedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Turns images into the embeddings of a frozen backbone, for pipelines and searches of scikit-learn.

    Nothing is learnt from the data: `fit` embeds the images, which a `transform` of the same images then finds in the
    cache, as does every later process. Under cross-validation no image is embedded twice.

    Parameters
    ----------
    backbone
        A name, or a network of your own, from `medfeat.backbone_from`.
    intensity, weights, seed, pool, layer, slices, precision, batch_size, device, cache_dir, offline
        As `medfeat.extract` takes them.
    geometry
        What `medfeat.extract` calls ``fit``: ``whole``, ``reference`` or ``pad``.

    Attributes
    ----------
    n_features_out_
        Length of an embedding.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(Embedder("resnet18"), LogisticRegression())
    """

    def __init__(
        self,
        backbone: str | Entry = "resnet18",
        *,
        intensity: str | None = None,
        weights: str | Path | None = None,
        seed: int = 0,
        pool: str | None = None,
        layer: str | None = None,
        slices: str | None = None,
        geometry: str = "whole",
        precision: str = "fp32",
        batch_size: int | str = "auto",
        device: str = "auto",
        cache_dir: str | Path | None = None,
        offline: bool = False,
    ) -> None:
        self.backbone = backbone
        self.intensity = intensity
        self.weights = weights
        self.seed = seed
        self.pool = pool
        self.layer = layer
        self.slices = slices
        self.geometry = geometry
        self.precision = precision
        self.batch_size = batch_size
        self.device = device
        self.cache_dir = cache_dir
        self.offline = offline

    def fit(self, X: object, y: object = None) -> Embedder:
        """Embed the images, to know the length of an embedding; `y` is not looked at."""
        del y
        self.n_features_out_ = self._embedded(X).shape[1]
        return self

    def fit_transform(self, X: object, y: object = None) -> NDArray[np.float32]:
        """Fit, and return the (n, d) float32 embeddings."""
        del y
        found = self._embedded(X)
        self.n_features_out_ = found.shape[1]
        return found

    def transform(self, X: object) -> NDArray[np.float32]:
        """Return the (n, d) float32 embeddings of n paths, Pillow images, arrays or tensors."""
        check_is_fitted(self)
        return self._embedded(X)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the (d,) names of the columns: the backbone's, and a number."""
        del input_features
        check_is_fitted(self)
        backbone = self.backbone.info.name if isinstance(self.backbone, Entry) else str(self.backbone)
        return np.array([f"{backbone}_{column}" for column in range(self.n_features_out_)], dtype=object)

    def _embedded(self, X: object) -> NDArray[np.float32]:
        return embed(
            _images(X),
            self.backbone,
            intensity=self.intensity,
            weights=self.weights,
            seed=self.seed,
            pool=self.pool,
            layer=self.layer,
            slices=self.slices,
            fit=self.geometry,
            precision=self.precision,
            batch_size=self.batch_size,
            device=self.device,
            cache_dir=self.cache_dir,
            offline=self.offline,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _images(X: Any) -> object:
    """Return images one by one: what scikit-learn hands on is an array, a list, or a column of paths."""
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray) and X.dtype.kind in "OU":
        X = X.reshape(-1).tolist() if X.ndim == 1 or X.shape[1:] == (1,) else X
    if isinstance(X, (str, Path)):
        raise UsageError("X is a list of images or paths, or an array (n, H, W[, 3]); got one path")
    if isinstance(X, np.ndarray) and X.ndim < 3:
        raise UsageError(f"X must be images, an array (n, H, W[, 3]) or a list, got an array of shape {X.shape}")
    return X
