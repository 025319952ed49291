-- Promotes parked jobs that are due: releases them from the lanes of times, the earliest first.
--
-- KEYS[1]  the lane of times
-- KEYS[2]  the lane of newer protocol versions
-- ARGV     1 namespace, 2 the most jobs
-- Returns  {how many left the lanes, ms until the next is due (-1: none is parked)}
-- Writes   lanes, parked jobs, streams, checkpoints
-- Repeat   safe, also from two leaders: a job leaves its lane in the step that enqueues it; due is by the server's
--          clock
-- Bound    a few commands a job
local now, left = now_ms(), tonumber(ARGV[2])
local promoted, next_due = 0, -1
for _, lane in ipairs(KEYS) do
  local due = redis.call('ZRANGEBYSCORE', lane, '-inf', now, 'LIMIT', 0, left)
  for _, entry_id in ipairs(due) do
    redis.call('ZREM', lane, entry_id)
    release(entry_id)
  end
  promoted, left = promoted + #due, left - #due
  local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, tonumber(first[2]) - now)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
return {promoted, next_due}
