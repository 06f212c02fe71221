"""What is inside each process that is watched.

It writes what happens into memory that it shares with the observer, without a lock or a system call; what is long and said once (names,
stacks, errors) goes through a socket. It never runs code of the user's, and ends by itself when the observer has gone.

``_segment.py``     the memory: figures, and a ring of records; how both are written and read
``_link.py``        the socket to the observer: who this is, texts, and what the observer asks for
``_naming.py``      numbers for texts, code and stacks, which are told once
``_sources.py``     the source of what is in no file
``_sampling.py``    the thread that looks where the others are, some twenty times a second
``_stacks.py``      the stacks of all threads, when somebody asks for them
``_levels.py``      how closely lines are watched, and telling of them
``_files.py``       in which files
``_lines.py``       lines by ``sys.monitoring``; before Python 3.12, ``_tracing.py``: by ``sys.settrace``
``_counts.py``      what is called for each line: which have run, or how often
``_sparing.py``     exact counts with fewer calls: what follows from others by the ``_flow.py`` of control is not told of
``_budgets.py``     the same within a share of the time, with what is missed by ``_estimates.py``; ``_windows.py``: for ``sys.settrace``
``_cost.py``        what counting a line costs
``_probe.py``       the probe of this process: started, found again in a forked child, stopped
"""
