"""From LOCATION to the store that is there, and from a name to the function that is meant."""

from __future__ import annotations

import contextlib
import difflib
import os
from typing import TYPE_CHECKING, Any

import click

from manyhands import errors
from manyhands.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_NAME = "manyhands"  # of the folder below a location
_JOBLIB = "joblib"

location = click.argument("location", metavar="LOCATION")
key_file = click.option("--key-file", metavar="FILE", help="The key that the results are signed with: what Memory(key=) was given.")
one_function = click.option("--function", metavar="NAME", help="Only results of this function; the end of its name is enough.")
as_json = click.option("--json", "as_json", is_flag=True, help="As JSON; sizes in bytes, times in seconds.")


@contextlib.contextmanager
def opened(place: str, key: str | None, *, may_be_new: bool = False) -> Iterator[Memory]:
    """What is stored at a location; nothing is written to it, or evicted, by opening it.

    Raises:
        click.BadParameter: there is no store, or none that may be used.
    """
    root = _root_of(place)
    if not may_be_new or os.path.exists(root):
        _check(place, root, may_be_new=may_be_new)
    try:
        memory = Memory(root, size_limit=None, key=key)
        memory.store  # noqa: B018 - it is looked at now
    except OSError as error:
        raise _bad(str(error), "--key-file" if isinstance(error, FileNotFoundError) else "LOCATION") from None
    except ValueError as error:
        raise _bad(str(error), "--key-file") from None
    try:
        yield memory
    except errors.StoreRefused as error:
        raise _bad(str(error).replace("open the store with the key", "give the key (--key-file)"), "--key-file") from None
    except OSError as error:
        raise click.ClickException(str(error)) from None
    finally:
        memory.close()


def function_named(name: str, known: Iterable[str]) -> str:
    """The function that is meant: its whole name, or the end of it.

    Raises:
        click.BadParameter: there is none, or there are several.
    """
    names = set(known)
    if name in names:
        return name
    found = sorted(other for other in names if other.endswith(f".{name}"))
    if len(found) == 1:
        return found[0]
    if found:
        raise _bad(f"{name!r} may be {', '.join(found)}; give more of its name", "--function")
    alike = difflib.get_close_matches(name, names | {other.rpartition(".")[2] for other in names})
    close = sorted(other for other in names if other in alike or other.rpartition(".")[2] in alike)
    hint = f"; is it {' or '.join(close)}?" if close else ""
    raise _bad(f"no results of {name!r} are stored{hint}", "--function")


def maybe_named(memory: Memory, name: str | None) -> str | None:
    """The same where a function need not be given."""
    return None if name is None else function_named(name, (summary.function for summary in functions_of(memory)))


def functions_of(memory: Memory) -> list[Any]:
    """What is stored of each function."""
    return list(memory.store.functions())


def added(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several parameters at once, in this order."""

    def add(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _root_of(place: str) -> str:
    """The location, also where the folder in it was named."""
    path = os.path.abspath(os.path.expanduser(place))
    is_inner = os.path.basename(path) == _NAME and os.path.isdir(os.path.join(path, "entries"))
    return os.path.dirname(path) if is_inner else path


def _check(place: str, root: str, *, may_be_new: bool) -> None:
    if not os.path.exists(root):
        raise _bad(f"there is no folder {place!r}")
    if not os.path.isdir(root):
        raise _bad(f"{place!r} is no folder")
    if may_be_new or os.path.lexists(os.path.join(root, _NAME)):
        return
    if os.path.isdir(os.path.join(root, _JOBLIB)):
        raise _bad(f"{place!r} holds results of joblib's; `manyhands cache import-joblib {place} {place}` takes them over")
    raise _bad(f"nothing is stored in {place!r}: it has no folder {_NAME!r}, which Memory makes with the first result")


def _bad(message: str, hint: str = "LOCATION") -> click.BadParameter:
    return click.BadParameter(message, param_hint=hint)
