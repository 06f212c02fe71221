"""Tasks that have failed, in files: what is needed to run one again.

================  ====================================================================================
``_container.py`` the file: a header in JSON, then bytes of the codec, then buffers
``_facts.py``     what the header tells: of the task, of its failure, of the program
``_recorder.py``  the folder of one call: names, how many, what is said when one cannot be written
================  ====================================================================================

Written by ``_engine/_recording.py`` (from what a worker was sent) and ``backends/_recording.py`` (from what lies in this process); read by
``replaying.py``.
"""
