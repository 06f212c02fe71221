"""The pool of processes. See README.md in this folder for the picture, the states and the guarantees.

======================  =====================================================
``_worker.py``          what runs in a worker process
``_zygote.py``          the small process that workers are forked from
``_launch.py``          how workers are started: zygote, spawn, fork
``_supervisor.py``      one worker as the parent sees it; why it ended
``_dispatcher.py``      the event loop, driven by whoever waits
``_feed.py``            a call's inputs, encoded and cut into batches
``_calls.py``           what one call keeps: policy, results, waiting caller
``_interrupts.py``      Ctrl-C is taken at a safe point
``_pool.py``            all of it together: the pool
``_state.py``           everything that exists once per process
======================  =====================================================
"""
