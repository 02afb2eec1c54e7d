"""What the synthetic sets show; each scene draws one chunk of pictures from their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.made_up.canvas import Array, Canvas, Dice

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]

_PLASMA = np.array([0.95, 0.89, 0.86])
_RED_CELL = np.array([0.89, 0.68, 0.67])
_RED_PALLOR = np.array([0.94, 0.80, 0.78])
_NUCLEUS = np.array([0.42, 0.24, 0.56])


@dataclass(frozen=True)
class _Cell:
    """How a kind of white cell looks, as (low, high) each; neighbours in blood overlap here too."""

    name: str
    radius: tuple[float, float]
    lobes: int
    filling: tuple[float, float]
    indent: tuple[float, float]
    body: tuple[float, float, float]
    granules: int
    grain: tuple[float, float, float]


CELLS = (
    _Cell("basophil-like", (0.48, 0.62), 2, (0.50, 0.62), (0, 0.1), (0.72, 0.60, 0.78), 12, (0.27, 0.15, 0.42)),
    _Cell("eosinophil-like", (0.52, 0.66), 2, (0.42, 0.52), (0, 0.1), (0.90, 0.68, 0.66), 12, (0.84, 0.44, 0.38)),
    _Cell("erythroblast-like", (0.34, 0.48), 1, (0.58, 0.72), (0, 0.04), (0.66, 0.62, 0.78), 0, (0.5, 0.4, 0.6)),
    _Cell("granulocyte-like", (0.56, 0.74), 1, (0.62, 0.74), (0.10, 0.26), (0.76, 0.66, 0.78), 6, (0.50, 0.30, 0.55)),
    _Cell("lymphocyte-like", (0.40, 0.56), 1, (0.76, 0.88), (0, 0.08), (0.66, 0.68, 0.86), 0, (0.5, 0.4, 0.6)),
    _Cell("monocyte-like", (0.58, 0.76), 1, (0.58, 0.72), (0.28, 0.48), (0.74, 0.70, 0.80), 2, (0.60, 0.45, 0.62)),
    _Cell("neutrophil-like", (0.52, 0.68), 4, (0.34, 0.42), (0, 0.1), (0.88, 0.74, 0.78), 5, (0.76, 0.54, 0.66)),
    _Cell("platelet-like", (0.16, 0.30), 0, (0.1, 0.1), (0, 0), (0.66, 0.50, 0.72), 3, (0.48, 0.30, 0.58)),
)


def blood(labels: Labels, size: int, dice: Dice) -> Pixels:
    """Draw a stained smear with one white cell, whose kind is the label, among red ones."""
    canvas = _smear(len(labels), size, dice, red_cells=5)
    kinds = [CELLS[label] for label in labels[:, 0]]
    _white_cell(canvas, dice, kinds)
    return _stained(canvas, dice)


def findings(labels: Labels, size: int, dice: Dice) -> Pixels:
    """Draw a smear in which each of four findings is there or not."""
    count = len(labels)
    canvas = _smear(count, size, dice, red_cells=7)
    parasite, sickle, platelets, blast = (labels[:, i].astype(np.float64) for i in range(4))
    _sickles(canvas, dice, sickle)
    lymphocyte = CELLS[4]
    _white_cell(canvas, dice, [lymphocyte] * count, present=blast, wander=0.5, scale=0.75)
    cx, cy = dice.between(-0.6, 0.6, count), dice.between(-0.6, 0.6, count)
    for _ in range(4):
        spot = canvas.disc(cx + dice.between(-0.2, 0.2, count), cy + dice.between(-0.2, 0.2, count), _full(count, 0.09))
        canvas.paint(spot * platelets[:, None, None] * 0.9, np.array([0.60, 0.46, 0.70]))
    _parasites(canvas, dice, parasite)
    return _stained(canvas, dice)


def mass(labels: Labels, size: int, dice: Dice) -> Pixels:
    """Draw an ultrasound-like grey picture of a mass: irregular and spiculated (0), or smooth (1)."""
    count = len(labels)
    canvas = Canvas.filled(count, size, dice.between(0.38, 0.58, count, 1) * np.ones(3))
    _layers(canvas, dice)
    rough = labels[:, 0] == 0
    cx, cy = dice.between(-0.3, 0.3, count), dice.between(-0.25, 0.25, count)
    waves = {
        2: dice.between(0.02, 0.22, count),
        7: np.where(rough, dice.between(0.06, 0.20, count), dice.between(0.0, 0.05, count)),
        11: np.where(rough, dice.between(0.03, 0.12, count), 0.0),
    }
    body = canvas.blob(cx, cy, dice.between(0.3, 0.55, count), waves, dice.angle(count))
    canvas.paint(body * dice.between(0.6, 0.95, count)[:, None, None], dice.between(0.08, 0.30, count, 1) * np.ones(3))
    shadow = np.clip(canvas.y - cy[:, None, None], 0, 1) * (abs(canvas.x - cx[:, None, None]) < 0.3)
    canvas.shade(1.0 - 0.4 * shadow * dice.between(0.0, 1.0, count)[:, None, None])
    speckle = dice.noise(count, size, size)
    canvas.shade(np.clip(1.0 + 0.45 * speckle, 0.2, 2.0))
    return _grey(canvas.finish(dice, 0.0))


def fundus(labels: Labels, size: int, dice: Dice) -> Pixels:
    """Draw an eye background with more lesions the higher the grade, 0 to 4."""
    count, grade = len(labels), labels[:, 0].astype(np.float64)
    canvas = Canvas.filled(count, size, np.array([0.02, 0.02, 0.02]))
    orange = np.array([0.70, 0.34, 0.16]) * dice.between(0.65, 1.2, count, 1)
    eye = canvas.disc(dice.between(-0.05, 0.05, count), dice.between(-0.05, 0.05, count), _full(count, 0.93))
    canvas.paint(eye, orange)
    side = np.where(dice.between(0, 1, count) < 0.5, -1.0, 1.0)
    nerve_x, nerve_y = side * dice.between(0.40, 0.55, count), dice.between(-0.12, 0.12, count)
    _vessels(canvas, dice, nerve_x, nerve_y, eye)
    canvas.paint(canvas.disc(nerve_x, nerve_y, dice.between(0.13, 0.18, count)), np.minimum(orange * 1.9, 1.0))
    canvas.paint(0.5 * canvas.disc(-side * 0.15, nerve_y, dice.between(0.14, 0.2, count)), orange * 0.6)
    many = np.rint(grade * 3.0 + dice.between(-1.4, 1.4, count))
    for number in range(13):
        seen = (number < many).astype(np.float64)[:, None, None]
        far, angle = np.sqrt(dice.between(0.02, 0.62, count)), dice.angle(count)
        spot = canvas.disc(far * np.cos(angle), far * np.sin(angle), dice.between(0.04, 0.085, count))
        bright = np.array([0.95, 0.85, 0.45]) if number % 3 == 2 else np.array([0.38, 0.05, 0.04])
        canvas.paint(spot * seen * 0.85, bright)
    return canvas.finish(dice, 0.035)


def vessel(labels: Labels, size: int, dice: Dice) -> Pixels:
    """Draw volumes (n, D, H, W) of a bent tube, which bulges somewhere (1) or not (0)."""
    count = len(labels)
    axis = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    drawn = np.empty((count, size, size, size))
    radius, bend, phase = dice.between(0.12, 0.24, count), dice.between(0.1, 0.4, count), dice.angle(count, 2)
    along, swell = dice.between(-0.6, 0.6, count), dice.between(1.4, 2.3, count)
    turn, light = dice.between(0, 3, count).astype(int), dice.between(0.6, 1.0, count)
    off = dice.between(-0.25, 0.25, count, 2)
    for i in range(count):
        cx = off[i, 0] + bend[i] * np.sin(2.2 * z + phase[i, 0])
        cy = off[i, 1] + bend[i] * np.sin(1.7 * z + phase[i, 1])
        bulge = labels[i, 0] * (swell[i] - 1.0) * np.exp(-(((z - along[i]) / 0.22) ** 2))
        wide = radius[i] * (1.0 + bulge + 0.12 * np.sin(5.0 * z + phase[i, 0]))
        depth = wide - np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
        drawn[i] = np.moveaxis(np.clip(depth * (size / 2.0) + 0.5, 0.0, 1.0) * light[i], 0, turn[i])
    noisy = drawn + 0.08 * dice.noise(*drawn.shape)
    return np.rint(np.clip(noisy, 0.0, 1.0) * 255.0).astype(np.uint8)


def _smear(count: int, size: int, dice: Dice, *, red_cells: int) -> Canvas:
    canvas = Canvas.filled(count, size, _PLASMA * dice.between(0.94, 1.03, count, 1))
    start = dice.angle(count)
    for number in range(red_cells):
        angle = start + number * (2.0 * np.pi / red_cells) + dice.between(-0.35, 0.35, count)
        far, radius = dice.between(0.72, 1.15, count), dice.between(0.27, 0.40, count)
        cx, cy = far * np.cos(angle), far * np.sin(angle)
        canvas.paint(canvas.disc(cx, cy, radius) * 0.9, _RED_CELL)
        canvas.paint(canvas.disc(cx, cy, radius * 0.42) * 0.6, _RED_PALLOR)
    return canvas


def _white_cell(
    canvas: Canvas,
    dice: Dice,
    kinds: list[_Cell],
    *,
    present: Array | None = None,
    wander: float = 0.16,
    scale: float = 1.0,
) -> None:
    count = len(kinds)
    seen = (np.ones(count) if present is None else present)[:, None, None]
    cx, cy = dice.between(-wander, wander, count), dice.between(-wander, wander, count)
    radius = scale * _pick(dice, [kind.radius for kind in kinds])
    waves = {2: dice.between(0.0, 0.09, count), 3: dice.between(0.0, 0.07, count)}
    tint = dice.between(-0.05, 0.05, count, 3)
    body = canvas.blob(cx, cy, radius, waves, dice.angle(count)) * seen
    canvas.paint(body * 0.93, np.array([kind.body for kind in kinds]) + tint)
    _granules(canvas, dice, kinds, (cx, cy, radius), body)
    nucleus = _nucleus(canvas, dice, kinds, (cx, cy, radius)) * body
    canvas.paint(nucleus * 0.92, _NUCLEUS + tint + dice.between(-0.05, 0.05, count, 1))


def _nucleus(canvas: Canvas, dice: Dice, kinds: list[_Cell], where: tuple[Array, Array, Array]) -> Array:
    """Return the coverage of the nuclei: round, indented, or of several lobes on an arc."""
    (cx, cy, radius), count = where, len(kinds)
    lobes = np.array([kind.lobes for kind in kinds])
    size = radius * _pick(dice, [kind.filling for kind in kinds])
    angle = dice.angle(count)
    covered = np.zeros((count, *canvas.x.shape))
    for number in range(4):
        spread = np.where(lobes == 1, 0.0, 1.0)
        turn = angle + number * np.where(lobes == 2, 2.6, 1.25) + dice.between(-0.25, 0.25, count)
        far = spread * radius * dice.between(0.36, 0.48, count)
        long, short = size * dice.between(0.95, 1.1, count), size * dice.between(0.8, 0.95, count)
        lobe = canvas.ellipse(cx + far * np.cos(turn), cy + far * np.sin(turn), long, short, turn)
        covered = np.maximum(covered, lobe * (number < lobes)[:, None, None])
    deep = _pick(dice, [kind.indent for kind in kinds])
    bite = canvas.disc(cx + size * 0.95 * np.cos(angle), cy + size * 0.95 * np.sin(angle), size * deep * 1.7 + 1e-6)
    bitten: Array = covered * (1.0 - bite * (deep > 0.12)[:, None, None])
    return bitten


def _granules(canvas: Canvas, dice: Dice, kinds: list[_Cell], where: tuple[Array, Array, Array], body: Array) -> None:
    (cx, cy, radius), count = where, len(kinds)
    many = np.array([kind.granules for kind in kinds])
    colour = np.array([kind.grain for kind in kinds])
    for number in range(max(kind.granules for kind in CELLS)):
        far, angle = radius * np.sqrt(dice.between(0.05, 0.9, count)), dice.angle(count)
        spot = canvas.disc(cx + far * np.cos(angle), cy + far * np.sin(angle), dice.between(0.05, 0.085, count))
        canvas.paint(spot * body * (number < many)[:, None, None] * 0.8, colour)


def _sickles(canvas: Canvas, dice: Dice, present: Array) -> None:
    count = len(present)
    for _ in range(2):
        cx, cy, angle = dice.between(-0.7, 0.7, count), dice.between(-0.7, 0.7, count), dice.angle(count)
        long = dice.between(0.38, 0.5, count)
        bow = canvas.ellipse(cx, cy, long, long * 0.42, angle)
        bite = canvas.ellipse(
            cx - 0.24 * long * np.sin(angle), cy + 0.24 * long * np.cos(angle), long * 0.95, long * 0.36, angle
        )
        canvas.paint(bow * (1.0 - bite) * present[:, None, None], np.array([0.80, 0.50, 0.52]))


def _parasites(canvas: Canvas, dice: Dice, present: Array) -> None:
    count = len(present)
    cx, cy = dice.between(-0.55, 0.55, count), dice.between(-0.55, 0.55, count)
    seen = present[:, None, None]
    canvas.paint(canvas.disc(cx, cy, _full(count, 0.36)) * seen * 0.9, _RED_CELL)
    ring = canvas.disc(cx, cy, _full(count, 0.19)) - canvas.disc(cx, cy, _full(count, 0.10))
    canvas.paint(np.clip(ring, 0, 1) * seen * 0.8, np.array([0.50, 0.36, 0.66]))
    angle = dice.angle(count)
    dot = canvas.disc(cx + 0.16 * np.cos(angle), cy + 0.16 * np.sin(angle), _full(count, 0.075))
    canvas.paint(dot * seen, np.array([0.36, 0.12, 0.42]))


def _stained(canvas: Canvas, dice: Dice) -> Pixels:
    """Vary stain and light from picture to picture, so that colour alone does not name the cell."""
    count = len(canvas.pixels)
    stain, light = dice.between(0.88, 1.08, count, 3), dice.between(0.85, 1.08, count)
    slope = dice.between(-0.07, 0.07, count, 2)
    ramp = 1.0 + slope[:, 0, None, None] * canvas.x + slope[:, 1, None, None] * canvas.y
    canvas.shade((light[:, None, None] * ramp)[..., None] * stain[:, None, None, :])
    return canvas.finish(dice, 0.05)


def _layers(canvas: Canvas, dice: Dice) -> None:
    count = len(canvas.pixels)
    for waves in (2.0, 4.5, 9.0):
        phase, tilt = dice.angle(count)[:, None, None], dice.between(-0.4, 0.4, count)[:, None, None]
        canvas.shade(1.0 + 0.16 * np.sin(waves * (canvas.y + tilt * canvas.x) + phase))


def _vessels(canvas: Canvas, dice: Dice, nerve_x: Array, nerve_y: Array, eye: Array) -> None:
    count, dark = len(nerve_x), np.array([0.45, 0.12, 0.08])
    dx, dy = canvas.away(nerve_x, nerve_y)
    outward = -np.sign(nerve_x)[:, None, None] * dx
    for sign in (-1.0, 1.0):
        rise, curve = dice.between(0.5, 0.9, count)[:, None, None], dice.between(0.35, 0.6, count)[:, None, None]
        arc = sign * (rise * np.sqrt(np.clip(outward, 0.0, None)) - curve * np.clip(outward, 0.0, None) ** 2)
        stroke = canvas.edge(0.035 - abs(dy - arc)) * (outward > 0)
        canvas.paint(stroke * eye * 0.8, dark)


def _pick(dice: Dice, ranges: list[tuple[float, float]]) -> Array:
    low, high = np.array(ranges, dtype=np.float64).T
    picked: Array = low + (high - low) * dice.between(0.0, 1.0, len(ranges))
    return picked


def _full(count: int, value: float) -> Array:
    return np.full(count, value)


def _grey(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[..., 0])
