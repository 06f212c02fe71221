"""The pool of processes. See README.md in this folder for the picture, the states and the guarantees.

======================  =====================================================
``_worker.py``          what a worker does: run tasks
``_worker_process.py``  its process: how it begins and ends
``_as_multiprocessing.py``  the same as multiprocessing sees it: a child like its own
``_process_life.py``    what the worker of a Process does
``_in_multiprocessing.py``  what multiprocessing is told of it when a task loads that
``_repertoire.py``      the functions that it has been sent
``_luggage.py``         what it has been sent, and sends, in segments
``_reply.py``           what it has done and not sent yet
``_relay.py``           what it says besides: ``_relayed_text.py``, ``_relayed_logs.py`` and ``_relayed_warnings.py``
``_on_import.py``       what is done as soon as a module has been loaded
``_sayer.py``           in the parent: the thread that says it in its place; ``_echo.py``: how
``_surroundings.py``    what workers have to know of the program: import path, loggers, filters; told again when that changes
``_zygote.py``          the small process that workers are forked from
``_spare.py``           the worker in reserve, forked before it is needed
``_rehearsal.py``       what that one does once, so that its first task costs what its second does
``_zygote_handle.py``    the parent's side of it
``_launch.py``          how workers are started: zygote, spawn, fork
``_supervisor.py``      one worker as the parent sees it; why it ended
``_crew.py``            all of them as processes and sockets
``_staffing.py``        what follows when one starts, cannot be started, or ends
``_dispatcher.py``      the event loop, driven by whoever waits
``_driving.py``         who runs the loop: whoever waits
``_outcomes.py``        what came of tasks, handed out
``_futures.py``         futures that need no thread
``_awaiting.py``        futures that coroutines wait for, and blocks that they leave
``_stream.py``          one call over many inputs
``_feed.py``            a call's inputs, cut into batches
``_arguments.py``       arguments, encoded: the snapshot; what comes again is sent once
``_parcels.py``         one task's pickle and buffers, some of them in segments
``_depot.py``           where what is large is put
``_store.py``           arrays that have been sent, so that each is stored once
``_calls.py``           what one call keeps: policy, results, waiting caller
``_functions.py``       the functions that a pool knows
``_set_up.py``          what each worker is given when it starts
``_cancelling.py``      what is taken back: calls, and single tasks
``_controlling.py``     what workers do by order of who watches: pause, give up a task, be replaced
``_notices.py``         what the log is told: a call has fewer workers than it asked for
``_interrupts.py``      signals are taken at a safe point
``_pool.py``            all of it together: the pool
``_state.py``           everything that exists once per process
======================  =====================================================
"""
