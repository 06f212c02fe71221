"""Classes as people write them, each with what it gives where it was defined. Run as a script, so that they travel by value."""

# ruff: noqa: B024, PIE796, RUF012, UP042 - what people write, not what they should
from __future__ import annotations

import abc
import collections
import contextlib
import ctypes
import dataclasses
import datetime
import decimal
import enum
import functools
import pathlib
import typing
import weakref

CASES = {}


def case(*arguments):
    """What the function gives in a worker must be what it gives here; objects of the script's classes among it must be of these."""

    def note(function):
        CASES[f"{len(CASES)} {function.__qualname__}"] = (function, arguments)
        return function

    return note


def same(x):
    return x


# ------------------------------------------------------------ metaclasses


class Numbered(type):
    """Counts."""

    numbers: typing.ClassVar[list] = []

    def __new__(mcs, name, bases, namespace, *, tag="default"):
        made = super().__new__(mcs, name, bases, namespace)
        made.id, made.tag = len(mcs.numbers), tag
        mcs.numbers.append(name)
        return made


class First(metaclass=Numbered):
    pass


class Tagged(First, tag="x"):
    pass


class Strict(type):
    """Wants an option, and writes namespaces of its own."""

    def __new__(mcs, name, bases, namespace, tag):
        return super().__new__(mcs, name.upper(), bases, {key: value for key, value in namespace.items() if key != "secret"})

    def __init__(cls, name, bases, namespace, tag):
        super().__init__(name, bases, namespace)
        type.__setattr__(cls, "tag_of_class", tag)
        type.__setattr__(cls, "given", namespace["given"])

    @classmethod
    def __prepare__(mcs, name, bases, tag):
        return {"given": [name, tag]}

    def __setattr__(cls, name, value):
        raise AttributeError(f"{name} cannot be set")

    @property
    def hidden(cls):
        return "of the metaclass"


class strict(metaclass=Strict, tag=1):
    secret = 5
    hidden = "of the class"
    open = "open"


class Singleton(type):
    made: typing.ClassVar[dict] = {}

    def __call__(cls, *args):
        if cls not in cls.made:
            cls.made[cls] = super().__call__(*args)
        return cls.made[cls]

    def __eq__(cls, other):
        raise AssertionError("nobody asked")

    def __hash__(cls):
        return 5


class Only(metaclass=Singleton):
    pass


class AbstractRegistry(abc.ABCMeta):
    known: typing.ClassVar[dict] = {}

    def __new__(mcs, name, bases, namespace, **options):
        return super().__new__(mcs, name, bases, namespace)

    def __init__(cls, name, bases, namespace, **options):
        super().__init__(name, bases, namespace)
        cls.known[name] = options


class Plugin(metaclass=AbstractRegistry):
    @abc.abstractmethod
    def run(self): ...


class Csv(Plugin, sep=","):
    def run(self):
        return "csv"


class MetaError(Exception, metaclass=AbstractRegistry):
    def __init__(self, a, *, b):
        super().__init__(a)
        self.b = b


@case()
def metaclasses_have_had_their_say():
    return First.id, Tagged.id, Tagged.tag, Numbered.numbers, type(Tagged) is Numbered


case(First())(same)
case(Tagged())(lambda made: (type(made), made.tag))


@case(strict())
def a_metaclass_that_wants_options(made):
    with contextlib.suppress(AttributeError):
        strict.open = 5
    given = type(made).given
    return type(made), strict.__name__, strict.tag_of_class, given, strict.hidden, made.hidden, strict.open, hasattr(strict, "secret")


@case(Only())
def a_metaclass_without_equality(made):
    return Only() is Only(), type(made) is Only


@case()
def abstract_classes(cls=Csv):
    try:
        Plugin()
    except TypeError:
        return cls().run(), AbstractRegistry.known, issubclass(Csv, Plugin), isinstance(Csv(), Plugin), Plugin.__abstractmethods__
    return "not abstract"


@case(MetaError(1, b=2))
def an_exception_with_a_metaclass(error):
    try:
        raise error
    except MetaError as caught:
        return type(caught), caught.args, caught.b


