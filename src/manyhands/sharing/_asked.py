"""What a request can ask for, by number."""

from __future__ import annotations

CALL, GET, SET, DELETE, ITERATE, MORE, SNAPSHOT, RUN, MANY, LOCK, UNLOCK, CLOSE, KEEP, NEW, FIND, WATCHED, CANCEL, GREET = range(18)
# There is no reply to these.
ONE_WAY = 32
LEASE, HOLD, LET_GO = range(ONE_WAY, ONE_WAY + 3)
FETCH = ONE_WAY + 7  # the descriptor of a shared memory comes in the place of a reply
# The reply to these comes when it comes, with the number of the request; requests that were made later need not wait for it.
LATER, AWAIT, LEAVE = range(ONE_WAY + 3, ONE_WAY + 6)
# Nobody waits any more for the reply to the request before, if it has not been read; it is told when that has been said.
GIVE_UP = ONE_WAY + 6
# The arguments of these stand behind the numbers of the connection and of the request.
NUMBERED = frozenset({LATER, AWAIT})
# These call a function with arguments: the first is the function.
CALLING = frozenset({RUN, NEW})
