"""What the tests of ``manyhands.compat.joblib`` run in workers."""

from __future__ import annotations

import os

from manyhands.compat.joblib import Parallel, delayed
from manyhands.compat.joblib.parallel import get_active_backend


def square(x):
    return x * x


def add(x, y=0):
    return x + y


def pid(*_):
    return os.getpid()


def fail(x):
    if x == 3:
        raise KeyError(x)
    return x


def interrupt():
    raise KeyboardInterrupt


def leave():
    raise SystemExit(4)


def nested(x):
    backend, n_jobs = get_active_backend()
    pids = set(Parallel(n_jobs=2)(delayed(pid)(y) for y in range(4)))
    return type(backend).__name__, backend.nesting_level, n_jobs, os.getpid(), pids


def levels(depth):
    with Parallel(n_jobs=2) as parallel:
        here = type(parallel._backend).__name__, parallel._backend.nesting_level
        return [here] if not depth else [here, *parallel([delayed(levels)(depth - 1)])[0]]


def described(array):
    return type(array).__name__, getattr(array, "mode", None), array.flags.writeable, array.tolist()


def file_of(array):
    return str(array.filename)


def write(array, index, value):
    array[index] = value
    return array


def threads():
    return os.environ["OMP_NUM_THREADS"]


def begin(folder):
    with open(os.path.join(folder, str(os.getpid())), "a", encoding="utf-8") as file:
        file.write("x")


MADE_LATER = None


def inner_that_uses_a_global():
    def inner():
        return MADE_LATER

    return inner
