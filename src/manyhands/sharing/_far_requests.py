"""What another machine asks, and whether it may: one connection, one client, what is exposed."""

from __future__ import annotations

import secrets
import types
from collections import Counter, OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands.sharing import _asked, _callers, _data, _iterating, _operations
from manyhands.sharing._boxes import Box
from manyhands.sharing._kinds import SPECIAL, Kind
from manyhands.sharing._serving import Session
from manyhands.sharing._table import here

if TYPE_CHECKING:
    from collections.abc import Mapping

    from manyhands.sharing._monitors import Monitor
    from manyhands.sharing._sealed_lanes import SealedLane
    from manyhands.sharing._table import Entry

OPEN = 100  # the only request for a name, and the first
_ALLOWED = frozenset(
    {
        *(_asked.CALL, _asked.GET, _asked.SET, _asked.DELETE, _asked.ITERATE, _asked.MORE),
        *(_asked.SNAPSHOT, _asked.MANY, _asked.LOCK, _asked.UNLOCK),
    }
)
_OF_ATTRIBUTES = frozenset({_asked.GET, _asked.SET, _asked.DELETE})
_SHOWING = frozenset({"__repr__", "__str__", "__format__", "__dir__"})
_BY_NAME = frozenset({*SPECIAL, *_SHOWING}) - {
    f"__{name}__" for name in ("get", "set", "delete", "instancecheck", "subclasscheck", "mro_entries")
}
# What format() shows is whatever its text asks for, of whatever it is given.
_FORMATTING = frozenset({"format", "format_map"})
_BY_REFERENCE = frozenset(
    {
        *(tuple, frozenset),  # in which there is what can be changed: all others are data
        *(list, dict, set, bytearray, deque, OrderedDict, defaultdict, Counter, types.GeneratorType, _iterating.Cursor),
        *(type({}.keys()), type({}.values()), type({}.items()), enumerate, zip, map, filter),
        *map(type, map(iter, ([], (), {}, {}.values(), {}.items(), set(), deque(), "", b"", bytearray(), range(0)))),
    }
)


class _Told(NamedTuple):
    """Stands for an object in a reply."""

    entry: Entry


class Client(Session):
    """A process on another machine: it may use what it has been told of, and no other number."""

    def __init__(self, token: bytes) -> None:
        super().__init__(token)
        self.may: dict[int, frozenset[str] | None] = {}  # by number: the names; None: all
        self.mixed = secrets.randbits(55)  # so that it cannot pass for a caller of this process, or of another client's

    def open(self, exposed: Exposed) -> Entry:
        """An object that is exposed."""
        entry = self.hold(exposed.obj, None)
        self.may[entry.number] = exposed.names
        return entry


class Exposed(NamedTuple):
    obj: Any
    names: frozenset[str] | None