# ------------------------------------------------------------ what a class statement sets off


class Base:
    subclasses: typing.ClassVar[list] = []

    def __init_subclass__(cls, /, shape, **more):
        super().__init_subclass__(**more)
        cls.shape = [shape]
        Base.subclasses.append(cls.__name__)


class Mixin:
    def __init_subclass__(cls, **more):
        super().__init_subclass__(**more)
        cls.mixed = getattr(cls, "mixed", 0) + 1


class Derived(Base, Mixin, shape="round"):
    pass


class Again(Derived, shape="square"):
    pass


class Field:
    """Knows its name, its owner, and how often it was told."""

    def __init__(self):
        self.told = []

    def __set_name__(self, owner, name):
        self.told.append((owner, name))

    def __get__(self, instance, owner):
        return self if instance is None else instance.__dict__.get(self.told[0][1])

    def __set__(self, instance, value):
        instance.__dict__[self.told[0][1]] = value


class Record:
    x = Field()
    y = Field()

    def __init__(self, x):
        self.x = x

    @functools.cached_property
    def double(self):
        return 2 * self.x


class Subscripted:
    def __class_getitem__(cls, item):
        return cls, item


class Late:
    """Given more than its class statement says."""


Late.method = lambda self: (self, 5)
Late.__repr__ = lambda self: "late"
Late.__slots__ = ("says", "nothing")


@case()
def subclasses_are_not_announced_again():
    class Here(Again, shape="new"):
        pass

    return Base.subclasses[:2], Derived.shape, Derived.mixed, Again.shape, Again.mixed, Here.shape, Here.mixed


case(Again())(same)


@case(Record(3))
def descriptors_know_what_they_learnt(record):
    return record.x, record.double, Record.x.told, Record.y.told, vars(record)


case(Subscripted)(lambda cls: cls[int])
case(Late())(lambda late: (repr(late), late.method()[1], vars(late)))

# ------------------------------------------------------------ names that a class itself has


class Named:
    def __init__(self, name):
        self._name = name

    @property
    def __name__(self):
        return self._name

    @property
    def __doc__(self):
        return f"doc of {self._name}"

    @property
    def __module__(self):
        return "module"

    @property
    def __bases__(self):
        return "bases"

    @property
    def __annotations__(self):
        return "annotations"

    @property
    def __mro__(self):
        return "mro"


class Looked:
    """Like a proxy's: learns its name, and answers for another object."""

    def __set_name__(self, owner, name):
        self.name = name, owner

    def __get__(self, instance, owner):
        return self if instance is None else f"proxy of {self.name[0]}"

    def __set__(self, instance, value):
        raise AttributeError(self.name)


class Proxy:
    __slots__ = ("_held", "_more")
    __doc__ = Looked()
    __dict__ = Looked()
    __name__ = Looked()
    __wrapped__ = Looked()


class Impostor:
    @property
    def __class__(self):
        return Named if 1 else Impostor


case(Named("n"))(lambda named: (named.__name__, named.__doc__, named.__module__, named.__bases__, named.__annotations__, named.__mro__))
case(Named("n"))(lambda named: (Named.__name__, vars(Named)["__name__"].fget(named), type(named)))


@case()
def a_proxy():
    made = Proxy()
    made._held = 1
    return made.__dict__, made.__name__, made.__doc__, made.__wrapped__, vars(Proxy)["__dict__"].name[1] is Proxy, made._held


class Wrapper:
    """Stands for another object."""

    def __init__(self, held):
        self._held = held

    @property
    def __class__(self):
        return type(self._held)

    @property
    def __name__(self):
        return f"wrapped {type(self._held).__name__}"

    def __eq__(self, other):
        return self._held == other._held


@case()
def a_class_that_says_it_is_another():
    made = Impostor()
    return made.__class__, type(made), isinstance(made, Named), Impostor.__name__


case(Wrapper(5), Wrapper(Impostor()))(lambda one, two: (one, isinstance(one, int), one.__name__, type(one), isinstance(two, Named)))


