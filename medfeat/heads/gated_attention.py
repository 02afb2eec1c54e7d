"""The arithmetic of gated attention over bags: scores, loss and gradients of a small network, in numpy.

Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018 (arXiv:1802.04712), equation 9: a
vector e of a bag gets the weight softmax over the bag of w . (tanh(V e) * sigmoid(U e)); the weighted mean of the
vectors is what a linear layer sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Link = Literal["softmax", "sigmoid", "identity"]
Weights = dict[str, Array]
Present = NDArray[np.bool_] | None
# Adam's own (Kingma and Ba, ICLR 2015).
_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8


def even(out: Array, out_bias: Array, hidden: int, *, seed: int) -> Weights:
    """Return weights that look at every vector alike: training begins at a linear layer on the mean over the bag.

    Parameters
    ----------
    out, out_bias
        (d, c) and (c,) of the linear layer; their type is that of all weights.
    hidden
        Width of the gate.
    seed
        Of V and U.

    Returns
    -------
    dict
        ``gate`` (d, 2 hidden) of V and U side by side, ``gate_bias`` (2 hidden,), ``look`` (hidden,) w, ``out`` and
        ``out_bias``.
    """
    dim, dtype = len(out), out.dtype
    drawn = np.random.default_rng(seed).normal(size=(dim, 2 * hidden)) / np.sqrt(dim)
    return {
        "gate": drawn.astype(dtype),
        "gate_bias": np.zeros(2 * hidden, dtype),
        "look": np.zeros(hidden, dtype),
        "out": out.copy(),
        "out_bias": out_bias.copy(),
    }


def attend(E: Array, weights: Weights, present: Present = None) -> tuple[Array, Array, Array]:
    """Return (n, P) attention, and the two halves (n P, hidden) of the gate, of (n, P, d) vectors.

    What is not `present` (n, P) gets no attention, and so changes nothing else.
    """
    n, vectors, dim = E.shape
    halves = E.reshape(n * vectors, dim) @ weights["gate"] + weights["gate_bias"]
    hidden = halves.shape[1] // 2
    tanh, sigmoid = np.tanh(halves[:, :hidden]), _sigmoid(halves[:, hidden:])
    said = ((tanh * sigmoid) @ weights["look"]).reshape(n, vectors)
    said = said if present is None else np.where(present, said, -np.inf)
    odds = np.exp(said - said.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True), tanh, sigmoid


def outputs(E: Array, weights: Weights, gain: Array, present: Present = None) -> tuple[Array, Array]:
    """Return (n, c) outputs before the link, and (n, P) attention, of (n, P, d) vectors.

    The weighted mean of a bag is multiplied by `gain` (d,): means vary less than what they are means of.
    """
    attention, _, _ = attend(E, weights, present)
    pooled = np.matmul(attention[:, None, :], E)[:, 0] * gain
    return pooled @ weights["out"] + weights["out_bias"], attention


def linked(found: Array, link: Link) -> Array:
    """Return probabilities (or numbers) of outputs."""
    if link == "softmax":
        odds = np.exp(found - found.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))
    return _sigmoid(found) if link == "sigmoid" else found


def loss(found: Array, targets: Array, link: Link) -> float:
    """Return the mean loss a sample: cross-entropy, its sum over labels, or half the squared error over targets."""
    if link == "identity":
        return float(np.square(found - targets).sum(axis=1).mean() / 2)
    if link == "softmax":
        top = found.max(axis=1, keepdims=True)
        spread = np.log(np.exp(found - top).sum(axis=1)) + top[:, 0]
        return float((spread * targets.sum(axis=1) - (found * targets).sum(axis=1)).mean())
    return float((np.logaddexp(0, found) - found * targets).sum(axis=1).mean())


def gradients(
    E: Array,
    targets: Array,
    weights: Weights,
    *,
    gain: Array,
    link: Link,
    counts: Array | None = None,
    penalty: float = 0.0,
    present: Present = None,
) -> Weights:
    """Return the gradient of the mean loss over a batch and of an L2 penalty on the linear layer.

    Parameters
    ----------
    E, targets
        (n, P, d) vectors and (n, c) targets.
    weights, gain, link
        As `outputs` and `linked` take them.
    counts
        (n, c) how much each output of a sample counts; None for 1.
    penalty
        Of half the squares of ``out``.
    present
        (n, P) which vectors there are; None for all.
    """
    n, vectors, dim = E.shape
    attention, tanh, sigmoid = attend(E, weights, present)
    pooled = np.matmul(attention[:, None, :], E)[:, 0] * gain
    wrong = linked(pooled @ weights["out"] + weights["out_bias"], link) - targets
    wrong = (wrong if counts is None else wrong * counts) / n
    back = (wrong @ weights["out"].T) * gain
    seen = np.matmul(E, back[:, :, None])[:, :, 0]
    said = (attention * (seen - (attention * seen).sum(axis=1, keepdims=True))).reshape(-1)
    through = said[:, None] * weights["look"]
    halves = np.concatenate(
        [through * sigmoid * (1 - np.square(tanh)), through * tanh * sigmoid * (1 - sigmoid)], axis=1
    )
    return {
        "gate": E.reshape(n * vectors, dim).T @ halves,
        "gate_bias": halves.sum(axis=0),
        "look": (tanh * sigmoid).T @ said,
        "out": pooled.T @ wrong + penalty * weights["out"],
        "out_bias": wrong.sum(axis=0),
    }


@dataclass
class Adam:
    """Adam.

    Attributes
    ----------
    rate
        Of a step.
    """

    rate: float
    steps: int = 0
    first: Weights = field(default_factory=dict)
    second: Weights = field(default_factory=dict)

    def step(self, weights: Weights, slopes: Weights) -> None:
        """Move the weights, in place."""
        self.steps += 1
        for name, slope in slopes.items():
            m = self.first.setdefault(name, np.zeros_like(slope))
            v = self.second.setdefault(name, np.zeros_like(slope))
            m += (1 - _FIRST) * (slope - m)
            v += (1 - _SECOND) * (np.square(slope) - v)
            size = np.sqrt(v / (1 - _SECOND**self.steps)) + _EPSILON
            weights[name] -= self.rate / (1 - _FIRST**self.steps) * m / size


def _sigmoid(values: Array) -> Array:
    odds = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1, odds) / (1 + odds), values.dtype)
