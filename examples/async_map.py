"""`async for` over results; the event loop goes on meanwhile."""

import asyncio
import math

import manyhands


async def tick(ticks: list[int]) -> None:
    """Something else that the program does."""
    while True:
        ticks.append(1)
        await asyncio.sleep(0.001)


async def main() -> None:
    """Compute and tick at the same time."""
    ticks: list[int] = []
    ticking = asyncio.create_task(tick(ticks))
    async for result in manyhands.aimap(math.factorial, [5000, 10000, 15000, 20000]):
        print(result.bit_length(), "bits")
    ticking.cancel()
    print("the loop went on:", len(ticks) > 1)


asyncio.run(main())

# Output:
# 54233 bits
# 118459 bits
# 186458 bits
# 256909 bits
# the loop went on: True
