"""Errors as callers of joblib catch them."""

from __future__ import annotations

from manyhands.errors import RemoteError, TaskTimeout


def as_joblib_raises(error: BaseException) -> BaseException:
    """The error that is to be raised for one of ours; itself, if there is no difference."""
    if isinstance(error, TaskTimeout):
        # The same object, so that its traceback and its notes are what they were.
        error.__class__ = _timed_out()
    elif isinstance(error, RemoteError) and error.type_name in _ENDING:
        kind = _ENDING[error.type_name]
        ending = kind(int(error.text) if error.text.isdigit() else error.text) if error.text else kind()
        ending.__cause__ = error
        return ending
    return error


# What a task may raise to end the whole program, which comes home as a description, since it does so nowhere else.
_ENDING: dict[str, type[BaseException]] = {
    name: kind for kind in (KeyboardInterrupt, SystemExit) for name in (kind.__name__, f"builtins.{kind.__name__}")
}


_kinds: list[type[TaskTimeout]] = []


def _timed_out() -> type[TaskTimeout]:
    if not _kinds:
        import multiprocessing  # noqa: PLC0415 - 10 ms, and few calls take too long

        kind = type("TaskTimeout", (TaskTimeout, multiprocessing.TimeoutError), {"__doc__": TaskTimeout.__doc__, "__module__": __name__})
        _kinds.append(kind)
    return _kinds[0]
