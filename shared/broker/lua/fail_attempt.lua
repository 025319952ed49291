-- Records an attempt that another one follows, because it failed or its answer called tools; the entry stays the worker's.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 entry id, 3 worker, 4 attempt id, 5 event, 6 journal value between the attempts,
--          7 checkpoint, 8 usage (see consumption.lua)
-- Returns  'ok', or 'gone': another worker has the job, the attempt is recorded as a duplicate
-- Writes   the event, meters, the journal, `{ns}:checkpoints`; a returned slot releases a job
-- Repeat   safe: the journal holds the value between the attempts, so the answer is 'ok' again
-- Bound    a few commands a meter
local entry_id, worker, attempt, event, value_between, checkpoint, usage =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if not passes_fence(KEYS[1], nil, entry_id, attempt, worker) then
  -- The reply of the first call was lost.
  if redis.call('HGET', NS .. ':inflight', entry_id) == value_between then return 'ok' end
  emit_duplicate(event)
  return 'gone'
end
emit(event)
consume_journaled(entry_id, redis.call('HGET', NS .. ':inflight', entry_id), attempt, usage)
redis.call('HSET', NS .. ':inflight', entry_id, value_between)
redis.call('HSET', NS .. ':checkpoints', entry_id, checkpoint)
return 'ok'
