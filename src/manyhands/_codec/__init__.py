"""Objects to bytes and back. Never sees a socket.

======================  =====================================================
``_pickling.py``        one object: C pickler first, by value where it must be
``_packing.py``         many arguments or results in one message
``_failures.py``        an exception with its traceback, rebuilt elsewhere
``_captures.py``        what a function carries, and whether it has changed
``_at_home.py``         classes that come back to where they are from
``_main_globals.py``    the globals of a script, in its workers
``_pristine.py``        large buffers of a function, a fresh copy for each task
``_preview.py``         what a pickle holds, for messages; runs nobody's code
``_trace.py``           which part of an object cannot be pickled
======================  =====================================================
"""
