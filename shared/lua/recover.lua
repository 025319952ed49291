-- Takes from a dead worker what it left and gives it to whoever comes next: attempts in mid-call are
-- recorded as lost and count as crashes of their jobs, the rest goes back as it was. Two leaders may do so at
-- once: whether the worker lives is looked at here, and what was given back is no longer its own.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, worker, how many entries at most
-- Returns  {entries given back, attempts lost}, or {-1, 0}: the worker is alive
local queue, worker, count = ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', P .. ':worker:' .. worker) == 1 then return {-1, 0} end
local seen, lost = 0, 0
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], GROUP, '-', '+', count, worker)) do
  local entry = pending[1]
  local place = place_of(queue, entry)
  local value = redis.call('HGET', P .. ':inflight', place)
  if value then
    local attempt, _, _, takes, event = unpack_inflight(value)
    if attempt ~= '-' then
      give_back(takes, place, '')
      emit(event)
      redis.call('HINCRBY', P .. ':crashes', place, 1)
      lost = lost + 1
    end
    redis.call('HDEL', P .. ':inflight', place)
  end
  redis.call('XCLAIM', KEYS[1], GROUP, RETURNED, 0, entry, 'JUSTID')
  seen = seen + 1
end
if seen == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], GROUP, worker) end
return {seen, lost}