# ------------------------------------------------------------ classes of the standard library's making


@dataclasses.dataclass(slots=True, weakref_slot=True)
class Slotted:
    a: int
    b: str = "b"
    c: list = dataclasses.field(default_factory=list)

    def parent(self):
        return __class__.__name__


@dataclasses.dataclass(slots=True)
class MoreSlots(Slotted):
    d: int = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrozenSlots:
    a: int = 1


class Private:
    __slots__ = {"__a": "documented", "b": None}

    def __init__(self):
        self.__a = 5

    def get(self):
        return self.__a


class WithDict(Private):
    __slots__ = "__dict__"


class Tuple(collections.namedtuple("Tuple", "x y", defaults=[2])):
    __slots__ = ()

    def sum(self):
        return self.x + self.y


class Pair(typing.NamedTuple):
    """Of two."""

    x: int
    y: int = 2

    def sum(self):
        return self.x + self.y


class PairOfPairs(Pair):
    pass


class Movie(typing.TypedDict, total=False):
    name: typing.Required[str]
    year: int


class Sequel(Movie):
    number: int


T = typing.TypeVar("T")
K = typing.TypeVar("K")


class Node(typing.Generic[T]):
    def __init__(self, item: T):
        self.item = item


class Leaf(Node[int]):
    pass


class Map(dict[K, T]):
    pass


class GenericMovie(typing.TypedDict, typing.Generic[T]):
    item: T


class GenericPair(typing.NamedTuple, typing.Generic[T]):
    item: T


@typing.runtime_checkable
class Closing(typing.Protocol):
    name: str

    def close(self) -> None: ...


@typing.runtime_checkable
class Sized(typing.Protocol[T]):
    def size(self) -> T: ...


class Static(typing.Protocol):
    def close(self) -> None: ...


class Socket:
    name = "s"

    def close(self):
        pass


class Explicit(Closing):
    name = "e"


UserId = typing.NewType("UserId", int)
AdminId = typing.NewType("AdminId", UserId)


class Shape(abc.ABC):
    @property
    @abc.abstractmethod
    def area(self): ...

    @classmethod
    def __subclasshook__(cls, other):
        return True if "looks_like_a_shape" in vars(other) else NotImplemented


class Square(Shape):
    area = 1


@Shape.register
class Foreign:
    pass


class Similar:
    looks_like_a_shape = True


class Numbers(collections.abc.Sequence):
    def __getitem__(self, index):
        return range(3)[index]

    def __len__(self):
        return 3


class Point(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("x", ctypes.c_byte), ("y", ctypes.c_int), ("many", ctypes.c_short * 3)]

    def sum(self):
        return self.x + self.y + sum(self.many)


class Point3(Point):
    _fields_ = [("z", ctypes.c_double)]


class Linked(ctypes.Structure):
    def following(self):
        return self.next.contents


Linked._fields_ = [("value", ctypes.c_int), ("next", ctypes.POINTER(Linked)), ("point", Point)]


class Either(ctypes.Union):
    _anonymous_ = ("point",)
    _fields_ = [("point", Point), ("raw", ctypes.c_ubyte * 4)]


class Network(ctypes.BigEndianStructure):
    _fields_ = [("x", ctypes.c_uint16)]


class Handle(ctypes.c_void_p):
    note = ["n"]


case(Slotted(1), MoreSlots(2, c=[1]), FrozenSlots(a=2))(lambda *made: made)


@case(Slotted(1), WithDict())
def slots(made, more):
    more.c = weakref.ref(made)() is made
    changed = dataclasses.replace(made, b=5)
    return changed, hasattr(made, "__dict__"), made.parent(), more.get(), vars(more), Private.__slots__, type(more)


