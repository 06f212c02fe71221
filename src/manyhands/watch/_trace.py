"""heartrate's call: ``manyhands.watch.trace()``, and what its ``files`` may be."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._core.options import refuse
from manyhands._probe import _files, _probe
from manyhands.errors import WatchFailed
from manyhands.watch import _choices, _origin, _starting, _watching

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from manyhands.watch._watching import Watching


class Rule(NamedTuple):
    """Which files: called with a path, it says whether that is one. Other processes can be told of it."""

    says: tuple[tuple[str, Any], ...]

    def told(self) -> dict[str, Any]:
        """The rule as plain data."""
        return dict(self.says)

    def __call__(self, path: str) -> bool:
        return _files.chooser(self.told())(path)


class Files:
    """What ``files`` may be, for :func:`trace` and ``manyhands.watch()``.

    Attributes:
        all: every file, also those of the standard library and of packages that are installed, but for manyhands' own.
    """

    all = Rule((("all", True),))

    @staticmethod
    def path_contains(*parts: str) -> Rule:
        """Files whose path has one of these texts in it.

        Example:
            >>> from manyhands.watch import files
            >>> files.path_contains("myproject", "helpers")("/home/me/helpers/text.py")
            True
        """
        return Rule((("contains", list(parts)),))

    @staticmethod
    def contains_regex(pattern: str) -> Rule:
        """Files in whose text a regular expression is found.

        Raises:
            re.error: it is none.
        """
        re.compile(pattern)
        return Rule((("regex", pattern),))


files = Files()
_MARKED = files.contains_regex(r"#\s*heartrate")


def trace(
    files: Callable[[str], object] | Rule = _MARKED,
    port: int = 9999,
    host: str = "127.0.0.1",
    browser: bool = False,
    daemon: bool = False,
) -> Watching:
    """Show how often the lines of the calling file run, with heartrate's name and parameters.

    It is ``manyhands.watch(level="auto")`` for the calling file and those that ``files`` chooses: the whole run is on one page. It may be
    called in the program, in its threads, and in the initializer of each worker: all are on the same page, also workers of
    ``multiprocessing`` whose program does not call it.

    Example:
        >>> import manyhands
        >>> manyhands.watch.trace(files=manyhands.watch.files.path_contains("myproject"))  # doctest: +SKIP

    Args:
        files: which other files: ``manyhands.watch.files.all``, ``.path_contains(...)``, ``.contains_regex(...)``, or a function of the
            path, which holds for this process alone. By default those with a comment ``# heartrate``.
        port: of the page. Where there is a page already, it stays where it is; where another program has the port, any other is taken.
        host: the address that the page can be reached by.
        browser: open the page.
        daemon: makes no difference: the page is served by another process, which never keeps the program from ending.

    Raises:
        ValueError: an argument is not allowed.
        WatchMissing, WatchFailed: see ``manyhands.watch``.
    """
    if not callable(files):
        raise refuse("files", files, "files.all, files.path_contains(...), files.contains_regex(...), or a function of the path")
    if not isinstance(daemon, bool):
        raise refuse("daemon", daemon, "True or False")
    caller = _caller(sys._getframe(1))  # noqa: SLF001 - there is no other way
    if caller and caller not in _callers:
        _callers.append(caller)
    asked = {**(files.told() if isinstance(files, Rule) else {"contains": []}), "also": list(_callers)}
    choices = _choices.checked(level="auto", port=port, host=host, browser=browser)._replace(files=asked, is_trace=True)
    part = _origin.of_this_process()
    watching = _watching.Watching(_begin(choices, part))
    if part is not None:
        _starting.tell_program(part, choices)
    probe = _probe.here()
    if probe is not None:
        probe.count_lines("auto", asked if isinstance(files, Rule) else lambda path: path in _callers or files(path))
    return watching


def _caller(frame: FrameType | None) -> str:
    """The file that has called, or that whose call of a library has; empty: that is no file of the program's."""
    while frame is not None:
        path = frame.f_code.co_filename
        if _files.is_own(path) or frame.f_globals.get("__name__") == "__main__":
            return path
        frame = frame.f_back
    return ""


_callers: list[str] = []  # files of this process in which it has been called


def _begin(choices: _choices.Choices, part: _origin.Part | None) -> _starting.Observer:
    try:
        return _watching.begin(choices, part)
    except WatchFailed:
        if not choices.port:
            raise
        return _watching.begin(choices._replace(port=0), part)  # that port may be another program's
