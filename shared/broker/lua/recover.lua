-- Recovers entries of a dead worker for the next one: attempts that had begun are recorded as lost and count as crashes
-- of their jobs, other entries return as they are.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 worker, 4 the most entries
-- Returns  {entries recovered, attempts lost}, or {-1, 0}: the worker is alive
-- Writes   the stream's pending list, the journal, meters, events, `{ns}:crashes`; deletes the consumer once it has
--          nothing left
-- Repeat   safe, also from two leaders: the heartbeat is checked here, and what was recovered is no longer the
--          worker's
-- Bound    a few commands an entry and meter
local queue, worker, count = ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', NS .. ':worker:' .. worker) == 1 then return {-1, 0} end
local recovered, lost = 0, 0
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], GROUP, '-', '+', count, worker)) do
  local entry = pending[1]
  local entry_id = entry_id_of(queue, entry)
  local value = redis.call('HGET', NS .. ':inflight', entry_id)
  if value then
    local attempt, _, _, reservation, event = parse_journal_value(value)
    if attempt ~= '-' then
      consume(reservation, entry_id, '')
      emit(event)
      redis.call('HINCRBY', NS .. ':crashes', entry_id, 1)
      lost = lost + 1
    end
    redis.call('HDEL', NS .. ':inflight', entry_id)
  end
  redis.call('XCLAIM', KEYS[1], GROUP, RETURNED, 0, entry, 'JUSTID')
  recovered = recovered + 1
end
if recovered == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], GROUP, worker) end
return {recovered, lost}
