"""Requests and replies as bytes.

What consists of numbers and text is marshalled, which takes a third of the time of a pickle, by the format that all Pythons have in common.
Everything else is a pickle: of containers as they are, of all else by the codec, as arguments and results of tasks are. Shared objects in
it, at whatever depth, go by reference. A byte behind the pickle, which pickle does not look at, says what it is.
"""

from __future__ import annotations

import io
import marshal
import pickle
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from manyhands import errors
from manyhands._codec import _failures, _passing, _pickling, _renaming
from manyhands.sharing import _freight, _script
from manyhands.sharing._asked import CALLING, MANY, NUMBERED
from manyhands.sharing._lanes import ENDLESS
from manyhands.sharing._table import here
from manyhands.sharing._values import ATOMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from manyhands.sharing._freight import Freight
    from manyhands.sharing._lanes import Bytes
    from manyhands.sharing._table import Entry

unmarshalled = marshal.loads
_marshalled = marshal.dumps
_FORMAT = 2  # of marshal: the last one that says each thing by itself, and begins below 0x80 whatever it says
_PLAIN_CONTAINERS = frozenset({list, tuple, set, frozenset, dict})
PROTOCOL = 5

# How a pickle ends, as a frame. What ends as pickles do is one, and nothing else.
_PLAIN = ord(".")
_CODED = ord("c")
_VALUES = frozenset({_PLAIN, _CODED})
# Frames of one byte.
ENDED = b"\x90"  # StopIteration, without a value
METHOD = b"\x91"  # the name that was asked for is that of a method
ASYNC_METHOD = b"\x92"  # as a method's, and what it returns is to be awaited
GIVEN_UP = b"\x93"  # all that was to be said before a call was given up has been said
IS_METHOD = object()
IS_ASYNC_METHOD = object()


class _Way(threading.local):
    to = ""  # the address of the process that is being written to
    is_home = False  # whether a request is being read: what is from here arrives as itself, and not as a proxy


way = _Way()


def _address() -> str:
    """Where this process can be reached."""
    if not here.address:
        from manyhands.sharing import _serving  # noqa: PLC0415 - it answers with this module

        _serving.ensure()
    return here.address


class Mention:
    """Stands for a shared object of this process in what is sent to another one, which is thereby given a hold on it."""

    __slots__ = ("entry",)

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def __reduce__(self) -> Any:
        from manyhands.sharing import _arrivals  # noqa: PLC0415 - it decodes with this module

        return _arrivals.granted, (here.address, self.entry.number, *self.entry.kind)


