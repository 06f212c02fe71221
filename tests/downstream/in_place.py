"""``python -m tests.downstream.in_place``: every Python of this environment puts manyhands into the place of ``DOWNSTREAM_INSTALL``.

Workers, and programs that the suites start, some of them without looking at ``PYTHONPATH``, are to see the same as the suites do.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

LINE = (
    "import os; os.environ.get('DOWNSTREAM_INSTALL') and __import__('manyhands.compat').compat.install(os.environ['DOWNSTREAM_INSTALL'])\n"
)


def main() -> None:
    """See the module."""
    Path(sysconfig.get_path("purelib"), "manyhands-downstream.pth").write_text(LINE)


if __name__ == "__main__":
    main()
