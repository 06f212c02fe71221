"""One object to bytes and back.

One pass of the C pickler. It asks :class:`Encoder` about each object that is more than a container or an atom; what would not be found in
a worker under its name (names of ``__main__``, which is another module there, among them) is pickled by value (``_by_value.py``).
"""

from __future__ import annotations

import io
import pickle
from types import BuiltinFunctionType, FunctionType, ModuleType

from manyhands._codec import _passing
from manyhands._codec._naming import found_by_name, is_project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType
    from typing import Any

    from manyhands._codec._by_value import ModuleOver, Namespace
    from manyhands._codec._fingerprint import Code

    Bytes = bytes | bytearray | memoryview
    Rule = Callable[["Encoder", Any], Any]

PROTOCOL = 5

ANEW, KNOWN, HOME, TRIED = "anew", "known", "home", "tried"
ARGUMENTS = frozenset({KNOWN, TRIED})

# Buffers from this size on stay out of the pickle, so that the receiver uses them where they have been read to.
OUT_OF_BAND = 65536

_MAIN = b"__main__"
_MADE = b"manyhands._codec._making"  # in the pickle of whatever travels by value
_TEXT = frozenset({str, bytes, bytearray})
_BYTES = frozenset({bytes, bytearray})
_HOLD_BYTES = frozenset({bytes, bytearray, tuple})
_SIMPLE = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})

_MOST = 4000

# Of a worker: gets from the sender what it has not (``_definitions.py``).
ask: Callable[[list[tuple[str, str, bytes]], str], Any] | None = None
# Of a worker: what the tokens begin with that its parent makes (``_identity.py``).
home = b""


def by_name_or_value(encoder: Encoder, obj: Any) -> Any:
    """The rule for functions and classes."""
    if found_by_name(obj):
        if not is_project(obj.__module__):
            return NotImplemented
        if not encoder.sends(obj):
            if encoder.on_stale is None:
                return NotImplemented
            from manyhands._codec import _definitions  # noqa: PLC0415 - not for programs of one file

            return _definitions.reference(encoder, obj)
    if type(obj) is FunctionType:
        from manyhands._codec import _by_value  # noqa: PLC0415 - most programs never need it

        return _by_value.function(encoder, obj)
    from manyhands._codec import _classes  # noqa: PLC0415 - as above

    return _classes.class_(encoder, obj)


# What has been looked up in _rules.py, for all encoders: the lookup takes longer than the call.
_rules: dict[type, Rule | None] = {FunctionType: by_name_or_value, type: by_name_or_value}


class Encoder(pickle.Pickler):
    """Pickles one object.

    ``on_stale``: what is to happen where the receiver has other code than this process for something of the project: ``"send"`` it, or
    ``"raise"``; None: it is not compared. ``classes``: whether those that have to be described are (``ANEW``), or are named, since the
    receiver can ask for them (``KNOWN``: in arguments), or has sent them (``HOME``: in results). ``TRIED``: as ``ANEW``, in what would be
    an argument.
    """

    classes = "anew"
    stale = False  # the receiver has asked for what it has other code for
    root: object = None  # what is being pickled
    is_dry = False  # the pickle is of no use
    is_kept = False  # it outlives this process
    has_told = False  # of something in this pickle, that it is a copy
    brings = True  # descriptors may go beside the pickle, where buffers do
    own: frozenset[str] = frozenset()  # globals of __main__ that the receiver has set itself: it needs no others

    def __init__(
        self, file: io.BytesIO, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None, on_stale: str | None = None
    ) -> None:
        super().__init__(file, PROTOCOL, buffer_callback=buffer_callback)
        self.file = file
        self.brings_buffers = buffer_callback is not None and self.brings
        self.on_stale = on_stale
        self._namespaces: dict[tuple[int, bool], Namespace] = {}
        self._modules: dict[tuple[int, int], ModuleOver] = {}

    def sends(self, _: object) -> bool:
        """Whether code of the project goes by value."""
        return False

    @property
    def read_by(self) -> str:
        """Who reads the pickle: see ``_passing.py``."""
        if self.is_dry:
            return _passing.NEVER
        if self.classes == HOME:
            return _passing.ONCE
        return _passing.TASK if self.on_stale is not None else _passing.UNKNOWN

    def reducer_override(self, obj: Any) -> Any:
        """What pickle is to do with an object; NotImplemented: what it does by default."""
        kind = type(obj)
        try:
            rule = _rules[kind]
        except KeyError:
            rule = _look_up(kind)
        return NotImplemented if rule is None else rule(self, obj)

    def namespace(self, variables: dict[str, Any], *, light: bool = False) -> Namespace:
        """The one that stands for ``variables`` in this pickle; ``light``: without the rest of their module."""
        key = id(variables), light
        found = self._namespaces.get(key)
        if found is None:
            from manyhands._codec._by_value import Namespace  # noqa: PLC0415 - who calls this has loaded it

            found = self._namespaces[key] = Namespace(variables, light=light, over=self.stale)
        return found

    def module_over(self, module: ModuleType, code: CodeType) -> ModuleOver:
        """The one that stands for a module, as far as ``code`` uses it, in this pickle."""
        from manyhands._codec._by_value import ModuleOver  # noqa: PLC0415 - as above

        return self._modules.setdefault((id(module), id(code)), ModuleOver(module, code))


