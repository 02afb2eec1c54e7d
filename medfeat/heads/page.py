"""The page docs/heads.md, made from the code: what each head does and which settings val chooses among."""

from __future__ import annotations

from collections.abc import Sequence

from medfeat.heads import attention, boosting, knn, linear, lp_plus, mlp, prototypes, ridge, svm, text_linear
from medfeat.heads.head_registry import HEADS, LazyHead, describe, learns
from medfeat.heads.inputs import CLASS_TASKS
from medfeat.types import TASK_TYPES

HEAD = """# Heads

What is trained on cached vectors. Every head tries the settings below, simplest first, and val (or folds, with
`--choose cv`) chooses among them, as the [protocol](protocol.md) says; `choice.json` of a run keeps them all with
their scores. The numbers on this page are those of the code: `make docs` writes it, a test compares the two. `medfeat
list heads` prints the names.

"""

REST = """
"Standardised" is (x - mean) / standard deviation of each feature over train; a feature constant there becomes zero. A
class that train never shows gets probability 0. `--class-weight balanced` lets rare classes (or a label and its
absence) count as much as common ones in `linear`, `knn`, `svm` and `attention`; `auto` tries both ways. Heads of your
own, and other grids: [extend](extend.md#a-head).

## linear

Logistic regression with an L2 penalty on standardised features, equal to scikit-learn's `LogisticRegression(C)`
behind a `StandardScaler`: a softmax over classes, a sigmoid for two classes and for each label; the intercept is
free. It minimises |w|² / 2 + C · (sum of the losses of train) until the objective is within 1e-8 of its minimum,
relatively (1e-6 above 8 million numbers, where products run in float32). C: {linear}. Ordered classes are taken as
classes.

## knn

The k train samples at the smallest angle vote, each with weight exp(cosine / temperature). k: {neighbours}, as far as
train has so many samples; temperature: {votes} (infinite: all k alike); features as they are, and standardised.
Regression: the weighted mean.

## svm

A machine with a radial kernel for each class against the rest (one for two classes; one a label), by libsvm as
scikit-learn has it, on standardised features. Kernel: exp(-gamma |x - z|²) with gamma = width / d over d features;
width: {widths}. Standardised samples are 2 d apart in the mean, so a width of 1 does not depend on the length of the
vectors. scikit-learn's `gamma="scale"` is a width of 1 on standardised features. C: {strengths}. Margins become
probabilities by Platt's sigmoid, fitted on val for each machine; probabilities of several classes are divided by
their sum. With folds, the part that is left out takes val's place. The kernel of train is held in memory: at most
{most_samples:,} samples.

## prototypes

The mean of each class's unit vectors; softmax over (cosine to it) / temperature; a label is its mean against that of
all others. Temperature: {prototypes}; features as they are, and standardised.

## lp++

For few labels: weights begin at the class means of unit vectors, and are moved some steps down the loss, each of a
length that cannot raise it (LP++, CVPR 2024); where the embedding is projected into the space of texts, cosines with
the texts are added, times a multiplier that is learnt a class. Steps: {steps}; features as they are, and
standardised.

## xgboost

Gradient-boosted trees by histograms of at most {max_bin} bins; of more than {most_features} features, those most
correlated with a class, label or target in train. Depth and learning rate: {boosting}. At most {max_rounds} rounds,
stopped when the loss on val has not fallen for {trees_patience} of them; each tree sees 80 % of the samples and half
the features. `--budget SECONDS` buys depths and rounds before training.

## ordinal

Proportional odds: one direction w, and a threshold between each two neighbouring classes, with the penalty and the
grid of `linear`. With two classes it is `linear`.

## ridge

Linear regression with an L2 penalty on standardised features, equal to scikit-learn's `Ridge(alpha)`. alpha:
{alphas}.

## mlp

One hidden layer of rectified units on standardised features, by scikit-learn's Adam, at most {epochs} passes over
train, fewer where the training loss no longer falls. Hidden units and L2 penalty: {mlp}. Numbers are standardised as
targets.

## attention

Where a sample is several vectors (slices, tokens, layers, a patient's images): gated attention with {hidden} hidden
units weighs them, and a linear layer reads their weighted mean. It starts from `linear` (or `ridge`) on the plain
mean, and is trained by Adam (rate {rate:g}, {batch} samples a step), at most {attention_rounds} rounds, stopped when
the loss on val has not fallen for {attention_patience} of them. C: {attention}.

## zero-shot and text-linear

For embeddings projected into the space of texts, see [classes in words](new-tasks.md#classes-in-words). `zero-shot`:
softmax of scaled cosines with the texts of each class; nothing is learnt. `text-linear`: these logits times a share,
plus logistic regression on standardised unit vectors, intercept penalised too. Share: {shares}; C: {text_linear}.

## auto and quick

The best candidate of each head that suits the task, and the means of two or three of them: [which stand
when](protocol.md#val-selects-test-is-read-once). `quick` leaves out those that train in rounds; `medfeat probe` asks
for it where no head is named, but for numbers.

## majority

The class frequencies of train (the mean, for numbers), whatever the image: the baseline that every card shows.
"""
_SHORT = {"ordinal-regression": "ordered classes", "regression": "numbers", "multi-label": "labels"}


def page() -> str:
    """Return the text of docs/heads.md."""
    built_in = [name for name in HEADS if name not in HEADS.packages() and isinstance(HEADS[name], LazyHead)]
    rows = [f"| `{name}` | {describe(name)} | {_learns(name)} |" for name in built_in]
    table = "\n".join(["| head | what it is | learns |", "|---|---|---|", *rows])
    return HEAD + table + "\n" + REST.format(
        linear=_grid(linear.GRID), neighbours=_list(knn.NEIGHBOURS), votes=_list(knn.TEMPERATURES),
        widths=_list(svm.WIDTHS), strengths=_list(svm.STRENGTHS), most_samples=svm.MOST_SAMPLES,
        prototypes=_list(prototypes.TEMPERATURES), steps=_list(lp_plus.STEPS), max_bin=boosting.MAX_BIN,
        most_features=boosting.MOST_FEATURES, max_rounds=boosting.MAX_ROUNDS, trees_patience=boosting.PATIENCE,
        boosting=_pairs([(one["depth"], one["rate"]) for one in boosting.SETTINGS]), alphas=_grid(ridge.ALPHAS),
        epochs=mlp.EPOCHS, mlp=_pairs([(one["hidden"], one["alpha"]) for one in mlp.SETTINGS]),
        hidden=attention.HIDDEN, rate=attention.RATE, batch=attention.BATCH, attention_rounds=attention.MAX_ROUNDS,
        attention_patience=attention.PATIENCE, attention=_list(attention.GRID), shares=_list(text_linear.SHARES),
        text_linear=_list(text_linear.GRID),
    )  # fmt: skip


def _learns(name: str) -> str:
    able = learns(name)
    if able == TASK_TYPES:
        return "everything"
    named = ["classes"] * (set(CLASS_TASKS) <= set(able)) + [_SHORT[one] for one in able if one in _SHORT]
    if set(CLASS_TASKS) <= set(able):
        named.remove("ordered classes")  # which are classes
    two = ["two classes"] * ("binary-class" in able and "classes" not in named)
    return ", ".join((*named, *two))


def _list(values: Sequence[float]) -> str:
    return ", ".join("infinite" if value == float("inf") else f"{value:g}" for value in values)


def _grid(values: Sequence[float]) -> str:
    return f"{len(values)} values from {values[0]:g} to {values[-1]:g}, half a power of ten apart"


def _pairs(values: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{first:g} with {second:g}" for first, second in values)
