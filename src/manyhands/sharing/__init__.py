"""Objects that several processes have in common: live ones (``objects.py``, ``later.py``) and arrays (``arrays.py``). See ``README.md``."""
