"""Objects to bytes and back. Never sees a socket.

======================  =====================================================
``_pickling.py``        one object, by name or by value
``_naming.py``          what is found under its name; which globals code uses
``_by_value.py``        functions and modules taken apart
``_classes.py``         classes and members of enumerations taken apart
``_making.py``          functions and classes put together
``_identity.py``        which class here is which class there
``_class_references.py``  classes of a script, named by tokens, described to who asks
``_tensors.py``         what tensors of torch keep their numbers in
``_bytecode.py``        what code consists of, and the names that it uses
``_fingerprint.py``     the digest of code of the project
``_code_walk.py``       the way through all code that it is taken of
``_definitions.py``     names with a digest, and what is sent where it differs
``_rules.py``           what else pickle cannot do, by class
``_packing.py``         many arguments or results in one message
``_exceptions.py``      an exception taken apart and put together
``_failures.py``        one that ended a task, with its traceback; it never raises
``_captures.py``        what a function carries, and whether it has changed
``_main_globals.py``    the globals of a script, in its workers
``_preview.py``         what a pickle holds, for messages; runs nobody's code
``_mended.py``          what belongs to one process, and what of it can travel
``_copied.py``          what travels as a copy that talks to nobody: it is said
``_kept.py``            what is stored, and so may not be a mere reference
``_inherited.py``       what workers can have only when they start: multiprocessing's queues, locks, pipes
``_handed.py``          sockets and connections in arguments: a copy of the descriptor goes beside the pickle
``_passing.py``         shared objects in what is sent: for how long they are kept for who reads it
``_trace.py``           which part of an object cannot be pickled
``_depth.py``           how deep pickle would go, and where it failed
``_steps.py``           what an object consists of, and how a path reads
``_renaming.py``        paths that begin at an argument or a result
``_advice.py``          why, and what to do about it
``_loading.py``         which part could not be rebuilt
``_weights.py``         what an object weighs, and which of its parts do
======================  =====================================================
"""
