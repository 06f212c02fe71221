"""scikit-learn on manyhands: the scores are those that it gives on loky, to the bit. Where it is installed: `make scikit-learn`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

pytest.importorskip("sklearn")


@pytest.mark.timeout(300)
def test_the_scores_are_the_same():
    command = [sys.executable, "-m", "benchmarks.scikit_learn", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.endswith("| yes |")]
    assert len(rows) == 7


# ------------------------------------------------------------ steps that are remembered

# A step that says when it is fitted. In a module of its own: what a script defines, joblib cannot hash in its workers.
STEPS = """
import os
from sklearn.base import BaseEstimator, TransformerMixin


class Centred(TransformerMixin, BaseEstimator):
    def __init__(self, factor=1):
        self.factor = factor

    def fit(self, x, y=None):
        with open(os.environ["FITS"], "a") as file:
            file.write("x")
        self.mean_ = x.mean(0) * self.factor
        return self

    def transform(self, x):
        return x - self.mean_
"""

PROGRAM = """
    {setting_up}
    import json, os, sys
    import joblib
    from sklearn.base import clone
    from sklearn.cluster import FeatureAgglomeration
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.svm import SVC
    {steps}

    folder = sys.argv[1]
    memory = {memory}
    x, y = load_digits(return_X_y=True)
    x, y = x[:300], y[:300]
    results, fits = [], []

    def say(result):
        results.append(result)
        fits.append(os.path.getsize(os.environ["FITS"]))

    pipeline = Pipeline([("centred", Centred()), ("pca", PCA(10, random_state=0)), ("svc", SVC())], memory=memory)
    say(pipeline.fit(x, y).predict(x).tolist())
    say(clone(pipeline).fit(x, y).predict(x).tolist())
    say(clone(pipeline).set_params(centred__factor=2).fit(x, y).predict(x).tolist())
    for _ in range(2):
        grid = GridSearchCV(clone(pipeline), {{"svc__C": [0.1, 1, 10], "centred__factor": [1, 2]}}, cv=3, n_jobs=2).fit(x, y)
        say(grid.cv_results_["mean_test_score"].tolist())
    for _ in range(2):
        say(FeatureAgglomeration(n_clusters=10, memory=memory).fit(x).labels_.tolist())
    print(json.dumps([results, fits]))
"""

# How often by then: what has been fitted is loaded, and of the six folds and factors of the search each is fitted once.
FITS = [1, 1, 2, 8, 8, 8, 8]
INSTALL = "import manyhands.compat; manyhands.compat.install('joblib')"


def said(folder, setting_up, memory, steps="from steps import Centred"):
    """What comes out of each fit, and how often the step had been fitted by then."""
    (folder / "steps.py").write_text(STEPS)
    (folder / "fits").touch()
    program = PROGRAM.format(setting_up=setting_up, memory=memory, steps=steps.replace("\n", "\n    "))
    path = [str(folder), *filter(None, [scripts.environment()["PYTHONPATH"]])]
    done = scripts.run(program, str(folder / "store"), seconds=100, FITS=str(folder / "fits"), PYTHONPATH=":".join(path))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def with_joblib(tmp_path_factory):
    return said(tmp_path_factory.mktemp("joblib"), "", "joblib.Memory(folder, verbose=0)")


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("setting_up", "memory"),
    [
        ("import manyhands", "manyhands.Memory(folder)"),
        ("import manyhands; manyhands.register_joblib(make_default=True)", "manyhands.Memory(folder)"),
        (INSTALL, "manyhands.Memory(folder)"),
        (INSTALL, "joblib.Memory(folder, verbose=0)"),
        (INSTALL, "folder"),
    ],
    ids=["direct", "backend", "installed", "installed, as joblib.Memory", "installed, a folder"],
)
def test_steps_are_remembered(tmp_path, with_joblib, setting_up, memory):
    results, fits = said(tmp_path, setting_up, memory)
    assert results == with_joblib[0]
    assert fits == FITS


@pytest.mark.timeout(200)
@pytest.mark.parametrize("setting_up", ["import manyhands", INSTALL])
def test_steps_that_the_script_defines(tmp_path, with_joblib, setting_up):
    assert said(tmp_path, setting_up, "manyhands.Memory(folder)", steps=STEPS) == [with_joblib[0], FITS]
