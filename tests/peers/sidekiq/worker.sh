#!/usr/bin/env bash
set -eu
exec sidekiq --require ./job.rb --concurrency "$PEER_CONCURRENCY" --queue default
