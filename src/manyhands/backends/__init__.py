"""What runs tasks, behind one contract.

======================  =====================================================
``_contract.py``        what every backend promises and offers
``_registry.py``        backends by name; registering one's own
``_choice.py``          which one runs a call, and on how many workers
``_ending.py``          what ends a call before its time
``processes.py``        worker processes: ``_engine``
``_process_stream.py``   a call on them
``_process_executor.py`` the executor of worker processes, and views of it with other options
``_submitting.py``      what both have in common
``threads.py``          threads of this process
``_thread_budget.py``   how many threads numeric libraries use meanwhile
``sequential.py``       the calling thread, one task after the other
``foreign.py``          any other ``concurrent.futures.Executor``
``_streaming.py``       many tasks over an executor, for the last three
======================  =====================================================
"""

from manyhands.backends._contract import Backend, Capabilities, Plan, TaskStream
from manyhands.backends._registry import get, names, register

__all__ = ["Backend", "Capabilities", "Plan", "TaskStream", "get", "names", "register"]
