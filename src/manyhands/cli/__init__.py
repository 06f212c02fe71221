"""The command line.

=============  ==================================================================
``_app``       the group of commands, each loaded when it is called (``_lazy``)
``_map``       ``manyhands map``; ``_run`` does the work, ``_journal`` remembers it,
               ``_task`` runs in the workers, ``_loading`` finds the function,
               ``_streams`` reads and writes, ``_failures`` words what went wrong
``_cache``     ``manyhands cache``, a package: a file for each of its commands
``_demo``      ``manyhands demo``; ``_stdlib`` is what its workers do
``_explain``   ``manyhands explain``
``_info``      ``manyhands info``
``_inspect``   ``manyhands inspect``
``_program``   ``manyhands run``: a script run as Python runs it; ``_running`` does that
``_replay``    ``manyhands replay``; ``_debugging`` is its debugger
``_top``       ``manyhands top``; ``_top_shown`` is what it shows
``_watch``     ``manyhands watch``
=============  ==================================================================

Workers import parts of this package, so this module imports nothing.
"""


def main() -> int:
    """Run the command line; the exit status."""
    try:
        from manyhands.cli._app import run  # noqa: PLC0415 - a worker that needs _task must not load click

        outcome = run()
    except KeyboardInterrupt:  # while all this was being loaded
        return 130
    return outcome if isinstance(outcome, int) else outcome()  # a program is run by nobody but this
