"""An exception that ended a task to bytes, and rebuilt in another process.

**Guarantee**: encoding and decoding never raise, be there neither memory nor a descriptor left. What cannot be rebuilt as itself comes back
as a ``RemoteError`` with its type's name, its text and its traceback, and says why.

An exception is rebuilt without calling its ``__init__``, whose signature need not fit ``args``: that is why ``pickle`` fails on so many of
them, and why a pool that trusts ``pickle`` here loses more than the task. If a part of it cannot be sent, it comes without that part: who
catches it by its class is not to miss it.
"""

from __future__ import annotations

import contextlib
import pickle
import time

from manyhands import errors
from manyhands._codec import _exceptions, _pickling
from manyhands._codec._exceptions import name_of, of_base, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Sequence
    from typing import Any

    from manyhands._codec._exceptions import State
    from manyhands._codec._pickling import Bytes

    # type name, text, traceback text, notes, forms (see _forms), why there is none, cause, context, group
    Record = tuple[str, str, str, list[str], list[bytes], str, "Record | None", "Record | None", "Group | None"]
    Group = tuple[str, list[Record | None]]  # its message, its members
    # class, args, state, inside (see _exceptions), each part in a pickle of its own; notes on those that are replaced
    Pieces = tuple[bytes, list[bytes], dict[str, bytes], dict[str, bytes], list[str]]

_MAX_CHAIN = 20  # causes of causes, and groups in groups
_SECONDS = 1.0  # what leads to an exception may be endless: what has not been taken apart until then is left out
_LONGEST = 1000  # characters of a repr()
_DEADLY = "what ends a task in this way must not end the program that waits for it"
_TOO_DEEP = "it is nested too deeply"
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
# Made beforehand, since then there may be no memory to make them in.
_LAST_RESORT = pickle.dumps(("an exception", "", "", [], [], "the worker could not tell more of it", None, None, None), _pickling.PROTOCOL)
_OUT_OF_MEMORY = pickle.dumps(
    ("MemoryError", "", "", [], [pickle.dumps((MemoryError, (), {}, {}), _pickling.PROTOCOL)], "", None, None, None), _pickling.PROTOCOL
)


def encode_failure(error: BaseException, own: str = "", *, deadly: bool = False) -> bytes:
    """The bytes of an exception with its traceback, causes, notes and, of a group, its members.

    Frames of files in the folder ``own`` are left out of the top of its traceback. ``deadly``: what is to end a program may end the one
    that this is sent to, since that has called what raised it.
    """
    for describe in (_in_full, _in_brief):
        with contextlib.suppress(BaseException):  # user code runs in there, and this must never raise
            return pickle.dumps(describe(error, own, deadly), _pickling.PROTOCOL)
    return _OUT_OF_MEMORY if issubclass(type(error), MemoryError) else _LAST_RESORT


def decode_failure(payload: Bytes) -> BaseException:
    """The exception behind :func:`encode_failure`, with the remote traceback as its ``__cause__``."""
    record: Record = pickle.loads(payload)
    error = _Rebuilding().run(record)
    _exceptions.put(error, "__cause__", errors.RemoteTraceback(record[2], of_base(error, "__cause__")))
    return error


# ------------------------------------------------------------ apart


def _in_full(error: BaseException, own: str, deadly: bool) -> Record:
    return _Recording(deadly).run(error, own)


def _in_brief(error: BaseException, own: str, _: bool) -> Record:
    return name_of(error), "", _bare_traceback(error, own), [], [], "it could not be taken apart", None, None, None


class _Recording:
    """Takes an exception apart, with those that belong to it: each once, however many refer to it."""

    def __init__(self, deadly: bool) -> None:
        self._deadly = deadly
        self._known: dict[int, Record | None] = {}
        self._end = time.monotonic() + _SECONDS

    def run(self, error: BaseException, own: str = "", depth: int = _MAX_CHAIN) -> Record:
        """The record of an exception."""
        self._known[id(error)] = None  # nothing that belongs to it leads to it again
        group = self._group(error, depth)
        forms, why = _forms(error, self._deadly) if group is None or (group[1] and all(group[1])) else ([], _TOO_DEEP)
        record = (
            name_of(error),
            text_of(error),
            _traceback(error, own, chain=depth == _MAX_CHAIN),
            [str.__str__(note) for note in _notes(error) if isinstance(note, str)],
            forms,
            why,
            self._linked(of_base(error, "__cause__"), depth),
            None if of_base(error, "__suppress_context__") else self._linked(of_base(error, "__context__"), depth),
            group,
        )
        self._known[id(error)] = record
        return record

    def _group(self, error: BaseException, depth: int) -> Group | None:
        group = _exceptions.group_of(error)
        if group is None:
            return None
        return group[0], [self._of(member, depth) for member in group[1]] if depth > 1 else []

    def _linked(self, error: BaseException | None, depth: int) -> Record | None:
        if isinstance(error, errors.RemoteTraceback):
            error = error.cause
        return None if error is None or depth <= 1 or time.monotonic() > self._end else self._of(error, depth)

    def _of(self, error: BaseException, depth: int) -> Record | None:
        return self._known[id(error)] if id(error) in self._known else self.run(error, "", depth - 1)