case(Tuple(1), Pair(1), PairOfPairs(1, 3))(lambda *made: (*made, [one.sum() for one in made], made[1]._replace(x=5), type(made[1])._fields))
case(Movie, Sequel)(lambda *cls: [(one(name="n"), one.__total__, one.__required_keys__, one.__optional_keys__) for one in cls])
case(Movie, Sequel, GenericMovie, GenericPair)(lambda *cls: cls)
case(Movie)(lambda cls: (typing.get_type_hints(cls), typing.is_typeddict(cls), cls.__annotations__.keys()))
case(Node(1), Leaf(2), GenericPair(3))(lambda *made: [type(one) for one in made])
case(Node[int], Map[str, int], Leaf.__orig_bases__, Node.__parameters__, GenericPair[str])(lambda *made: made)
case(UserId, AdminId)(lambda *made: (*made, made[1].__supertype__ is made[0], made[1](5)))


@case(Socket(), Explicit())
def protocols(socket, explicit):
    checked = isinstance(socket, Closing), isinstance(5, Closing), isinstance(socket, Sized), isinstance(explicit, Closing)
    try:
        isinstance(socket, Static)
    except TypeError:
        pass
    else:
        return "an instance of what cannot be checked"
    try:
        Closing()
    except TypeError:
        return checked, issubclass(Socket, Sized), Closing._is_protocol, Explicit._is_protocol
    return "an instance of a protocol"


@case()
def a_protocol_made_there():
    @typing.runtime_checkable
    class Wider(Closing, typing.Protocol):
        def open(self): ...

    Socket.open = Socket.close
    return isinstance(Socket(), Wider), isinstance(Explicit(), Wider)


@case(Square(), Foreign(), Similar(), 5)
def abstract_classes_know_their_own(*made):
    try:
        Shape()
    except TypeError:
        return [isinstance(one, Shape) for one in made], Shape.__abstractmethods__, Square.__abstractmethods__
    return "an instance of an abstract class"


@case(Numbers())
def a_sequence(numbers):
    match numbers:
        case [0, *rest]:
            return rest, list(reversed(numbers)), type(numbers)


@case(Point3(1, 2, (3, 4, 5), 6.0), Either(Point(7)), Network(1))
def structures(point, either, network):
    first = Linked(1, None, Point(1, 2))
    second = Linked(2, ctypes.pointer(first))
    sizes = [ctypes.sizeof(cls) for cls in (Point, Point3, Linked, Either, Network, Handle)]
    same = type(first.point) is Point, type(second.next) is ctypes.POINTER(Linked), isinstance(point.many, ctypes.c_short * 3)
    return point.sum(), point.z, second.following().value, either.x, list(either.raw), bytes(network), sizes, same, Handle.note


case(Point)(lambda cls: (cls, (cls * 2), ctypes.POINTER(cls), ctypes.CFUNCTYPE(cls, ctypes.c_int)))
case(Point * 2, ctypes.POINTER(Point), ctypes.CFUNCTYPE(Point, ctypes.c_int), Handle)(lambda *made: made)
case(Point3(1))(type)

# ------------------------------------------------------------ classes that know one another


class Outer:
    class Inner:
        def outer(self):
            return Outer, type(self)

        class Deeper:
            def inner(self):
                return Outer.Inner, Partner

    def inner(self):
        return self.Inner().outer()

    table: typing.ClassVar[dict] = {}


class Partner:
    other = Outer

    def find(self):
        return self.other.table


Outer.table.update({Outer: Partner, Partner: Outer.Inner, "partner": Partner()})


def versions(number):
    class Version:
        def __init__(self):
            super().__init__()
            self.cls = __class__

        def get(self):
            return number, self.cls is type(self) is Version

        def __init_subclass__(cls):
            super().__init_subclass__()
            cls.child = True

    class Child(Version):
        def get(self):
            return "child", *super().get()[:1], __class__.child

    return Version(), Child()


case(Outer(), Outer.Inner.Deeper())(lambda outer, deeper: (outer.inner(), deeper.inner()))
case(Partner())(lambda partner: (len(partner.find()), partner.find()[Outer] is Partner, type(partner.find()["partner"]) is Partner))
case(*versions(1), *versions(2))(lambda *made: ([type(one) for one in made], len(set(map(type, made))), [one.get() for one in made]))