class CarefulEncoder(Encoder):
    """For what names ``__main__`` in its pickle, or would if it could: objects that want to be a name of the program are taken apart."""

    def reducer_override(self, obj: Any) -> Any:
        reduced = super().reducer_override(obj)
        if reduced is not NotImplemented or isinstance(obj, (type, FunctionType)):
            return reduced
        import copyreg  # noqa: PLC0415 - pickle has loaded it

        reduce = copyreg.dispatch_table.get(type(obj))
        reduced = obj.__reduce_ex__(PROTOCOL) if reduce is None else reduce(obj)
        if isinstance(reduced, str) and getattr(obj, "__module__", None) == "__main__":
            from manyhands._codec._by_value import named_object  # noqa: PLC0415 - rare

            return named_object(obj)
        return reduced


class _StaleEncoder(Encoder):
    """Sends functions of the project by value. Classes go by name, with their own digest, as they do in arguments: each is one class in the
    receiver. ``wanted`` are those that it asks for, and goes on asking for while it waits.
    """

    stale = True
    wanted: Sequence[object] = ()

    def sends(self, obj: object) -> bool:
        return not isinstance(obj, type) or any(obj is one for one in self.wanted)


def forget_rules() -> None:
    """There are others."""
    _rules.clear()


def _look_up(kind: type) -> Rule | None:
    from manyhands._codec._rules import rule_for  # noqa: PLC0415 - numbers, text and their containers need none

    if len(_rules) >= _MOST:
        _rules.clear()
    rule = _rules[kind] = rule_for(kind)
    return rule


def encode(obj: object, on_stale: str | None = None) -> tuple[bytes, Sequence[Bytes]]:
    """``(payload, buffers)`` of an object: a snapshot, independent of what happens to the object later. ``on_stale``: see :class:`Encoder`.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    payload, views = encode_views(obj, on_stale)
    return payload, [bytes(view) for view in views] if views else ()


def encode_views(
    obj: object,
    on_stale: str | None = None,
    classes: str = ANEW,
    *,
    is_result: bool = False,
    own: frozenset[str] = Encoder.own,
    encoders: tuple[type[Encoder], type[Encoder]] = (Encoder, CarefulEncoder),
) -> tuple[bytes, Sequence[memoryview]]:
    """The same with the buffers where they are, to be copied before anybody can change them. ``classes``: see :class:`Encoder`;
    ``is_result``: of a task; ``own``: see :class:`Encoder`; ``encoders``: the one to use, and that for what names ``__main__``.

    Raises:
        NotSerializable: as above.
    """
    views: list[memoryview] = []
    if type(obj) in _HOLD_BYTES:
        obj = _with_long_bytes_apart(obj)

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND and not hasattr(raw.obj, "is_shared_memory"):
            return True
        views.append(raw)
        return False

    return _encode(obj, keep_in_band, views, on_stale, classes, is_result, own, encoders), views


class _LongBytes:
    """Stands for bytes, which pickle would write into its own."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data

    def __reduce__(self) -> Any:
        return type(self.data), (pickle.PickleBuffer(self.data),)


def _with_long_bytes_apart(obj: Any) -> Any:
    """The same, long bytes as buffers; those in a list or an object are left where they are."""
    if type(obj) is not tuple:
        return _LongBytes(obj) if len(obj) >= OUT_OF_BAND else obj
    kinds = set(map(type, obj))
    if kinds.isdisjoint(_BYTES) or (bytearray in kinds and not kinds <= _SIMPLE):  # another part may hold the same bytearray
        return obj
    apart = {id(part): _LongBytes(part) for part in obj if type(part) in _BYTES and len(part) >= OUT_OF_BAND}
    return tuple([apart.get(id(part), part) for part in obj])