class Service:
    """One connection. It is the teller of ``_operations.perform``."""

    is_far = True
    copies_views = False

    def __init__(self, client: Client, lane: SealedLane, exposed: Mapping[str, Exposed]) -> None:
        self._client = client
        self._lane = lane
        self._exposed = exposed
        self._held: list[Monitor] = []
        self.method = self.async_method = self._coded("m", None)

    def run(self) -> None:
        """Serve until the other side closes, or says what is not to be said."""
        try:
            while (frame := self._lane.receive()) is not None:
                caller, operation, number, name, args, kwargs = self._understood(frame)
                if operation == _asked.LET_GO:
                    self._client.let_go([(number, args[0], 0)])
                    continue
                _callers.here.number = caller ^ self._client.mixed
                try:
                    reply = self._answer(caller ^ self._client.mixed, operation, number, name, args, kwargs)
                except BaseException as error:  # noqa: BLE001 - it is the caller's
                    reply = self._coded(*_told_of(error))
                self._lane.send(reply)
        except (OSError, errors.ShareRefused):
            pass
        finally:
            for monitor in self._held:
                monitor.abandon()
            self._lane.close()

    def _understood(self, frame: bytearray) -> tuple[int, int, int, str, tuple[Any, ...], dict[str, Any]]:
        request = _data.decode(frame, self._object)
        if type(request) is tuple and tuple(map(type, request)) == (int, int, int, str, tuple, dict):
            caller, operation, number, name, args, kwargs = request
            if all(type(key) is str for key in kwargs) and (operation != _asked.LET_GO or tuple(map(type, args)) == (int,)):
                return caller, operation, number, name, args, kwargs
        raise errors.ShareRefused("no request")

    def _answer(self, caller: int, operation: int, number: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        if operation == OPEN:
            exposed = self._exposed.get(name)
            if exposed is None:
                said = f"nothing is exposed under the name {name!r:.80}" if name else "the address has no name: tcp://host:port/name"
                raise errors.ShareRefused(said)
            return self.value(_Told(self._client.open(exposed)))
        self._check(operation, number, name, args)
        reply: bytes = _operations.perform(self, caller, operation, number, name, args, kwargs)
        return reply

    def _check(self, operation: int, number: int, name: str, args: tuple[Any, ...]) -> None:
        """Whether it may be asked.

        Raises:
            NotShared: this client has not been told of the object.
            NotExposed: the name is not for it.
            ShareRefused: it is nothing that other machines may ask.
        """
        entry = here.table.entries.get(number)
        if number not in self._client.may or entry is None:
            raise errors.NotShared(number)
        if operation not in _ALLOWED:
            raise errors.ShareRefused("that is not done for other machines")
        calls = [name]
        if operation == _asked.MANY:
            calls = [call[0] for call in args[0]]
        names = self._client.may[number]
        inner = entry.obj.value if type(entry.obj) is Box else entry.obj
        is_text = isinstance(inner, str)
        for called in calls:
            is_public = not called.startswith("_") or (called in _BY_NAME and operation not in _OF_ATTRIBUTES)
            if not is_public or (is_text and called in _FORMATTING) or (names is not None and called not in names):
                may = names if names is not None else [known for known in dir(inner) if not known.startswith("_")]
                raise errors.NotExposed(called, entry.kind.name, may)

    # ------------------------------------------------------------ what is told

    atom = property(lambda self: self.value)

    def value(self, value: Any) -> bytes:
        """A reply."""
        return self._coded("v", value)

    copy = value

    def error(self, error: BaseException) -> Any:
        """What has been raised, in a reply."""
        return _told_of(error)[1]

    def mention(self, obj: Any, root: Entry | None, _: Kind | None = None) -> Any:
        """What stands for an object in a reply. Of an array that is a copy that cannot be written to: nothing would come of it.

        Raises:
            ShareRefused: it goes to no other machine.
        """
        if type(obj).__module__ == "numpy" and hasattr(obj, "flags"):
            copied = obj.copy()
            copied.flags.writeable = False
            return copied
        exposed = next((one for one in self._exposed.values() if one.obj is obj), None)
        if exposed is None and type(obj) not in _BY_REFERENCE:
            said = f"{type(obj).__module__}.{type(obj).__qualname__}"
            raise errors.ShareRefused(f"a {said} is no data, and goes to other machines only as what is exposed by a name of its own")
        entry = self._client.hold(obj, root)
        self._client.may.setdefault(entry.number, None if exposed is None else exposed.names)
        return _Told(entry)

    def hold_again(self, numbers: list[int]) -> None:
        """There are no other ways to another machine."""

    def taken(self, monitor: Monitor) -> None:
        """A transaction has begun. It lasts as long as this connection, at most."""
        self._held.append(monitor)

    def given(self, monitor: Monitor) -> None:
        """A transaction has ended."""
        self._held.remove(monitor)
        monitor.leave()

    def cancel(self, *_: object) -> bool:
        """There are no requests that are not waited for."""
        return False

    def _coded(self, kind: str, value: Any) -> bytes:
        return _data.encode((kind, value), _reference)

    def _object(self, said: tuple[Any, ...]) -> Any:
        """What the client has been told of, and names now."""
        entry = here.table.entries.get(said[0]) if said and said[0] in self._client.may else None
        if entry is None:
            raise errors.ShareRefused("a reference to what this client has not been told of")
        return entry.obj


def _reference(obj: Any) -> tuple[Any, ...] | None:
    return (obj.entry.number, *obj.entry.kind) if type(obj) is _Told else None


def _told_of(error: BaseException) -> tuple[str, Any]:
    """An exception as data. Not its traceback: that is about this machine."""
    if type(error) is StopIteration and not error.args:
        return "e", None
    kind = type(error)
    made_of = error.__reduce__()[1] if isinstance(error, errors.ManyhandsError) else error.args
    try:
        _data.encode(made_of, lambda _: None)
    except errors.NotSerializable:
        made_of = (str(error),)
    return "f", (kind.__module__, kind.__qualname__, made_of, str(error))
