"""Shared objects beside managers, rpyc, Pyro5 and Ray's actors: ``python -m benchmarks.sharing``."""
