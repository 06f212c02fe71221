"""Objects in files.

=================  ==========================================================
``dump``           stores one
``load``           gives it back
``register_data``  lets objects of a dataclass be loaded with ``safe=True``
``inspect``        tells what is in a file, without loading it
=================  ==========================================================
"""

from __future__ import annotations

from manyhands._files._dumping import dump as dump
from manyhands._files._inspecting import Inspection as Inspection
from manyhands._files._inspecting import inspect as inspect
from manyhands._files._loading import load as load
from manyhands._files._safe_makers import register_data as register_data

__all__ = ["Inspection", "dump", "inspect", "load", "register_data"]
