import sys
import time

from tasks import app, job

count = int(sys.argv[1])
per_second = float(sys.argv[2]) if len(sys.argv) > 2 else None

with app.producer_pool.acquire(block=True) as producer:
    began = time.monotonic()
    for number in range(count):
        if per_second:
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
        job.apply_async((number, time.monotonic_ns()), producer=producer)
