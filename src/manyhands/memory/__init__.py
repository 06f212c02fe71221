"""Results of functions, kept on disk: :class:`Memory`.

=====================  ================================================================
``_memory.py``         the face
``_cached.py``         what it makes of a function; ``_cached_later.py`` of coroutines and generators; ``_not_cached.py`` without a folder
``_settings.py``       how one function is cached
``_binding.py``        arguments, however they were given
``_function_key.py``   what a function is, with all that it uses: ``_reach.py``, ``_roots.py``, ``_parts.py``, ``_contents.py``,
                       ``_places.py``, ``_packages.py``; ``_declared.py``: what the user names besides
``_why.py``            why a call would be computed, in words
``_results.py``        results that stay in the store until somebody asks
``_validation.py``     which results are still good
``_telling.py``        what ``verbose=`` says
``_store.py``          entries on disk, together: ``_entry_reading.py``, ``_entry_writing.py``, ``_entry_removing.py``, ``_inventory.py``
``_entry.py``          the format of one; ``_buffers.py``: its large parts; ``_index.py``: what is known of them all
``_folder.py``         files that appear whole or not at all; ``_pickled.py``, ``_compression.py``, ``_signing.py``: what is in them
``_journal.py``        what is known is written down here; ``_ledger.py``, ``_survey.py``, ``_upkeep.py``, ``_at_end.py``: by whom, and when
``_eviction.py``       which entries go; ``_limits.py``: limits as users write them
``_flight.py``         one computes, the others wait; ``_locks.py``, ``_waits.py``
``_overview.py``       what a store holds, for people
``_metadata.py``       what is known of a result, as joblib has it
``_joblib_store.py``   folders of joblib's; ``_joblib_import.py``: taken over, by joblib's digests of calls (``_joblib_digest.py``)
``_contract.py``       what cached functions want of a store
``_remote_store.py``   one that machines share: ``_remote_files.py``, ``_protocols.py``, ``_uploads.py``, ``_background.py``, ``_ends.py``
=====================  ================================================================
"""

from manyhands.memory._cached import MemorizedFunc as MemorizedFunc
from manyhands.memory._memory import Memory as Memory
from manyhands.memory._not_cached import NotMemorizedFunc as NotMemorizedFunc
from manyhands.memory._results import MemorizedResult as MemorizedResult
from manyhands.memory._results import NotMemorizedResult as NotMemorizedResult
from manyhands.memory._validation import expires_after as expires_after
