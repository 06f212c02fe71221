"""What ``manyhands.watch()`` does, and gives."""

from __future__ import annotations

import html
import sys
from typing import TYPE_CHECKING, Literal

from manyhands._probe import _probe
from manyhands.watch import _choices, _notebook, _origin, _plain, _starting

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from types import CodeType, TracebackType


_TALL = 720  # pixels of the frame in a notebook


class Watching:
    """This program is being watched. Leaving it as a ``with`` block is :meth:`stop`.

    Attributes:
        url: the address of the page, with the token that lets who has it in; empty if there is no page.
    """

    def __init__(self, observer: _starting.Observer) -> None:
        self.url = observer.url
        self._frame = observer.frame

    def stop(self) -> None:
        """Watch this program no more. The page keeps what it has shown until nobody looks at it any more."""
        _starting.leave("done", "")

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _starting.leave(*_starting.ending(kind, error))

    def __repr__(self) -> str:
        return f"<manyhands.watch at {self.url}>" if self.url else "<manyhands.watch without a page>"

    def show(self) -> None:
        """In a notebook: show the page in a frame below this cell. ``manyhands.watch()`` has done that for its own.

        Raises:
            RuntimeError: this program is no notebook.
        """
        if not _notebook.is_one():
            raise RuntimeError("this program is no notebook: what shows a frame is not there")
        _notebook.show(self._repr_html_(), repr(self))

    def _ipython_display_(self) -> None:
        if not _notebook.is_one():
            raise NotImplementedError  # IPython shows it as it shows anything
        self.show()

    def _repr_html_(self) -> str:
        """The page in a frame, for notebooks."""
        address = html.escape(self._frame, quote=True)
        if not address:
            return html.escape(repr(self))
        return f'<iframe src="{address}" title="manyhands" width="100%" height="{_TALL}" style="border: 0"></iframe>'


@_choices.told_by_name
def watch(
    *,
    name: str | None = None,
    level: Literal["sample", "touch", "auto", "exact"] = "sample",
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | object = None,
    arguments: bool = False,
    control: bool = False,
    terminal: bool = False,
    browser: bool | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    save: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
) -> Watching:
    """Show this program, and all its workers, live on a page in the browser; in a notebook, in a frame below the cell.

    From now on, until the program ends or :meth:`Watching.stop`. The page is made by a process of its own, which outlives this program by
    some seconds, half a minute if nobody has looked yet, and by as long as somebody looks; programs of the same user that are watched at
    the same time are on one page. Called again, it changes what was chosen for this program.

    Example:
        >>> import manyhands
        >>> with manyhands.watch(browser=False) as watching:  # doctest: +SKIP
        ...     print(watching.url)
        ...     results = manyhands.map(work, inputs)

    Args:
        name: what the run is called; None (the default): by the program's file.
        level: what is told of lines. "sample" (the default): where each thread is, twenty times a second. Python tells that only where
            functions begin, loops go back and calls return: the time of what is between two such places goes to the later one, that
            of a function's beginning to its first line. "touch": besides, which lines have run. "auto": how often they have, within a
            small share of the time, so that it is an estimate where much runs (≈), with its error, which is large while little is known.
            "exact": how often, at 1.5 to 4 times the time; in Python 3.11, at 4 to 22 times.
        files: the files of which lines are told: a part of their paths, several, or what ``manyhands.watch.files`` gives. None (the
            default): those of the project, not those of installed packages.
        arguments: show the arguments of tasks. They may be secret, so by default they are not.
        control: tasks may be cancelled, and workers paused and restarted, from the page. By default they may not. It holds for workers
            that are processes of manyhands. A task that is cancelled fails with ``TaskCancelled``, and is not retried. A worker that is
            paused is stopped at once, with the processes that it has started; what it had not begun runs elsewhere, the ``timeout`` of
            its task stands still, and it goes on when its pool is shut down or nobody watches any more. Others who wait for what it
            holds, a lock say, wait until then. One that is restarted ends its task first.
        terminal: show the run in this terminal as well: at its bottom, with what is printed above, and a summary when it has ended. Where
            standard error is no terminal, a line now and then. It needs no page.
        browser: open the page; None (the default): if the program has been started in a terminal of a desktop, nobody looks at the page,
            and the run is not shown in the terminal.
        port: of the page; 0 (the default): one that is free. Where there is a page already, it stays where it is.
        host: the address that the page can be reached by. Besides "127.0.0.1", which only this machine's own users can reach, it is for
            networks that you trust: the page is not encrypted.
        save: the path of a file, or several, to look at the run afterwards; they are written when it ends. How a name ends says what it
            is: ".html" the page, which shows the run again by time, without a network; ".trace.json" a trace for ui.perfetto.dev;
            ".speedscope.json" the stacks for speedscope.app; ".jsonl" all that has happened, one JSON object on each line.

    **Promises.** The program runs as it would otherwise, and if the observer is killed, goes on as if it were not watched. Nothing of it
    stays when the program ends. Only who has the address with its token, which is told on standard error, sees the page.

    Raises:
        ValueError: an argument is not allowed.
        WatchMissing: the page needs packages that are not installed: ``pip install starlette uvicorn``. What is shown in the terminal,
            or is only saved, needs none.
        WatchFailed: there is no observer, and none could be started.
    """
    choices = _choices.checked(
        name=name,
        level=level,
        files=files,
        arguments=arguments,
        control=control,
        terminal=terminal,
        browser=browser,
        port=port,
        host=host,
        save=save,
    )
    part = _origin.of_this_process()
    watching = Watching(begin(choices, part))
    if part is not None:
        _starting.tell_program(part, choices)
    _plain.begin()
    if _notebook.is_one():
        watching.show()
    return watching


def begin(choices: _choices.Choices | None = None, part: _origin.Part | None = None) -> _starting.Observer:
    """Join, as it has been chosen or by default, and say on standard error where the page is, if it has not been said.

    ``part``: this process is one of a program that has not joined itself.

    Raises:
        WatchMissing, WatchFailed: as :func:`watch`.
    """
    was_watched = _starting.is_watched()
    if choices is None:  # an option of a call says so, in whatever process that is
        part = _origin.of_this_process()
    observer = _starting.join(choices or _choices.Choices(), part)
    if choices is not None and choices.terminal:
        _starting.show()
    if not observer.url and choices is not None and choices.save and not choices.terminal and not was_watched and sys.stderr is not None:
        sys.stderr.write(f"manyhands: this run is saved, but is on no page: that needs {_starting.INSTALL}\n")
    if not observer.url or was_watched or not (part is None or _starting.is_first(part)):
        return observer
    if _notebook.is_one():
        Watching(observer).show()
    elif sys.stderr is not None:
        sys.stderr.write(f"manyhands: this run is shown at {observer.url}\n")
        sys.stderr.flush()
    return observer


def begin_at(code: CodeType) -> None:
    """What is outside of this code, on the stack of the main thread, is none of the program's."""
    probe = _probe.here()
    if probe is not None:
        probe.sampler.boundaries.add(id(code))
