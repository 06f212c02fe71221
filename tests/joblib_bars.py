"""As much of tqdm as programs use with joblib, and how they put it in."""

from __future__ import annotations

import contextlib

from manyhands.compat.joblib import parallel as names


class Bar:
    """As much of tqdm as the recipes use."""

    def __init__(self):
        self.n, self.total, self.seen = 0, None, []

    def update(self, n=1):
        self.n += n
        self.seen.append(self.n)

    def refresh(self):
        self.seen.append(self.n)


@contextlib.contextmanager
def tqdm_joblib(bar):
    class Told(names.BatchCompletionCallBack):
        def __call__(self, *args, **kwargs):
            bar.update(n=self.batch_size)
            return super().__call__(*args, **kwargs)

    before = names.BatchCompletionCallBack
    names.BatchCompletionCallBack = Told
    try:
        yield bar
    finally:
        names.BatchCompletionCallBack = before
