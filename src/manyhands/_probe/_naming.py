"""Numbers for what is long: texts, places in code, stacks. Each is told once, and only its number after that.

Stacks are found again by where their frames are in their code, without hashing a code object: that costs more than the look at the thread.
A code object that has a number is kept, for its address would be another's; when there are too many, all begin anew.
"""

from __future__ import annotations

import itertools
import opcode
from typing import TYPE_CHECKING, Any

from manyhands._probe._sources import told_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import CodeType, FrameType

_MOST_CODES = 20_000
_MOST_STACKS = 50_000
_MOST_TEXTS = 50_000
_DEEPEST = 200
_RESUME = opcode.opmap["RESUME"]


class Names:
    """``tell(message)`` sends what is new. Any thread may ask for a text; all else is asked for by one."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._texts: dict[str, int] = {}
        self._codes: dict[int, tuple[CodeType, int]] = {}
        self._numbers_of_files: dict[str, int] = {}
        self._lines: dict[tuple[int, int], int] = {}
        self._stacks: dict[tuple[tuple[int, int], ...], int] = {}
        self._files: set[str] = set()  # of code that has a number
        self._new = itertools.count(1).__next__

    def text(self, text: str) -> int:
        """The number of a text; 0 is that of the empty one."""
        if not text:
            return 0
        number = self._texts.get(text)
        if number is None:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts.clear()
            number = self._texts[text] = self._new()
            self._tell({"text": number, "is": text})
        return number

    def stack(self, frame: FrameType | None, boundaries: Collection[int] = (), own: tuple[str, ...] = ()) -> int:
        """The number of a thread's stack; ``frame`` is the innermost.

        ``boundaries``: ids of code objects. What is in none of them is no stack that is to be shown: 0; of what is, the part inside.
        ``own``: how files begin whose frames, directly inside a boundary, are none that is to be shown either.
        """
        if len(self._codes) >= _MOST_CODES or len(self._stacks) >= _MOST_STACKS:
            self._forget()
        places: list[tuple[int, int]] = []
        codes = self._codes
        while frame is not None and len(places) < _DEEPEST:
            code = frame.f_code
            if id(code) in boundaries:
                break
            if id(code) not in codes:
                self._number(code)
            places.append((id(code), frame.f_lasti))
            frame = frame.f_back
        if boundaries:
            if frame is None:
                return 0
            while places and codes[places[-1][0]][0].co_filename.startswith(own):
                places.pop()
            if not places:
                return 0
        key = tuple(places)
        number = self._stacks.get(key)
        if number is None:
            number = self._stacks[key] = self._new()
            self._tell({"stack": number, "frames": [[codes[code][1], self._line(code, at)] for code, at in places]})
        return number

    def _forget(self) -> None:
        self._codes.clear()
        self._lines.clear()
        self._stacks.clear()

    def file(self, path: str) -> int:
        """The number of a file, which is told as that of code without a name."""
        number = self._numbers_of_files.get(path)
        if number is None:
            number = self._numbers_of_files[path] = self._new()
            if path not in self._files:
                self._note_file(path)
            self._tell({"code": number, "file": path, "name": "", "line": 0})
        return number

    def code(self, code: CodeType) -> int:
        """The number of a code object."""
        known = self._codes.get(id(code))
        return self._number(code) if known is None else known[1]

    def _number(self, code: CodeType) -> int:
        number = self._new()
        self._codes[id(code)] = code, number
        if code.co_filename not in self._files:
            self._note_file(code.co_filename)
        self._tell({"code": number, "file": code.co_filename, "name": code.co_qualname, "line": code.co_firstlineno})
        return number

    def _note_file(self, file: str) -> None:
        self._files.add(file)
        text = told_text(file)
        if text is not None:
            self._tell({"source": file, "is": text})

    def _line(self, code: int, at: int) -> int:
        line = self._lines.get((code, at))
        if line is None:
            line = self._lines[code, at] = _line_of(self._codes[code][0], at)
        return line


def _line_of(code: CodeType, at: int) -> int:
    if at <= (begin := 2 * code.co_code[::2].find(_RESUME)):
        return _first_line(code, begin)
    line = _noted_line(code, at)
    return line or _noted_line(code, _target(code, at)) or code.co_firstlineno


def _first_line(code: CodeType, begin: int) -> int:
    """Of the body: a thread that calls functions gives up Python's lock where they begin, which is at no line of theirs but the first."""
    return next((line for _, end, line in code.co_lines() if end > begin + 2 and line is not None), code.co_firstlineno)


def _noted_line(code: CodeType, at: int) -> int | None:
    return next((line for start, end, line in code.co_lines() if start <= at < end), None)


def _target(code: CodeType, at: int) -> int:
    """Where a jump leads; those that close loops may have no line, and are where Python's lock is given up."""
    import dis  # noqa: PLC0415 - for few places, once each

    jumps = {*dis.hasjrel, *dis.hasjabs}
    found = next((each for each in dis.get_instructions(code) if each.offset >= at), None)
    return found.argval if found is not None and found.opcode in jumps else at