# ------------------------------------------------------------ enumerations


class Bytes(bytes, enum.Enum):
    """As in Python's documentation."""

    def __new__(cls, value, label):
        made = bytes.__new__(cls, [value])
        made._value_ = value
        made.label = label
        return made

    A = (1, "one")
    B = (2, "two")


class Tens(int, enum.Enum):
    def __new__(cls, value):
        made = int.__new__(cls, value * 10)
        made._value_ = value
        return made

    ONE = 1
    UNO = 1
    TWO = 2


class Text(str, enum.Enum):
    def __new__(cls, number, text):
        made = str.__new__(cls, text)
        made._value_ = number
        return made

    A = 1, "a"
    B = 2, "b"


@dataclasses.dataclass
class Creature:
    size: str
    legs: int = dataclasses.field(repr=False)


class Animal(Creature, enum.Enum):
    BEETLE = "small", 6
    DOG = "medium", 4


@dataclasses.dataclass(frozen=True)
class Price:
    amount: int
    tags: tuple = ()


class Prices(Price, enum.Enum):
    LOW = 1, ("a",)
    HIGH = 5


class Period(datetime.timedelta, enum.Enum):
    DAY = 1
    HOUR = 0, 3600


class Day(datetime.date, enum.Enum):
    FIRST = 2020, 1, 1


class When(datetime.datetime, enum.Enum):
    THEN = 2020, 1, 1, 12


class Amount(decimal.Decimal, enum.Enum):
    HALF = "0.5"


class AbstractEnum(abc.ABCMeta, enum.EnumMeta):
    pass


class Ratio(abc.ABC):
    __slots__ = ("d", "n")

    def __init__(self, n, d):
        self.n, self.d = n, d

    def __eq__(self, other):
        return (self.n, self.d) == (other.n, other.d)

    def __hash__(self):
        return hash((self.n, self.d))


class Part(Ratio, enum.Enum, metaclass=AbstractEnum):
    THIRD = 1, 3


class Place(pathlib.PurePosixPath, enum.Enum):
    ROOT = "/"
    HOME = "/home"


class Couple(tuple, enum.Enum):
    A = (1, [2])


class Named2(Pair, enum.Enum):
    A = 1, 2
    B = 3


class Lists(list, enum.Enum):
    A = [1, 2]
    B = ["x"]


class Sets(frozenset, enum.Enum):
    A = {1, 2}


class Operation(enum.Enum):
    @enum.member
    def add(a, b):
        return a + b

    half = enum.member(functools.partial(lambda a, b: a / b, b=2))
    note = enum.nonmember("a note")

    def __call__(self, *args):
        return self.value(*args)


class Loose(enum.Enum):
    _ignore_ = ["i", "made"]
    made = vars()
    for i in range(3):
        made[f"N{i}"] = i

    @classmethod
    def _missing_(cls, value):
        return cls.N0 if value is None else None

    @staticmethod
    def _generate_next_value_(name, start, count, last):
        return name.lower()

    AUTO = enum.auto()
    ALIAS = AUTO
    LIST = [1, 2]
    ALSO = [1, 2]


class Plain(enum.StrEnum):
    A = enum.auto()
    B = "bb"


class Ring(enum.Enum):
    A = 1
    B = 2
    C = 3

    @property
    def following(self):
        return self.next


Ring.A.next, Ring.B.next, Ring.C.next = Ring.B, Ring.C, Ring.A
Ring.A.table = {Ring.A: "a", Ring.B: "b"}
Ring.first = Ring.A
NAMES = {Ring.A: "a", Ring.B: "b"}


class Perm(enum.Flag):
    R = enum.auto()
    W = enum.auto()
    X = enum.auto()
    RW = R | W
    NONE = 0

    def __init__(self, value):
        self.label = [value]


class Bits(enum.IntFlag, boundary=enum.KEEP):
    A = 1
    B = 4


class Firm(enum.Flag, boundary=enum.CONFORM):
    A = 1
    B = 4


