"""scikit-learn on manyhands beside loky and Dask: ``python -m benchmarks.scikit_learn [--quick]``. The same scores to the bit, and time.

Each backend runs in a process of its own. ``manyhands`` is the backend of joblib (``register_joblib``); ``installed`` is manyhands in the
place of joblib (``compat.install("joblib")``). Dask is taken along where ``dask[distributed]`` is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS = ("loky", "manyhands", "installed", "dask")
WORKERS = 2


def jobs(*, quick: bool) -> dict[str, Callable[[], Any]]:
    """What is trained: name, and a function that gives an array of scores."""
    from sklearn.datasets import load_digits, make_classification
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    x, y = load_digits(return_X_y=True)
    if quick:
        x, y = x[:300], y[:300]
    trees = 10 if quick else 100
    rows = 5_000 if quick else 200_000
    wide, target = make_classification(n_samples=rows, n_features=100, random_state=0)  # 160 MB

    def small_grid() -> Any:
        grid = {"C": [0.1, 1, 10, 100], "gamma": [1e-4, 1e-3]}
        return GridSearchCV(SVC(), grid, n_jobs=WORKERS, cv=3).fit(x, y).cv_results_["mean_test_score"]

    def large_array() -> Any:
        grid = {"alpha": [0.1, 1.0, 10.0, 100.0]}
        return GridSearchCV(Ridge(solver="cholesky"), grid, n_jobs=WORKERS, cv=3).fit(wide, target).cv_results_["mean_test_score"]

    def validation() -> Any:
        model = GradientBoostingClassifier(n_estimators=trees // 10, random_state=0)
        return cross_val_score(model, x, y, cv=4, n_jobs=WORKERS)

    def scaled() -> Any:
        return cross_val_score(make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)), x, y, cv=6, n_jobs=WORKERS)

    def forest() -> Any:
        return RandomForestClassifier(trees, random_state=0, n_jobs=WORKERS).fit(x, y).predict_proba(x)

    def nested() -> Any:
        model = RandomForestClassifier(trees // 2, random_state=0, n_jobs=WORKERS)
        return cross_val_score(model, x, y, cv=4, n_jobs=WORKERS)

    def importance() -> Any:
        model = KNeighborsClassifier(5).fit(x, y)
        return permutation_importance(model, x[:200], y[:200], n_repeats=2, random_state=0, n_jobs=WORKERS).importances

    return {
        "GridSearchCV, small grid": small_grid,
        f"GridSearchCV, array of {wide.nbytes // 10**6} MB": large_array,
        "cross_val_score, boosting": validation,
        "cross_val_score, pipeline": scaled,
        "RandomForest": forest,
        "cross_val_score of forests": nested,
        "permutation_importance": importance,
    }


def measure(backend: str, *, quick: bool) -> dict[str, tuple[str, float]]:
    """In a process of its own: for each job the digest of its scores, and the median of its seconds."""
    import contextlib

    import joblib

    context: Any = contextlib.nullcontext()
    if backend == "manyhands":
        import manyhands

        manyhands.register_joblib()
        context = joblib.parallel_config(backend="manyhands")
    elif backend == "installed":
        from manyhands.compat import install

        install("joblib")
    elif backend == "dask":
        from dask.distributed import Client

        Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
        context = joblib.parallel_config(backend="dask")
    found = {}
    with context:
        for name, job in jobs(quick=quick).items():
            times = []
            for _ in range(1 if quick else 3):
                begin = time.perf_counter()
                scores = job()
                times.append(time.perf_counter() - begin)
            found[name] = hashlib.sha256(scores.tobytes()).hexdigest()[:12], statistics.median(times)
    return found


def table(results: dict[str, dict[str, tuple[str, float]]]) -> str:
    """A line for each job; loky's scores are what the others are compared with."""
    lines = ["| | " + " | ".join(f"{backend}, s" for backend in results) + " | same scores |", "|---|" + "--:|" * len(results) + "---|"]
    for job, (expected, _) in results["loky"].items():
        same = [backend for backend, found in results.items() if found[job][0] != expected]
        seconds = " | ".join(f"{found[job][1]:.3g}" for found in results.values())
        lines.append(f"| {job} | {seconds} | {'no: ' + ', '.join(same) if same else 'yes'} |")
    return "\n".join(lines)


def main() -> int:
    """Measure all backends, one after the other; 1 if any scores differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scikit_learn", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data, once")
    parser.add_argument("--only", choices=BACKENDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, quick=options.quick)))
        return 0
    results = {}
    for backend in BACKENDS:
        if backend == "dask" and importlib.util.find_spec("distributed") is None:
            print("Dask is not installed, left out.")
            continue
        command = [sys.executable, "-m", "benchmarks.scikit_learn", "--only", backend, *(["--quick"] if options.quick else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[backend] = json.loads(done.stdout.splitlines()[-1])
    print(table(results))
    return int("no: " in table(results))


if __name__ == "__main__":
    sys.exit(main())
