"""What a job does: tests/peers/README.md."""

import os
import time

import aiohttp
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

PROVIDER = os.environ.get("PEER_PROVIDER")

# The broker that acknowledges: a killed worker loses nothing.
broker = RedisStreamBroker(os.environ["REDIS_URL"])
journal = os.open(os.environ["PEER_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    state.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def stop(state: TaskiqState) -> None:
    await state.session.close()


@broker.task
async def job(number: int, enqueued: int) -> None:
    if PROVIDER:
        await call(number)
    os.write(journal, f"{number} {enqueued} {time.monotonic_ns()}\n".encode())


async def call(number: int) -> None:
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"Question {number}"}]}
    async with broker.state.session.post(PROVIDER, headers={"authorization": "Bearer key"}, json=body) as answer:
        answer.raise_for_status()
        await answer.read()
