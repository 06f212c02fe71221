"""Lines that stay at the bottom of a terminal, while whatever is printed goes on above them.

The terminal itself is told to scroll only the part above (DECSTBM). So it does not matter who prints there, and how: the program, its
workers, C code, other programs, bars of rich and tqdm, a prompt. Each picture is one write, which leaves the cursor where it was. Pure:
what is to be written is given back.
"""

from __future__ import annotations

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_ALL = "\x1b[r"  # the whole terminal scrolls again
_ERASE_BELOW = "\x1b[J"
_DOWN, _UP = "\x1bD", "\x1b[{}A"  # down it scrolls, where that is the end
_LINE = "\x1b[{};1H\x1b[2K{}\x1b[m"


class Panel:
    """It is as high as the highest picture so far, so that nothing moves up and down.

    Attributes:
        is_open: it is on the terminal.
    """

    def __init__(self) -> None:
        self._size = (0, 0)  # columns and rows of the terminal
        self._height = 0
        self.is_open = False

    def shown(self, lines: list[str], columns: int, rows: int) -> str:
        """What shows these lines, of which there are fewer than rows."""
        start = ""
        if self.is_open and (columns, rows) != self._size:
            start = self.closed()  # where it was the terminal knows alone; all of it was below the cursor
            self._height = 0
        height = max(len(lines), min(self._height, rows - 1)) if self.is_open else len(lines)
        if not self.is_open or height > self._height:
            start += self._room(height, rows, self._height if self.is_open else 0)
        self.is_open, self._size, self._height = True, (columns, rows), height
        shown = [*lines, *[""] * (height - len(lines))]
        body = "".join(_LINE.format(rows - height + index + 1, line) for index, line in enumerate(shown))
        return f"{start}{_SAVE}{_scrolling(rows - height)}{body}{_RESTORE}"

    def _room(self, height: int, rows: int, before: int) -> str:
        """Lines are free at the bottom, and the cursor is above them."""
        more = height - before
        return f"{_DOWN * more}{_UP.format(more)}{_SAVE}{_scrolling(rows - height)}{_RESTORE}"

    def closed(self) -> str:
        """What takes it away."""
        if not self.is_open:
            return ""
        self.is_open = False
        return f"{_SAVE}{_ALL}{_RESTORE}{_ERASE_BELOW}"


def _scrolling(rows: int) -> str:
    """Only the first rows scroll."""
    return f"\x1b[1;{rows}r"


def new_line(columns: int) -> str:
    """What goes to the begin of a line in which nothing is, also where a program has begun one: spaces up to its end lead to the next."""
    return f"{' ' * columns}\r\x1b[K"


RESET = f"{_SAVE}{_ALL}{_RESTORE}{_ERASE_BELOW}"  # for a terminal whose panel nobody takes away any more