def _notes(error: BaseException) -> list[object]:
    try:
        return list(error.__notes__)
    except Exception:  # noqa: BLE001 - there are none, or no list
        return []


def _traceback(error: BaseException, own: str, *, chain: bool) -> str:
    try:
        import traceback  # noqa: PLC0415 - 2 ms; only for who fails

        return "".join(traceback.format_exception(type(error), error, _frames(error, own), chain=chain))
    except BaseException:  # noqa: BLE001 - a user's __str__ or __repr__; or no descriptor is left for the import, or no memory
        return _bare_traceback(error, own)


def _frames(error: BaseException, own: str) -> types.TracebackType | None:
    frames: types.TracebackType | None = of_base(error, "__traceback__")
    while own and frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename.startswith(own):
        frames = frames.tb_next
    return frames


def _bare_traceback(error: BaseException, own: str) -> str:
    """One that needs no module and no file."""
    lines = ["Traceback (most recent call last):"]
    frames = _frames(error, own)
    while frames is not None:
        code = frames.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frames.tb_lineno}, in {code.co_name}')
        frames = frames.tb_next
    return "\n".join([*lines, f"{name_of(error)}: {text_of(error)}", ""])


def _forms(error: BaseException, deadly: bool) -> tuple[list[bytes], str]:
    """Ways to rebuild the exception, the most faithful first; if there is none, why."""
    if not (deadly or isinstance(error, Exception)):
        return [], _DEADLY
    cls, group = type(error), isinstance(error, BaseExceptionGroup)
    state = {name: held for name, held in vars(error).items() if name != "__notes__"}
    args = of_base(error, "args")[2 if group else 0 :]  # members have records of their own
    inner = _exceptions.inside(error)
    whole = error if _exceptions.says_itself(cls) and not group else (cls, args, state, inner)
    forms, why = [], ""
    with contextlib.suppress(Exception):  # then in pieces
        forms.append(_pickling.encode_whole(whole))
    if not forms or whole is error or not _ATOMS.issuperset(map(type, [*args, *state.values(), *inner.values()])):
        try:
            forms.append(pickle.dumps(_in_pieces(cls, args, state, inner), _pickling.PROTOCOL))
        except Exception as second:  # noqa: BLE001 - its class cannot be sent; or the one that can must do
            why = _told(second)
    return forms, why


def _in_pieces(cls: type, args: tuple[Any, ...], state: State, inner: State) -> Pieces:
    kept = _Pieces(cls.__qualname__)
    return (
        _encoded_class(cls),
        [kept.encode(f".args[{index}]", held) for index, held in enumerate(args)],
        {name: kept.encode(f".{name}", held) for name, held in state.items()},
        {name: kept.encode(f".{name}", held) for name, held in inner.items()},
        kept.notes(),
    )


def _encoded_class(cls: type) -> bytes:
    try:
        return _pickling.encode_whole(cls)
    except Exception:
        from manyhands._codec import _identity  # noqa: PLC0415 - loaded, if any class has come by value

        token = _identity.token_of(cls)
        if _identity.is_from_here(token):
            raise
        return pickle.dumps(_Known(token), _pickling.PROTOCOL)  # whoever it has come from has it


class _Known:
    """Pickles as what the receiver has under a token."""

    def __init__(self, token: bytes) -> None:
        self._token = token

    def __reduce__(self) -> tuple[object, ...]:
        from manyhands._codec import _identity  # noqa: PLC0415 - as above

        return _identity.known, (self._token,)


