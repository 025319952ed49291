-- Parks a job in the lane of a time, of a newer protocol version or of a pause. A job that a recipe answers waits in the
-- lane of a time, until the recipe's chain ends; a job that asks a person, until somebody decides.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 entry, 4 worker, 5 job id, 6 attempt id ('' = none began), 7 event, 8 lane (`time`,
--          `version`, `paused:…`), 9 when it is due (ms; in a lane of a pause: its position in the order),
--          10 concurrency key ('' = none), 11 checkpoint, 12 usage (see consumption.lua), 13 the message to store
--          (see `park` in lanes.lua), 14 the chain that it waits for ('' = none), 15 when its review was asked (ms,
--          '' = none), 16 the review (JSON), 17 the alert that somebody is waited for (JSON, '' = none)
-- Returns  'ok'; 'cancelled': cancellation is requested, nothing is done; 'resumed': the pause is over, the chain does
--          not run, or the review is decided, nothing is done; 'gone': another worker has the job, an attempt is recorded as a duplicate
-- Writes   parked job, lane, `{ns}:paused:lanes`, stream, event, meters, the journal, checkpoint, crashes,
--          `{ns}:key:KEY`, `waiting` of the chain, `{ns}:reviews`, `{ns}:reviews:parked`, `{ns}:alerts`, `{ns}:alerts:due`; a freed slot releases a job
-- Repeat   safe: the entry has left its queue ('gone'); the ledger keeps the first record of the attempt
-- Bound    a few commands a meter
local queue, entry, worker, id, attempt, event, lane, due, key, checkpoint, usage, message =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local chain, asked, review, alert = ARGV[14], ARGV[15], ARGV[16], ARGV[17]
local stream, entry_id = KEYS[1], entry_id_of(queue, entry)
if redis.call('ZSCORE', NS .. ':cancelled', id) and passes_fence(stream, entry, entry_id, attempt, worker) then
  return 'cancelled'
end
local is_pause = string.match(lane, '^paused:')
if is_pause and not is_lane_paused(lane, now_ms()) and passes_fence(stream, entry, entry_id, attempt, worker) then
  return 'resumed'
end
if chain ~= '' then
  local state = redis.call('HGET', chain_key(chain), 'state')
  if state ~= 'running' and state ~= 'stopping' and passes_fence(stream, entry, entry_id, attempt, worker) then
    return 'resumed'
  end
end
if asked ~= '' and is_decided(id, asked) and passes_fence(stream, entry, entry_id, attempt, worker) then
  return 'resumed'
end
if not passes_fence(stream, entry, entry_id, attempt, worker)
  or not park(stream, queue, entry, id, lane, checkpoint, message) then
  if attempt ~= '' then emit_duplicate(event) end
  return 'gone'
end
redis.call('ZADD', NS .. ':lane:' .. lane, due, entry_id)
if chain ~= '' then redis.call('HSET', chain_key(chain), 'waiting', entry_id) end
if asked ~= '' then register_review(id, asked, entry_id, review, alert) end
if is_pause then
  redis.call('SADD', NS .. ':paused:lanes', lane)
elseif redis.call('ZRANK', NS .. ':lane:' .. lane, entry_id) == 0 then
  wake_scheduler()
end
remove_entries(stream, {entry})
emit(event)
consume_journaled(entry_id, redis.call('HGET', NS .. ':inflight', entry_id), attempt, usage)
forget_entry(entry_id)
free_key_slots(key, {entry_id})
return 'ok'
