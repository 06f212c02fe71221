"""Fits a ridge regression by coordinate descent. A sample for the page: it is shown, not run."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field


class Diverged(ArithmeticError):
    """The weights have grown beyond all bounds."""


@dataclass
class Model:
    """Weights, and how they came about."""

    weights: list[float]
    history: list[float] = field(default_factory=list)
    steps: int = 0

    def predict(self, row: list[float]) -> float:
        return sum(weight * value for weight, value in zip(self.weights, row, strict=True))


def initial(width: int, seed: int) -> Model:
    """Small random weights."""
    draw = random.Random(seed)
    return Model([draw.gauss(0.0, 0.01) for _ in range(width)])


def residuals(model: Model, rows: list[list[float]], targets: list[float]) -> list[float]:
    """What the model misses, row by row."""
    missed = []
    for row, target in zip(rows, targets, strict=True):
        missed.append(target - model.predict(row))
    return missed


def descend(model: Model, rows: list[list[float]], missed: list[float], penalty: float) -> float:
    """One round over all coordinates; gives how far the weights went."""
    moved = 0.0
    for column, weight in enumerate(model.weights):
        gradient = curvature = 0.0
        for row, miss in zip(rows, missed, strict=True):
            gradient += row[column] * miss
            curvature += row[column] * row[column]
        step = (gradient - penalty * weight) / (curvature + penalty)
        model.weights[column] = weight + step
        for index, row in enumerate(rows):
            missed[index] -= step * row[column]
        moved += abs(step)
    return moved


def solve(rows: list[list[float]], targets: list[float], penalty: float, *, seed: int = 0, tolerance: float = 1e-6) -> Model:
    """Fit a model.

    Raises:
        Diverged: the penalty is too small for the data.
    """
    model = initial(len(rows[0]), seed)
    missed = residuals(model, rows, targets)
    for step in range(1_000):
        moved = descend(model, rows, missed, penalty)
        loss = math.fsum(miss * miss for miss in missed) / len(missed)
        model.history.append(loss)
        model.steps = step + 1
        if not math.isfinite(loss):
            raise Diverged(f"after {step} steps, penalty {penalty:g}")
        if moved < tolerance:
            break
    else:
        model.history.clear()
    return model


def score(model: Model, rows: list[list[float]], targets: list[float]) -> float:
    """The share of the variance that is explained."""
    mean = math.fsum(targets) / len(targets)
    missed = residuals(model, rows, targets)
    total = math.fsum((target - mean) ** 2 for target in targets)
    if total == 0:
        return 0.0
    return 1 - math.fsum(miss * miss for miss in missed) / total
