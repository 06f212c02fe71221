"""Errors as callers of joblib catch them."""

from __future__ import annotations

from typing import Any

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


class Outcome:
    """A batch that gives what it has raised as its result, where the callbacks of a pool could not be told otherwise."""

    def __init__(self, func: Any) -> None:
        self.func = func

    def __call__(self) -> Any:
        try:
            return self.func()
        except BaseException as error:  # noqa: BLE001 - it is raised where the results are wanted
            return _Raised(error)


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        import traceback  # noqa: PLC0415 - few batches fail

        return _raised_elsewhere, (self.error, "".join(traceback.format_exception(self.error)))


def _raised_elsewhere(error: BaseException, text: str) -> _Raised:
    from manyhands.compat.multiprocessing import RemoteTraceback  # noqa: PLC0415 - takes multiprocessing

    error.__cause__ = RemoteTraceback(text)
    return _Raised(error)


def results_of(out: Any) -> Any:
    """What a batch has returned; raises what it has raised, in whatever wrapping that has come."""
    if isinstance(out, BaseException):
        raise out
    if isinstance(out, _Raised):
        raise out.error
    if type(out).__name__ == "_ExceptionWithTraceback":  # joblib's own, with which backends wrap batches themselves
        rebuild, args = out.__reduce__()
        raise rebuild(*args)
    return out


_kinds: list[type[TaskTimeout]] = []


def _timed_out() -> type[TaskTimeout]:
    if not _kinds:
        import multiprocessing  # noqa: PLC0415 - 10 ms, and few calls take too long

        kind = type("TaskTimeout", (TaskTimeout, multiprocessing.TimeoutError), {"__doc__": TaskTimeout.__doc__, "__module__": __name__})
        _kinds.append(kind)
    return _kinds[0]
