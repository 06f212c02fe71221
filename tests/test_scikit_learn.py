"""scikit-learn on manyhands: the scores are those that it gives on loky, to the bit. Where it is installed: `make scikit-learn`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")


@pytest.mark.timeout(300)
def test_the_scores_are_the_same():
    command = [sys.executable, "-m", "benchmarks.scikit_learn", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.endswith("| yes |")]
    assert len(rows) == 7