Perm.everything = Perm.R | Perm.W | Perm.X
Perm.R.opposite = ~Perm.R
ITEMS = {Perm.R | Perm.X: 1}


class Loud(enum.EnumMeta):
    def __new__(mcs, name, bases, namespace, **options):
        made = super().__new__(mcs, name, bases, namespace)
        made.options = options
        made.members = [*made]
        return made


class Louder(enum.Enum, metaclass=Loud, volume=11):
    A = 1


class Empty(enum.Enum):
    def shout(self):
        return self.name.upper(), super().__hash__() == hash(self)


class Filled(Empty):
    a = 1


class Odd(enum.Enum):
    """Members with the names of properties."""

    name = 1
    value = 2
    mine = 3


Functional = enum.Enum("Functional", "A B", module=__name__)


@enum.global_enum
class Global(enum.IntEnum):
    GLOBAL_A = 1


@enum.unique
class Nothing(enum.Enum):
    NONE = None
    TRUE = True
    NAN = float("nan")


class Dynamic(enum.IntEnum):
    """Makes members as they are asked for."""

    KNOWN = 1

    @classmethod
    def _missing_(cls, value):
        made = int.__new__(cls, value)
        made._name_, made._value_ = f"UNKNOWN_{value}", value
        cls._value2member_map_[value] = made
        return made


class Holder(enum.Enum):
    """With values that lead to it."""

    SELF = ["later"]
    CLASS = Creature
    METHOD = (len, lambda: Holder.CLASS)

    def of(self):
        return Holder.SELF


Holder.SELF.value.append(Holder.SELF)
Holder.SELF.value.append(Holder)


def described(member):
    told = type(member), member._name_, member._value_, sorted(set(vars(member)) - {"_inverted_"})
    try:
        return *told, repr(member), str(member)
    except TypeError:  # Python 3.11 takes the repr() of the mixed-in class for that of the value
        return told


def hashed(member):
    with contextlib.suppress(TypeError):
        return {member: 1}


ENUMS = (Bytes, Tens, Text, Animal, Prices, Period, Day, When, Amount, Part, Place, Couple, Named2, Lists, Plain, Ring, Perm, Bits, Firm)
ENUMS += (Louder, Filled, Odd, Functional, Global, Sets)

for cls in ENUMS:
    members = [*cls.__members__.values()]
    case(*members)(lambda *members: ([described(one) for one in members], [one is type(one)(one.value) for one in members]))
    case(*members)(lambda *members: (members, type(members[0])[members[0]._name_] is members[0]))
    case(cls)(lambda cls: (cls, list(cls), dict(cls.__members__), cls.__name__, cls._member_type_))
    case(members[0])(lambda member: (hashed(member), member == type(member)[member._name_]))
    case()(lambda cls=cls: [*cls])