def encode(value: Any, to: str = "") -> bytes:
    """A value, for the process at an address.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    if type(value) in ATOMS:
        return atom(value)
    return pickle.dumps(value, PROTOCOL) if _is_plain(value) else whole(value, to)


def load(value: Any) -> bytes | Freight:
    """The same; large buffers may lie in memory that goes with it."""
    if type(value) in ATOMS:
        return atom(value)
    return pickle.dumps(value, PROTOCOL) if _is_plain(value) else laden(value)


def whole(value: Any, to: str) -> bytes:
    """What is not plain, by the codec."""
    before, way.to = way.to, to
    try:
        encoded = _pickling.encode_whole(value, encoders=_ENCODERS) + b"c"
        if _passing.seen[0]:
            _passing.done()
    finally:
        way.to = before
    return encoded


def laden(value: Any, to: str = "") -> bytes | Freight:
    """The same; large buffers may lie in memory that goes with it."""
    before, way.to = way.to, to
    views: list[memoryview] = []
    try:
        payload = _pickling.encode_beside(value, _freight.apart(views), views, _ENCODERS) + b"c"
        loaded = _freight.load(payload, views) if views else payload
        if loaded is not None and _passing.seen[0]:
            _passing.done()
    finally:
        way.to = before
    if loaded is None:
        _passing.taken()  # of what nobody will read
        return whole(value, to)
    return loaded


def atom(value: Any) -> bytes:
    """A number, or a text."""
    try:
        return _marshalled(value, _FORMAT)
    except ValueError:  # 2 GB
        return pickle.dumps(value, PROTOCOL)


def _is_plain(value: Any) -> bool:
    """Whether it is numbers and text, in a container: there is nothing in it that the codec would look at, object for object."""
    kind = type(value)
    if kind in _PLAIN_CONTAINERS:
        return ATOMS.issuperset(map(type, value)) and (kind is not dict or ATOMS.issuperset(map(type, value.values())))
    return False


def _are_plain(values: Iterable[Any]) -> bool:
    return all(type(value) in ATOMS or (_is_plain(value) and id(value) not in here.table.by_id) for value in values)


def can_be_sent(value: Any) -> bool:
    """Whether a value can be pickled."""
    try:
        _pickling.encode_whole(value, encoders=_ENCODERS)
    except errors.NotSerializable:
        return False
    _passing.taken()
    return True


def decode(frame: Bytes) -> Any:
    """The value behind :func:`encode`."""
    if frame[0] < ENDLESS:
        return unmarshalled(frame)
    if frame[-1] == _PLAIN:
        return pickle.loads(frame)
    if type(frame) is _freight.Arrived:
        return _unpickler(frame)(io.BytesIO(frame), buffers=frame.buffers()).load()
    data = bytes(frame)
    return _unpickler(data)(io.BytesIO(data)).load()


def encode_request(request: tuple[Any, ...], to: str, coded: Callable[[Any, str], Any] = whole) -> Any:
    """``(caller, operation, number, name, args, kwargs)``, for the process at an address; ``coded`` if it is not plain.

    Raises:
        NotSerializable: with the path to the part of an argument that cannot be pickled.
    """
    args, kwargs = request[4], request[5]
    if (not args or ATOMS.issuperset(map(type, args))) and (not kwargs or ATOMS.issuperset(map(type, kwargs.values()))):
        return atom(request)
    if _are_plain(args) and _are_plain(kwargs.values()):
        return pickle.dumps(request, PROTOCOL)
    if request[1] == MANY and all(not call[2] and ATOMS.issuperset(map(type, call[1])) for call in args[0]):
        return atom(request)
    try:
        return coded(request, to)
    except errors.NotSerializable:
        _say_which(request, to)


def decode_request(frame: Bytes) -> Any:
    """The request behind :func:`encode_request`, in the process that it is for."""
    way.is_home = True
    try:
        return decode(frame)
    finally:
        way.is_home = False


def _say_which(request: tuple[Any, ...], to: str) -> NoReturn:
    _, operation, _, name, args, kwargs = request
    if operation == MANY:
        _say_which_of_many(args[0], to)
    if operation in NUMBERED:
        args = args[2]
    if operation in CALLING:  # the first is a function, and the others are its arguments
        encode(args[0], to)
        args = args[1:]
    try:
        encode((args, kwargs), to)
    except errors.NotSerializable as error:
        refusal = _advised(_renaming.of_arguments(error, name or "a call", (), keywords=True))
    raise refusal


def _say_which_of_many(calls: list[tuple[str, Any, Any]], to: str) -> NoReturn:
    try:
        encode(([(name, args, kwargs or {}) for name, args, kwargs in calls],), to)
    except errors.NotSerializable as error:
        refusal = _advised(_renaming.of_calls(error, [(name, ()) for name, _, _ in calls]))
    raise refusal


def _advised(error: Any) -> BaseException:
    """The same with advice for who calls a shared object, where there is no task."""
    parts = [
        errors.Part(part.path, part.type_name, part.reason, part.mend.replace("inside the task", "in a method of the object"), part.used_at)
        for part in error.parts
    ]
    refusal: BaseException = type(error)(error.what, parts, error.more)
    refusal.add_note("share() it to pass it by reference: it stays where it is, and the other process gets a proxy.")
    return refusal


def encode_error(error: BaseException) -> bytes:
    """What an object has raised, with its traceback here."""
    if type(error) is StopIteration and not error.args:
        return ENDED
    return _failures.encode_failure(error, _OWN, deadly=True) + b"f"


def read(reply: Bytes) -> Any:
    """What a reply says; an exception of the object's is raised."""
    if reply[0] < ENDLESS or reply[-1] in _VALUES:
        return decode(reply)
    if len(reply) > 1:
        raise decode_error(reply)
    if reply == METHOD:
        return IS_METHOD
    if reply == ASYNC_METHOD:
        return IS_ASYNC_METHOD
    raise StopIteration


def decode_error(frame: Bytes) -> BaseException:
    """The exception behind :func:`encode_error`, with the traceback there as its cause."""
    return _failures.decode_failure(frame)


class _Referring:
    """Mixed into an encoder: shared objects of this process go by reference; but parts of them that somebody has a proxy of do not."""

    root: object
    brings = False

    @property
    def read_by(self) -> str:
        return _passing.ONCE

    def persistent_id(self, obj: Any) -> Any:
        entry = here.table.by_id.get(id(obj))
        if entry is None or entry.root is not entry or obj is self.root or isinstance(obj, type):  # its instances need a class, no proxy
            return None
        from manyhands.sharing import _arrivals  # noqa: PLC0415 - as above

        (_, said), promise = _arrivals.promised(entry)
        _passing.met(promise)
        return said


class _Encoder(_Referring, _pickling.Encoder):
    pass


class _CarefulEncoder(_Referring, _pickling.CarefulEncoder):
    pass


_ENCODERS = (_Encoder, _CarefulEncoder)


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, said: tuple[Any, ...]) -> Any:
        from manyhands.sharing import _arrivals  # noqa: PLC0415 - as above

        return _arrivals.arrived_once(*said)


def _unpickler(data: bytes) -> type[_Unpickler]:
    return _UnpicklerOfScript if _script.MARK in data else _Unpickler


class _UnpicklerOfScript(_Unpickler):
    """For what a process has sent that ``multiprocessing`` has spawned."""

    def find_class(self, module: str, name: str, /) -> Any:
        return _script.member(name) if module == _script.NAME else super().find_class(module, name)


_OWN = __file__.rpartition("/")[0] + "/"
