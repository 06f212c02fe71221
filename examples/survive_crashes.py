"""One bad task costs only itself: it may raise, crash, hang or return what cannot be sent."""

import os
import signal
import threading

import manyhands


def work(kind: str) -> object:
    """Do what the text says."""
    match kind:
        case "raise":
            return int("x")
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            threading.Event().wait()
        case "unsendable":
            return (value for value in ())
    return f"{kind}: done"


kinds = ["fine", "raise", "crash", "hang", "unsendable", "fine again"]
for kind, result in zip(kinds, manyhands.map(work, kinds, errors="return", timeout=1, retries=1), strict=True):
    if isinstance(result, manyhands.Failure):
        print(f"{kind}: {type(result.error).__name__} in task {result.index}")
    else:
        print(result)

# Output:
# fine: done
# raise: ValueError in task 1
# crash: WorkerDied in task 2
# hang: TaskTimeout in task 3
# unsendable: NotSerializable in task 4
# fine again: done
