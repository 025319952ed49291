#!/usr/bin/env bash
set -eu
exec .venv/bin/taskiq worker tasks:broker --workers 1 --max-async-tasks "$PEER_CONCURRENCY" --log-level WARNING
