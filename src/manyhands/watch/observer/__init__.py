"""The process that observes: what is watched on one side, the page on the other, and one event loop between them.

``_main.py``        the process: from its start to its end; ``_life.py`` tells how long that is
``_hub.py``         the processes that are watched: greeted, read, asked; ``_machine.py``: what the kernel tells of them
``_model.py``       what is known of a run; pure, like ``_heat.py`` (lines), ``_timeline.py`` (tasks), ``_stacks.py``, ``_estimate.py``,
                    ``_endings.py``
``_snapshot.py``    a run as plain data, for the page; ``_history.py``: how it was before; ``_questions.py``: what it asks for beside that
``_stack.py``       the stacks of a process, on demand; ``_control.py``: what the page may have a worker do
``_site.py``        the page's address; ``_keys.py``: who is let in (pure), ``_security.py``: the guard that sees to it
``_server.py``      the page's requests; ``_broadcast.py``: the events; ``_static.py``: its files; ``_sources.py``: those of the program
``_exports.py``     which files of a run can be kept; ``_saving.py`` writes them

``_server`` and ``_security`` need starlette and uvicorn, and nothing else does.
"""
