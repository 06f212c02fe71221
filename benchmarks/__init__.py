"""manyhands beside its peers, measured in the same run.

=================  ==================================================================
``__main__``       the command line: ``python -m benchmarks``
``rows``           what is measured, one small function for each row of the table
``contenders``     how each library is asked to do it: one adapter for each
``tasks``          the functions that workers run
``cell``           one row of one contender, in a fresh interpreter with a time-out
``fresh``          how such an interpreter is started, watched and ended
``report``         medians, ratios, the table and the JSON
``failures``       one bad task, and a parent that is killed: ``python -m benchmarks.failures``
``misdeeds``       the bad tasks
``orphans``        what is left after the parent was killed
``watching``       what watching costs, by level of lines; ``watched_work``: what is watched
``watched_engine`` the engine, watched and not, and the observer
=================  ==================================================================

Figures mean something only beside the figures of the same run: machines differ, and so do their hours.
"""
