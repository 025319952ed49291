"""What a job does: tests/peers/README.md."""

import os
import time

import requests
from celery import Celery

PROVIDER = os.environ.get("PEER_PROVIDER")

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,  # a killed worker loses nothing
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=int(os.environ.get("PEER_PREFETCH", "4")),
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
)

journal = os.open(os.environ["PEER_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=10_000))


@app.task
def job(number, enqueued):
    if PROVIDER:
        call(number)
    os.write(journal, f"{number} {enqueued} {time.monotonic_ns()}\n".encode())


def call(number):
    answer = session.post(
        PROVIDER,
        headers={"authorization": "Bearer key"},
        json={"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"Question {number}"}]},
    )
    answer.raise_for_status()
