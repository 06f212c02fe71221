"""Makes manyhands known to other libraries."""

from __future__ import annotations

from manyhands.errors import BackendMissing


def register_joblib(*, make_default: bool = False) -> None:
    """Make "manyhands" a backend of joblib, and so of scikit-learn and all that runs on it.

    Example:
        >>> import joblib, manyhands
        >>> manyhands.register_joblib()
        >>> with joblib.parallel_config(backend="manyhands"):
        ...     joblib.Parallel(n_jobs=2)(joblib.delayed(pow)(i, 2) for i in range(4))
        [0, 1, 4, 9]

    Args:
        make_default: take it wherever no backend is named.

    joblib's own rules hold: batches, ``pre_dispatch``, ``timeout``, ``return_as``, callbacks. Calls of ``Parallel`` within a task run in
    threads of its worker, if that has more than one processor to itself, else one after the other. ``inner_max_num_threads`` limits
    numeric libraries; without it they have the worker's share of the processors. Options of :class:`manyhands.Executor` and of its
    ``with_options`` can be given to ``parallel_config``.

    Raises:
        BackendMissing: joblib is not installed.
    """
    try:
        from manyhands.compat import joblib_backend  # noqa: PLC0415 - it imports joblib
    except ModuleNotFoundError as error:
        msg = "joblib is not installed: pip install joblib"
        raise BackendMissing(msg) from error
    joblib_backend.register(make_default=make_default)