def encode_stale(obj: object, wanted: Sequence[object]) -> tuple[bytes, Sequence[memoryview]]:
    """A function or class of the project by value, with those that the receiver waits for as well. The only buffers are of shared memory.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    file = io.BytesIO()
    views: list[memoryview] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if not hasattr(raw.obj, "is_shared_memory"):
            return True
        views.append(raw)
        return False

    encoder = _StaleEncoder(file, keep_in_band, "send")
    encoder.wanted = (obj, *wanted)
    try:
        encoder.dump(obj)
    except Exception as error:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
        from manyhands._codec import _trace  # noqa: PLC0415 - only after a failure

        raise _trace.not_serializable(obj, error) from None
    return file.getvalue(), views


def encode_whole(
    obj: object,
    on_stale: str | None = None,
    *,
    is_result: bool = False,
    encoders: tuple[type[Encoder], type[Encoder]] = (Encoder, CarefulEncoder),
) -> bytes:
    """Like :func:`encode`, in one piece. ``is_result``, ``encoders``: as for :func:`encode_views`.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    return _encode(obj, on_stale=on_stale, is_result=is_result, encoders=encoders)


def encode_beside(
    obj: object,
    is_in_band: Callable[[pickle.PickleBuffer], bool],
    views: list[memoryview],
    encoders: tuple[type[Encoder], type[Encoder]],
) -> bytes:
    """Like :func:`encode_whole`, but for buffers of which ``is_in_band`` says that they are not part of it: it adds them to ``views``.

    Raises:
        NotSerializable: with the path to the part that cannot be pickled.
    """
    return _encode(obj, is_in_band, views, encoders=encoders)


def decode(payload: Bytes, buffers: Sequence[Bytes] = (), what: str = "") -> Any:
    """The object behind :func:`encode`. Raises whatever the classes involved raise; ``what`` it is, then, see ``_loading.py``.

    Classes that travel by value are those that they are here already, if they are from here or have come before.
    """
    try:
        return pickle.loads(payload, buffers=buffers)
    except MemoryError:
        raise
    except Exception as error:
        from manyhands._codec import _loading  # noqa: PLC0415 - only after a failure

        _loading.add_note(error, payload, buffers, what)
        raise


def code_of_project(fn: Any) -> Code | None:
    """The code of a function or class of the project, which tells whether it has changed; None for others."""
    if not is_project(getattr(fn, "__module__", None)):
        return None
    from manyhands._codec import _definitions  # noqa: PLC0415 - not for programs of one file

    return _definitions.code_of(fn)


def is_plain(fn: object, payload: Bytes) -> bool:
    """Whether a function is sent as no more than its name, so that no task can change what others get."""
    if isinstance(fn, BuiltinFunctionType):
        return isinstance(fn.__self__, ModuleType)
    return isinstance(fn, type) or (isinstance(fn, FunctionType) and not is_made(payload))


def is_made(payload: Bytes) -> bool:
    """Whether anything in a payload travels by value."""
    return _MADE in bytes(payload)


def _encode(
    obj: object,
    keep_in_band: Callable[[pickle.PickleBuffer], bool] | None = None,
    views: list[memoryview] | None = None,
    on_stale: str | None = None,
    classes: str = ANEW,
    is_result: bool = False,
    own: frozenset[str] = Encoder.own,
    encoders: tuple[type[Encoder], type[Encoder]] = (Encoder, CarefulEncoder),
) -> bytes:
    quick, careful = encoders
    try:
        payload = _dump(quick(io.BytesIO(), keep_in_band, on_stale), obj, classes, own)
        if _MAIN not in payload or type(obj) in _TEXT:
            return payload
    except Exception:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything; if that is not mended now, it comes again
        pass
    if views:
        views.clear()
    if _passing.seen[0]:
        _passing.taken()
    try:
        return _dump(careful(io.BytesIO(), keep_in_band, on_stale), obj, classes, own)
    except Exception as error:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
        from manyhands._codec import _trace  # noqa: PLC0415 - only after a failure

        refusal = _trace.not_serializable(obj, error, is_result=is_result)
    # Whoever keeps this is not to keep, by its context or the frames of its traceback, what has been pickled: copies of descriptors.
    if views:
        views.clear()
    if _passing.seen[0]:
        _passing.taken()
    try:
        raise refusal
    finally:
        del refusal  # which has this frame


def _dump(encoder: Encoder, obj: object, classes: str, own: frozenset[str]) -> bytes:
    encoder.classes = classes
    encoder.own = own
    encoder.root = obj
    encoder.dump(obj)
    return encoder.file.getvalue()
