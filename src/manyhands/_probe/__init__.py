"""What is inside each process that is watched.

It writes what happens into memory that it shares with the observer, without a lock or a system call; what is long and said once (names,
stacks, errors) goes through a socket. It never runs code of the user's, and ends by itself when the observer has gone.

``_segment.py``     the memory: figures, and a ring of records; how both are written and read
``_link.py``        the socket to the observer: who this is, texts, and what the observer asks for
``_naming.py``      numbers for texts, code and stacks, which are told once
``_sources.py``     the source of what is in no file
``_sampling.py``    the thread that looks where the others are, some twenty times a second
``_probe.py``       the probe of this process: started, found again in a forked child, stopped
"""
