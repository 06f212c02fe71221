"""An exception to bytes, and rebuilt in another process.

**Guarantee**: encoding and decoding never raise. What cannot be rebuilt as itself comes back as a
``RemoteError`` with its type's name, its text and its traceback.

An exception is rebuilt without calling its ``__init__``, whose signature need not fit ``args``: that is why
``pickle`` fails on so many of them, and why a pool that trusts ``pickle`` here loses more than the task.
"""

from __future__ import annotations

import contextlib
import pickle
import types

from manyhands import errors
from manyhands._codec import _pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands._codec._pickling import Bytes

    # type name, text, traceback text, notes, forms (see _forms), cause, context, members of a group
    Record = tuple[str, str, str, list[str], list[bytes], "Record | None", "Record | None", "list[Record] | None"]

_MAX_CHAIN = 20


def encode_failure(error: BaseException, own: str = "") -> bytes:
    """The bytes of an exception with its traceback, causes, notes and, of a group, its members.

    Frames of the file ``own`` are left out of the top of its traceback.
    """
    try:
        return pickle.dumps(_record(error, own, _MAX_CHAIN), _pickling.PROTOCOL)
    except BaseException:  # noqa: BLE001 - user code runs in there, and this must never raise
        import traceback  # noqa: PLC0415 - 2 ms; only for who fails

        frames = "".join(traceback.format_tb(error.__traceback__))
        return pickle.dumps((type(error).__qualname__, "", frames, [], [], None, None, None), _pickling.PROTOCOL)


def decode_failure(payload: Bytes) -> BaseException:
    """The exception behind :func:`encode_failure`, with the remote traceback as its ``__cause__``."""
    record: Record = pickle.loads(payload)
    error = _rebuild(record)
    # Not error.__cause__ =: a class may forbid it.
    BaseException.__setattr__(error, "__cause__", errors.RemoteTraceback(record[2]))
    return error


def _record(error: BaseException, own: str, depth: int) -> Record:
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ in {"builtins", "__main__"} else f"{cls.__module__}.{cls.__qualname__}"
    notes = [str.__str__(note) for note in _notes(error) if isinstance(note, str)]
    members = None
    if isinstance(error, BaseExceptionGroup) and depth > 0:
        members = [_record(member, own, depth - 1) for member in error.exceptions]
    return (
        name,
        _text(error),
        _traceback(error, own),
        notes,
        _forms(error),
        _linked(error.__cause__, depth),
        None if error.__suppress_context__ else _linked(error.__context__, depth),
        members,
    )


def _notes(error: BaseException) -> list[object]:
    try:
        return list(error.__notes__)
    except Exception:  # noqa: BLE001 - there are none, or no list
        return []


def _linked(error: BaseException | None, depth: int) -> Record | None:
    if error is None or depth <= 0 or isinstance(error, errors.RemoteTraceback):
        return None
    return _record(error, "", depth - 1)


def _text(error: BaseException) -> str:
    try:
        return "" + str.__str__(str(error))
    except BaseException as second:  # noqa: BLE001 - a user's __str__
        return f"<its text cannot be had: {type(second).__name__}>"


def _traceback(error: BaseException, own: str) -> str:
    import traceback  # noqa: PLC0415 - as above

    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename == own:
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception:  # noqa: BLE001 - a user's __str__ or __repr__
        return "".join(traceback.format_tb(frames)) + type(error).__qualname__


def _forms(error: BaseException) -> list[bytes]:
    """Ways to rebuild the exception, the most faithful first."""
    if not isinstance(error, Exception):
        # SystemExit, KeyboardInterrupt: what ended a task must not end the program that waits for it.
        return []
    state = {name: value for name, value in vars(error).items() if name != "__notes__"}
    args = () if isinstance(error, BaseExceptionGroup) else error.args
    forms: list[object] = [(type(error), args, state), (type(error), args, {})]
    if _pickles_itself(type(error)):
        forms.insert(0, error)
    encoded = []
    for form in forms:
        try:
            encoded.append(_pickling.encode_whole(form))
        except Exception:  # noqa: BLE001 - then with less of it
            continue
    return encoded


def _pickles_itself(cls: type[BaseException]) -> bool:
    """Whether pickle can be trusted: a constructor of the interpreter's, or the author's own ``__reduce__``."""
    if issubclass(cls, BaseExceptionGroup):
        return False
    own_reduce = isinstance(cls.__reduce__, types.FunctionType) or isinstance(cls.__reduce_ex__, types.FunctionType)
    return own_reduce or not isinstance(cls.__init__, types.FunctionType)


def _rebuild(record: Record) -> BaseException:
    name, text, trace, notes, forms, cause, context, members = record
    error = next(filter(None, (_from_form(form, text, members) for form in forms)), None)
    if error is None:
        error = errors.RemoteError(type_name=name, text=text, traceback=trace)
    known = _notes(error)
    with contextlib.suppress(Exception):  # a class may forbid notes
        for note in notes:
            if note not in known:
                error.add_note(note)
    if cause is not None:
        BaseException.__setattr__(error, "__cause__", _rebuild(cause))
    if context is not None:
        BaseException.__setattr__(error, "__context__", _rebuild(context))
    return error


def _from_form(form: bytes, text: str, members: list[Record] | None) -> BaseException | None:
    try:
        found = pickle.loads(form)
        if isinstance(found, BaseException):
            error = found
        else:
            cls, args, state = found
            error = _from_parts(cls, args, state, text, members)
        str(error)  # one whose text cannot be had without what __init__ did is of no use to anybody
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, there is another form, or RemoteError
        return None
    return error


def _from_parts(
    cls: type[BaseException], args: tuple[object, ...], state: dict[str, object], text: str, members: list[Record] | None
) -> BaseException:
    if members is not None:
        message = text.rsplit(" (", 1)[0]
        error = cls.__new__(cls, message, [_rebuild(member) for member in members])
    else:
        error = cls.__new__(cls, *args)
        BaseException.args.__set__(error, args)  # type: ignore[attr-defined] # not error.args =: a class may forbid it
    error.__dict__.update(state)
    return error


def of_unpickling(error: BaseException, what: str) -> BaseException:
    """The error of a task whose result raised ``error`` when it was unpickled here. What would end this program does not."""
    if not isinstance(error, Exception):
        error = errors.RemoteError(type_name=type(error).__name__, text=str(error), traceback="")
    with contextlib.suppress(Exception):  # its class may forbid notes
        error.add_note(f"raised here, when {what} was unpickled")
    return error
