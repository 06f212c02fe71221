"""Functions as people write them, each with an argument and what it gives there. Imported as a module, run as a script, and executed.

What is checked inside must hold in the worker; what is returned must be itself when it is home.
"""

from __future__ import annotations

import abc
import asyncio
import collections
import contextvars
import dataclasses
import enum
import functools
import io
import logging
import operator
import sys
import threading
import typing
import weakref

CASES = {}


def case(argument, expected):
    def note(function):
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        CASES[f"{len(CASES)} {name}"] = (function, argument, expected)
        return function

    return note


# ------------------------------------------------------------ decorators


def without_wraps(function):
    def wrapper(*args, **kwargs):
        return ["without", function(*args, **kwargs)]

    return wrapper


def with_wraps(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return ["with", function(*args, **kwargs)]

    return wrapper


def only_the_name(function):
    def wrapper(x):
        return ["named", function(x)]

    wrapper.__qualname__ = function.__qualname__
    return wrapper


def times(n):
    def decorate(function):
        def wrapper(x):
            return [function(x)] * n

        return wrapper

    return decorate


class Counting:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return [self.calls, self.function(x)]


class Plain:
    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        return ["plain", self.function(x)]


class Method:
    """Works on functions and on methods."""

    def __init__(self, function):
        self.function = function

    def __get__(self, instance, owner):
        return functools.partial(self.__call__, instance)

    def __call__(self, *args):
        return ["bound", self.function(*args)]


@case(1, ["without", 2])
@without_wraps
def plain_decorated(x):
    return x + 1


@case(1, ["with", 2])
@with_wraps
def wrapped(x):
    return x + 1


@case(1, ["named", 2])
@only_the_name
def named(x):
    return x + 1


@case(1, ["with", ["without", [2, 2, 2]]])
@with_wraps
@without_wraps
@times(3)
def stacked(x):
    return x + 1


@case(1, [1, 2])
@Counting
def counted(x):
    return x + 1


@case(1, ["plain", 2])
@Plain
def by_class(x):
    return x + 1


class Owner:
    def __init__(self, n=10):
        self.n = n

    @Method
    def method(self, x):
        return self.n + x

    def usual(self, x):
        return self.n + x

    @classmethod
    def of_class(cls, x):
        return cls.__name__, x

    @staticmethod
    def of_none(x):
        return x * 2

    @with_wraps
    def decorated(self, x):
        return self.n + x

    @property
    def value(self):
        return self.n

    def __private(self, x):
        return self.n * x

    def private(self, x):
        return self.__private(x)

    class Inner:
        def run(self, x):
            return x, type(self).__qualname__


case(1, ["bound", 11])(Owner().method)
case(1, 11)(Owner().usual)
case(1, ("Owner", 1))(Owner.of_class)
case(1, 2)(Owner.of_none)
case(1, 2)(Owner().of_none)
case(1, ["with", 11])(Owner().decorated)
case(2, 20)(Owner().private)
case(1, (1, "Owner.Inner"))(Owner.Inner().run)
case(1, ["without", 11])(functools.partial(without_wraps(operator.add), 10))
case(Owner(3), 3)(operator.attrgetter("value"))


@case(20, 6765)
@functools.lru_cache(maxsize=50)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@functools.singledispatch
def kind(_):
    return "other"


@kind.register
def _(_: int):
    return "int"


@kind.register(list)
def _(_):
    return "list"


case(1, "int")(kind)
case([], "list")(kind)
case("", "other")(kind)


# ------------------------------------------------------------ closures


def factory(n):
    total = n

    def add(x):
        nonlocal total
        total += x
        return total, again(x)

    def again(x):
        return x if x <= 0 else add(x - 1)[0]

    return add


case(2, (12, 13))(factory(10))
case(3, [3, 4, 5])(lambda x: [(lambda y: y + x)(i) for i in range(3)])


@case(10, (True, False))
def parity(n):
    return is_even(n), is_odd(n)


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)


def local_class(base):
    class Local(base):
        made = 0

        def __init__(self, x):
            super().__init__()
            type(self).made += 1
            self.x = x

        def get(self):
            return self.x, __class__ is Local, isinstance(self, base)

    return Local


case(4, (4, True, True))(lambda x: local_class(dict)(x).get())
case(local_class(Owner)(5), (5, True, True))(lambda made: made.get())


@case(3, [0, 1, 2])
def uses_a_generator(n):
    def numbers():
        yield from range(n)

    return list(numbers())


@case(3, 6)
def uses_a_coroutine(n):
    async def twice():
        await asyncio.sleep(0)
        return 2 * n

    return asyncio.run(twice())


def defaults(x, y=2, *args, z, w=(1, 2), **more):
    return x, y, args, z, w, more


case(1, (1, 2, (), 3, (1, 2), {}))(functools.partial(lambda x, f=defaults: f(x, z=3)))


# ------------------------------------------------------------ classes

