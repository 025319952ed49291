#!/usr/bin/env bash
# Jobs that wait run on gevent, as the documents of Celery advise; all others on processes.
set -eu
pool=prefork
[ -z "${PEER_PROVIDER:-}" ] || pool=gevent
exec .venv/bin/celery --app tasks worker --pool "$pool" --concurrency "$PEER_CONCURRENCY" --loglevel WARNING \
    --without-gossip --without-mingle --without-heartbeat --hostname "peer-$$@localhost"
