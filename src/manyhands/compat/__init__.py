"""manyhands under the names of other libraries, and in their place.

========================  ==================================================================
``registering.py``        makes manyhands known to other libraries
``joblib_backend.py``     manyhands as a backend of joblib, and so of scikit-learn
``_joblib_calls.py``      what of that runs in workers
========================  ==================================================================
"""