T = typing.TypeVar("T")
UserId = typing.NewType("UserId", int)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 3
    tags: list = dataclasses.field(default_factory=list)

    def moved(self, by):
        return dataclasses.replace(self, x=self.x + by)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Frozen:
    a: int
    b: str = "b"


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"

    def __init__(self, value):
        self.label = f"color {value}"


class Planet(enum.Enum):
    EARTH = (5.97, 6.37)
    MARS = (0.64, 3.39)

    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


class Named(typing.NamedTuple):
    a: int
    b: str = "b"


Old = collections.namedtuple("Old", "a b")


class Settings(typing.TypedDict):
    name: str
    size: int


class Box(typing.Generic[T]):
    def __init__(self, item: T):
        self.item = item

    def open(self) -> T:
        return self.item


class Shape(abc.ABC):
    registry: typing.ClassVar[list] = []

    def __init_subclass__(cls, *, sides, **more):
        super().__init_subclass__(**more)
        cls.sides = sides
        Shape.registry.append(cls.__name__)

    @abc.abstractmethod
    def area(self): ...


class Square(Shape, sides=4):
    def __init__(self, a):
        self.a = a

    def area(self):
        return self.a**2


class Meta(type):
    def __call__(cls, *args):
        made = super().__call__(*args)
        made.by_meta = True
        return made


class WithMeta(metaclass=Meta):
    pass


class Slots:
    __slots__ = ("__weakref__", "a", "b")

    def __init__(self, a):
        self.a = a


class Sentinel:
    def __reduce__(self):
        return "MISSING"


MISSING = Sentinel()


class Weird(Exception):
    def __init__(self, a, *, b):
        super().__init__(f"{a}{b}")
        self.b = b


class Descriptor:
    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner):
        return self if instance is None else self.name


class Described:
    field = Descriptor()

    @functools.cached_property
    def cached(self):
        return "once"


def same(x):
    return x


for made in (
    Point(1, tags=[Point(2)]),
    Frozen(1),
    Color.RED,
    Planet.MARS,
    Access.READ | Access.WRITE,
    Named(1),
    Old(1, 2),
    Settings(name="n", size=1),
    MISSING,
    T,
    UserId,
    Color,
    Point,
    Square,
    Box[int],
    Meta,
    Point | None,
    dict[str, Point],
):
    case(made, made)(same)

case(Point(1), Point(6))(lambda point: point.moved(5))
case(Color.BLUE, ("color blue", True))(lambda color: (color.label, Color("blue") is color))
case(Planet.EARTH, (5.97, 6.37))(lambda planet: (planet.mass, planet.radius))
case(Box(3), 3)(lambda box: box.open())
case(Square(3), (9, 4, ["Square"], True))(lambda shape: (shape.area(), shape.sides, Shape.registry, isinstance(shape, Shape)))
case(WithMeta(), (True, True))(lambda made: (made.by_meta, WithMeta().by_meta))
case(Slots(1), (1, False, False))(lambda made: (made.a, hasattr(made, "b"), hasattr(made, "__dict__")))
case(MISSING, True)(lambda made: made is MISSING)
case(Described(), ("field", "once"))(lambda made: (made.field, made.cached))
case(Weird(1, b=2), ("Weird", ("12",), 2))(lambda error: (type(error).__name__, error.args, error.b))


# ------------------------------------------------------------ what belongs to a process

logger = logging.getLogger("travel")
request = contextvars.ContextVar("request")
request.set("r1")


class Guarded:
    def __init__(self):
        self.lock, self.rlock, self.condition = threading.Lock(), threading.RLock(), threading.Condition()
        self.event, self.semaphore = threading.Event(), threading.Semaphore(2)
        self.me = weakref.ref(self)
        self.known = weakref.WeakValueDictionary({"me": self})
        self.friends = weakref.WeakSet([self])
        self.logger, self.stream = logger, sys.stderr

    def use(self):
        with self.lock, self.rlock, self.condition, self.semaphore:
            alive = self.me() is self and self.known["me"] is self and self in self.friends
        return alive, self.event.is_set(), self.logger is logger, self.stream is sys.stderr


case(Guarded(), (True, False, True, True))(lambda guarded: guarded.use())
case(None, "r1")(lambda _: request.get())
case(memoryview(b"abcd")[1:3], b"bc")(lambda view: view.tobytes())
case({"a": 1}.keys(), ["a"])(list)
case(io.StringIO("text"), "text")(lambda text: text.read())

reading = open(__file__)  # noqa: SIM115 - that is the point
reading.readline()
FIRST = reading.tell()
case(reading, "\n")(lambda file: file.readline())


def main():
    import manyhands

    failed = 0
    for name, (function, argument, expected) in CASES.items():
        try:
            [got] = manyhands.map(function, [argument], workers=1)
        except Exception as error:
            got = error
        if got != expected or (type(got) is not type(expected)) or (isinstance(expected, type) and got is not expected):
            failed += 1
            print(f"{name}: {got!r} is not {expected!r}")
    print(f"{failed} of {len(CASES)} failed")


if __name__ == "__main__":
    main()
