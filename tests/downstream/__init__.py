"""The peers' own test suites, as they are, against manyhands in the peers' place. ``python -m tests.downstream`` runs them.

===================  ==========================================================================
``suites.py``        which there are, and where they are found
``different.toml``   tests that differ on purpose, with the reason
``in_place.py``      makes an environment in which manyhands is in the peers' place
``running.py``       runs one group of tests in a process of its own
``running_pytest``   the same for suites of pytest, of which a group is a module
``__main__.py``      runs all, and says passed, failed, different
===================  ==========================================================================
"""
