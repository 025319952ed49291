import asyncio
import sys
import time

import uvloop

from tasks import broker, job

CHUNK = 100


async def main(count: int, per_second: float | None) -> None:
    # Makes the consumer group, which gets what is enqueued from now on.
    await broker.startup()
    if per_second:
        began = time.monotonic()
        pending = []
        for number in range(count):
            await asyncio.sleep(began + number / per_second - time.monotonic())
            pending.append(asyncio.create_task(enqueue(number)))
        await asyncio.gather(*pending)
    else:
        for first in range(0, count, CHUNK):
            await asyncio.gather(*(enqueue(number) for number in range(first, min(first + CHUNK, count))))
    await broker.shutdown()


async def enqueue(number: int) -> None:
    await job.kiq(number, time.monotonic_ns())


uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else None))
