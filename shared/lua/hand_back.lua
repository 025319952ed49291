-- Gives an entry back at once, for whoever comes next; it keeps its place and its slot.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, attempt id ('' = none was begun), event ('' = none), resume
--          ('' = nothing to remember), spent (see give_back)
-- Returns  'ok', or 'gone': another worker has the job, an attempt is recorded as a duplicate
local queue, entry, worker, attempt, event, resume, spent =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local stream, place = KEYS[1], place_of(queue, entry)
if not is_mine(stream, entry, place, attempt, worker) then
  if attempt ~= '' then emit_duplicate(event) end
  return 'gone'
end
emit(event)
give_back_journalled(place, redis.call('HGET', P .. ':inflight', place), attempt, spent)
redis.call('HDEL', P .. ':inflight', place)
if resume ~= '' then redis.call('HSET', P .. ':resume', place, resume) end
redis.call('XCLAIM', stream, GROUP, RETURNED, 0, entry, 'JUSTID')
return 'ok'
