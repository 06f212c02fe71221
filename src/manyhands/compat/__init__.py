"""manyhands under the names of other libraries, and in their place.

==========================  ==================================================================
``multiprocessing.py``      ``multiprocessing``: its pools
``concurrent_futures.py``   ``concurrent.futures``: its process pool
``loky.py``                 ``loky``: the executor that is used again
``installing.py``           manyhands in the place of one of these
``registering.py``          manyhands made known to other libraries
``joblib_backend.py``       manyhands as a backend of joblib, and so of scikit-learn
``_joblib_calls.py``        what of that runs in workers
==========================  ==================================================================
"""

from manyhands.compat.installing import install as install
from manyhands.compat.installing import uninstall as uninstall
