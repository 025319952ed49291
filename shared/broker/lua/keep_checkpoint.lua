-- Stores the checkpoint of a job between two attempts; the entry stays the worker's.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 entry, 3 entry id, 4 worker, 5 journal value between the attempts, 6 '1' when this delivery has
--          written none before, 7 checkpoint
-- Returns  'ok', or 'gone': another worker has the job
-- Writes   the journal, `{ns}:checkpoints`
-- Repeat   safe: writes the same
-- Bound    constant
local entry, entry_id, worker, value_between, is_first, checkpoint = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if redis.call('HGET', NS .. ':inflight', entry_id) ~= value_between then
  if is_first ~= '1' or owner_of(KEYS[1], entry) ~= worker then return 'gone' end
  redis.call('HSET', NS .. ':inflight', entry_id, value_between)
end
redis.call('HSET', NS .. ':checkpoints', entry_id, checkpoint)
return 'ok'
