"""``+=`` is a read and a write: it takes a lock. Whoever holds it may die."""

import os
import signal
import warnings
from multiprocessing import Manager, Process

from manyhands import lock, share


class Account:
    def __init__(self):
        self.balance = 0


def die_by_a_manager(account, mutex):
    mutex.acquire()
    account.balance += 1
    os.kill(os.getpid(), signal.SIGKILL)


def die(account):
    with lock(account):
        account.balance += 1
        os.kill(os.getpid(), signal.SIGKILL)


def pay(account):
    for _ in range(500):
        with lock(account):
            account.balance += 1


def run(*processes):
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    with Manager() as manager:
        account, mutex = manager.Namespace(balance=0), manager.Lock()
        run(Process(target=die_by_a_manager, args=(account, mutex)))
        print("standard library: free again:", mutex.acquire(True, 1))

    account = share(Account())
    run(Process(target=die, args=(account,)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with lock(account, timeout=5):
            print("manyhands:        free again: True, and said:", said[0].message)
    run(*(Process(target=pay, args=(account,)) for _ in range(4)))
    print("manyhands:        after 4 x 500 more:", account.balance)

# Output
# standard library: free again: False
# manyhands:        free again: True, and said: whoever held the shared Account last died in the midst of a transaction
# manyhands:        after 4 x 500 more: 2001