class _Pieces:
    """Encodes parts of an exception; the text of its ``repr()`` takes the place of one that cannot be sent."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._replaced: dict[int, tuple[object, Exception, list[str]]] = {}

    def encode(self, path: str, held: object) -> bytes:
        """The bytes of the part that ``path`` leads to."""
        known = self._replaced.get(id(held))
        if known is None:
            try:
                return _pickling.encode_whole(held)
            except Exception as error:  # noqa: BLE001 - this part cannot be sent
                known = self._replaced[id(held)] = held, error, []
        known[2].append(self._name + path)
        return pickle.dumps(_shown(held), _pickling.PROTOCOL)

    def notes(self) -> list[str]:
        """What has been replaced, and why."""
        return [
            f"{_told(error, held, paths)} {' and '.join(paths)} came as the text of repr() instead."
            for held, error, paths in self._replaced.values()
        ]


def _shown(held: object) -> str:
    try:
        text = str.__str__(repr(held))
    except BaseException as error:  # noqa: BLE001 - a user's __repr__
        text = f"<{type(held).__qualname__} whose repr() raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _told(error: Exception, held: object = None, paths: Sequence[str] = ()) -> str:
    """Why something cannot be sent, in a sentence; ``paths`` lead to it."""
    if not isinstance(error, errors.NotSerializable):
        where = " and ".join(paths)
        return f"{where or 'it'} cannot be sent to another process: {name_of(error)}: {text_of(error)}."
    part = error.parts[0]
    if not paths:
        return str(part)
    from manyhands._codec._steps import root_name  # noqa: PLC0415 - loaded: it is what has found the part

    rest = part.path[len(root_name(held)) :]
    return str(errors.Part(" and ".join(path + rest for path in paths), part.type_name, part.reason, part.mend, part.used_at))


# ------------------------------------------------------------ together


class _Rebuilding:
    """Puts exceptions together: one for each record, however many refer to it."""

    def __init__(self) -> None:
        self._made: dict[int, BaseException] = {}

    def run(self, record: Record) -> BaseException:
        """The exception of a record."""
        if id(record) in self._made:
            return self._made[id(record)]
        name, text, trace, notes, forms, why, cause, context, group = record
        members = None if group is None else (group[0], [self.run(member) for member in group[1] if member])
        error, more, reason = _from_forms(forms, members)
        if error is None:
            error = errors.RemoteError(type_name=name, text=text, traceback=trace, reason=reason or why)
        self._made[id(record)] = error
        _add_notes(error, [*notes, *more])
        for linked, place in ((context, "__context__"), (cause, "__cause__")):
            if linked is not None:
                _exceptions.put(error, place, self.run(linked))
        return error


def _add_notes(error: BaseException, notes: list[str]) -> None:
    known = _notes(error)
    with contextlib.suppress(Exception):  # a class may forbid notes
        for note in notes:
            if note not in known:
                error.add_note(note)


def _from_forms(forms: list[bytes], group: tuple[str, list[Any]] | None) -> tuple[BaseException | None, list[str], str]:
    """The exception, and notes on what of it has been replaced; or None, and why."""
    more: list[str] = []
    reasons: list[str] = []
    for form in forms:
        try:
            found = pickle.loads(form)
            if isinstance(found, BaseException):
                error = found
            else:
                cls, args, state, inner = found if len(found) == 4 else _from_pieces(found, more)
                error = _exceptions.together(cls, args, state, inner, group)
            str(error)  # one whose text cannot be had without what __init__ did is of no use to anybody
            return error, more, ""
        except KeyboardInterrupt:
            raise
        except BaseException as second:  # noqa: BLE001 - whatever it is, there is another form, or RemoteError
            reasons.append(f"{name_of(second)}: {text_of(second)}, raised when it was rebuilt")
    return None, [], " ".join([*reasons[:1], *more])


def _from_pieces(pieces: Pieces, more: list[str]) -> tuple[type[BaseException], list[Any], State, State]:
    cls, args, state, inner, notes = pieces
    kind = pickle.loads(cls)
    more += notes

    def load(path: str, piece: bytes) -> Any:
        try:
            return pickle.loads(piece)
        except Exception as error:  # noqa: BLE001 - a user's __setstate__
            more.append(f"{kind.__qualname__}{path} could not be unpickled: {name_of(error)}: {text_of(error)}")
            return f"<{more[-1]}>"

    return (
        kind,
        [load(f".args[{index}]", piece) for index, piece in enumerate(args)],
        {name: load(f".{name}", piece) for name, piece in state.items()},
        {name: load(f".{name}", piece) for name, piece in inner.items()},
    )


def of_unpickling(error: BaseException, what: str) -> BaseException:
    """The error of a task whose result raised ``error`` when it was unpickled here. What would end this program does not."""
    if not isinstance(error, Exception):
        error = errors.RemoteError(type_name=type(error).__name__, text=text_of(error), traceback="", reason=_DEADLY)
    with contextlib.suppress(Exception):  # its class may forbid notes
        error.add_note(f"raised here, when {what} was unpickled")
    return error
