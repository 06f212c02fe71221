"""manyhands under the names of other libraries, and in their place.

==========================  ==================================================================
``multiprocessing/``        ``multiprocessing``: its pools and managers
``_managers_office.py``     what such a manager has in its process
``_managers_before.py``     where pickle finds what was imported of managers before
``concurrent_futures.py``   ``concurrent.futures``: its process pool
``loky.py``                 ``loky``: the executor that is used again
``joblib/``                 ``joblib``: ``Parallel`` and what belongs to it
``installing.py``           manyhands in the place of one of these
``_keeping.py``             what was imported from it before works on
``_joblib_before.py``       where pickle finds that, also in joblib's own workers
``registering.py``          manyhands made known to other libraries
``joblib_backend.py``       manyhands as a backend of joblib, and so of scikit-learn
``_joblib_calls.py``        what of that runs in workers
``_joblib_in_workers.py``   manyhands in joblib's place, in workers
``_set_up.py``              workers that are set up specially
``_processors.py``          how many processors there are, as loky has it
==========================  ==================================================================
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands.compat.installing import install as install
    from manyhands.compat.installing import uninstall as uninstall

__all__ = ["install", "uninstall"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from manyhands.compat import installing  # noqa: PLC0415 - who imports one of the modules here needs little of it

    return getattr(installing, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "annotations"})