case(Bytes.A)(lambda member: (bytes(member), member.label, member.value, Bytes(1) is member))
case(Tens.TWO)(lambda member: (int(member), member + 1, Tens(2) is member, Tens.UNO is Tens.ONE, Tens(1)))
case(Text.B)(lambda member: (str.__str__(member), Text(2) is member, member.upper()))
case(Animal.DOG)(lambda member: (member.legs, member.size, Animal.BEETLE.legs))
case(Prices.LOW)(lambda member: (member.tags, member.amount, {Prices.LOW: 1}[member]))
case(Period.HOUR)(lambda member: (member + Period.DAY, member.total_seconds()))
case(Lists.A)(lambda member: ([*member], member * 2, Lists([1, 2]) is member))
case(Operation.half)(lambda half: (half(4), Operation.add(1, 2), Operation.note, half is Operation.half))
case(Loose.N1, Loose.LIST)(lambda *m: (m, Loose(None), Loose.AUTO, Loose("auto"), Loose.ALIAS, Loose([1, 2]) is m[1], [*Loose], Loose.ALSO))
case(Ring.A)(lambda a: (a.following, a.next.next.next is a, a.table[a], NAMES[a], NAMES[Ring.B], Ring.first is a, a.table.keys()))
case(NAMES, [Ring.B, Ring.B])(lambda names, pair: (names, pair, names[pair[0]], pair[0] is Ring.B))
case(Perm.R)(lambda r: (~r, r | Perm.X, ITEMS[r | Perm.X], Perm.everything, r.opposite, ~~r is r, Perm(0), Perm.RW.label))
case(Perm.R | Perm.X)(lambda both: (both, both is Perm.R | Perm.X, list(both), both.name, Perm.X in both, ~both))
case(~Perm.R, Perm.RW)(lambda one, two: (one, two, one | two, one & two, two is Perm(3), two is (Perm.R | Perm.W)))
case(Bits.A | 8, Bits.B)(lambda one, two: (one, int(one), one | two, two.name, Bits(8), ~two))
case(Firm.A | Firm.B)(lambda both: (both, Firm(2 | 4), Firm._boundary_))
case(Louder.A)(lambda member: (member, Louder.options, Louder.members[0] is member))
case(Filled.a)(lambda member: (member.shout(), member))
case(Odd["name"], Odd.mine)(lambda *members: (members, members[0].name, members[0].value, Odd["value"].value, Odd.name, Odd.mine.name))
case(Nothing.NONE, Nothing.TRUE, Nothing.NAN)(lambda *m: (m, Nothing(None) is m[0], Nothing(True) is m[1], m[2] is Nothing.NAN))
case(Dynamic(5), Dynamic.KNOWN)(lambda *m: (m, m[0].name, Dynamic(5) is m[0], [type(x) for x in (Dynamic(6), Dynamic(1))]))
case(Holder.SELF, Holder.METHOD)(
    lambda one, two: (one, one.value[1] is one, one.value[2] is Holder, two.value[1](), one.of() is one, Holder.CLASS.value)
)
case(Holder)(lambda cls: (cls, list(cls)))
case(Part.THIRD)(lambda part: (part.n, part.d, vars(part).keys()))
case(Place.HOME)(lambda place: (place.name, place.parts, place.is_absolute()))


# ------------------------------------------------------------ bound methods


class Runner:
    def __init__(self):
        self.log = []

    def run(self):
        return "of the class"

    def bare(self):
        return [self.run(), self.log]

    @classmethod
    def of_class(cls):
        return cls.__name__


class Dressed(Runner):
    def __getattribute__(self, name):
        if name in ("run", "of_class"):
            return lambda: "of nobody"
        return super().__getattribute__(name)


class SlottedRunner(Runner):
    __slots__ = ("run",)


runner, dressed, slotted = Runner(), Dressed(), SlottedRunner()
methods = [runner.run, runner.bare, runner.of_class, Runner.run.__get__(dressed), Runner.run.__get__(slotted)]
runner.run = lambda: "of the object"
slotted.run = lambda: "of the slot"
case(*methods)(lambda *methods: [method() for method in methods])
case(*methods)(lambda first, second, *_: first.__self__ is second.__self__)


def shown(value):
    try:
        return repr(value)[:200]
    except Exception as error:
        return f"<a {type(value)} without repr: {error}>"


def alike(got, expected):
    """Equal, and the same object where it is a class or a member."""
    if isinstance(expected, type | enum.Enum):
        return got is expected
    if type(got) is not type(expected):
        return False
    if isinstance(expected, list | tuple):
        return len(got) == len(expected) and all(map(alike, got, expected))
    if isinstance(expected, dict):
        return alike([*got.items()], [*expected.items()])
    return got == expected or type(expected) in (Runner, First, Again)


def main():
    import manyhands

    failed = 0
    with manyhands.Executor(1) as executor:
        for name, (function, arguments) in CASES.items():
            expected = function(*arguments)
            try:
                for _ in range(2):
                    got = executor.submit(function, *arguments).result()
                    if not alike(got, expected):
                        break
            except Exception as error:
                got = error
            if not alike(got, expected):
                failed += 1
                print(f"{name}: {shown(got)} is not {shown(expected)}")
    print(f"{failed} of {len(CASES)} failed")


if __name__ == "__main__":
    main()
