"""One program without `if __name__ == "__main__"`, and the same results however its workers are started.

The standard library wants that guard: RuntimeError: An attempt has been made to start a new process before the current process has finished
its bootstrapping phase. And within it results differ: a worker that is forked finds rate = 20; one of spawn or forkserver has run the
script again, without what is guarded, and finds 10.
"""

import manyhands

print("Workers do not run the script again: this is printed once.")

rate = 10


class Price:
    """A class of the script, whose instances travel there and back."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __repr__(self) -> str:
        return f"Price({self.amount})"


def convert(price: Price) -> Price:
    return Price(price.amount * rate)


rate = 20
for start_method in ("zygote", "spawn", "fork"):  # "zygote", the default, forks workers from a small process that was started afresh
    with manyhands.Executor(max_workers=2, start_method=start_method) as executor:
        print(start_method, list(executor.map(convert, [Price(1), Price(2)])))

# Output:
# Workers do not run the script again: this is printed once.
# zygote [Price(20), Price(40)]
# spawn [Price(20), Price(40)]
# fork [Price(20), Price(40)]
