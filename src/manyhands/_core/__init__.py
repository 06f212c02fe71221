"""Pure logic: no sockets, threads, clocks or pickles. Everything here can be tested without a process.

=======================  =====================================================
``options.py``           what a user may set, and where a value comes from
``tasks.py``             batches, calls and workers as the scheduler sees them
``scheduler.py``         which worker gets which tasks; what becomes of them
``ready.py``             batches that wait
``windows.py``           what a worker has been sent
``overdue.py``           when to look whether a worker takes too long
``batching.py``          how many tasks go into one message
``policy.py``            what happens to tasks that fail
``failing.py``           which failure ends a call
``ordering.py``          results in the order of the inputs
``living.py``            what somebody may still hold
``thread_variables.py``  what numeric libraries look at
``events.py``            facts about a run, for progress bars and watchers
=======================  =====================================================
"""
