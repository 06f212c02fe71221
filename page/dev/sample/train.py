"""Tries penalties over all files. A sample for the page: it is shown, not run."""

from __future__ import annotations

from pathlib import Path

import features
import model

import manyhands

PENALTIES = [10.0**power for power in range(-6, 4)]
NAMES = ["age", "height", "weight", "pulse"]


@manyhands.cache("work/cache")
def prepared(path: Path) -> list[list[float]]:
    return features.features(features.load(path), NAMES)


def fit(path: Path, penalty: float) -> float:
    rows = prepared(path)
    targets = [row[0] for row in rows]
    half = len(rows) // 2
    fitted = model.solve(rows[:half], targets[:half], penalty)
    return model.score(fitted, rows[half:], targets[half:])


if __name__ == "__main__":
    files = sorted(Path("data").glob("*.jsonl"))
    board = manyhands.share({})
    for penalty in PENALTIES:
        scores = manyhands.map(fit, files, [penalty] * len(files), workers=64)
        board[penalty] = sum(scores) / len(files)
    print(max(board.items(), key=lambda item: item[1]))
