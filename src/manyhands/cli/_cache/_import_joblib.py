"""``manyhands cache import-joblib``: results of joblib's, for Memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from manyhands.cli._cache import _stores, _words
from manyhands.cli._loading import CannotLoad, load_module
from manyhands.memory._joblib_store import joblib_cache_modules

if TYPE_CHECKING:
    from types import ModuleType

    from manyhands.memory._joblib_import import ImportedFunction


@click.command("import-joblib", short_help="Take over what joblib.Memory has stored.")
@click.argument("joblib_location", metavar="JOBLIB_LOCATION")
@_stores.location
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
@_stores.key_file
def command(joblib_location: str, location: str, modules: tuple[str, ...], key_file: str | None) -> int:
    """Take over what joblib.Memory has stored in JOBLIB_LOCATION into LOCATION, which is made if it is not there.

    joblib need not be installed, and its folder stays as it is.

    Results are kept under the functions as they are now, and under joblib's digest of the arguments: the first call with the same arguments
    finds its result, which from then on is like any other. To that end the MODULEs are imported; without any, those that
    JOBLIB_LOCATION names. Functions of a script are found if its file is among the MODULEs (train.py); what it does outside of functions is
    done then.

    As with joblib, the source of a function must be what it was, to the letter. At its helpers, constants and packages joblib does not
    look: if you have changed any since, remove those results first, or do not import them. From the import on, Memory looks at all of it.

    Never found, and computed anew: calls with functions or objects of your own classes among the arguments, with masked arrays, and such
    that joblib digested differently, under other versions of Python or numpy. Not imported: decorated and nested functions, lambdas.

    What is in JOBLIB_LOCATION is unpickled, which can run code: import only what you would have joblib load. The exit status is 1 if
    nothing was imported.

    \b
    Examples:
        manyhands cache import-joblib old-cache cache
        manyhands cache import-joblib old-cache cache train.py shop.prices
    """
    try:
        names = joblib_cache_modules(joblib_location)
    except FileNotFoundError as error:
        raise click.BadParameter(str(error), param_hint="JOBLIB_LOCATION") from None
    with _stores.opened(location, key_file, may_be_new=True) as memory:
        loaded = [_loaded(name) for name in modules] or _importable(names)
        found = memory.import_joblib(joblib_location, loaded)
    for one in found:
        print(_line(one))
    imported, entries = sum(one.imported for one in found), sum(one.entries for one in found)
    print(f"{imported:,} of {_words.counted(entries, 'result')} imported")
    return 0 if imported else 1


def _loaded(name: str) -> ModuleType:
    try:
        return load_module(name)
    except CannotLoad as error:
        raise click.BadParameter(str(error), param_hint="MODULE") from error


def _importable(names: list[str]) -> list[ModuleType]:
    """Of each dotted name, the longest part that is a module: where a class follows, joblib does not say."""
    found: dict[str, ModuleType] = {}
    for name in names:
        steps = name.split(".")
        for end in range(len(steps), 0, -1):
            try:
                module = load_module(".".join(steps[:end]))
            except CannotLoad as error:
                if error.__cause__ is not None:  # it is there, and does not import
                    click.echo(f"warning: {error}", err=True)
                    break
            else:
                found[module.__name__] = module
                break
    return list(found.values())


def _line(one: ImportedFunction) -> str:
    name = f"{one.function.module}.{one.function.name}"
    if one.function.script:  # as joblib's folder is called: where in it a dash is a slash, it does not say
        name = f"__main__-{one.function.script}{name.removeprefix('__main__')}"
    return f"{name}: {one.imported:,} of {_words.counted(one.entries, 'result')}{f' ({one.reason})' if one.reason else ''}"
