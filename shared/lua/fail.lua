-- Records an attempt that failed and will be followed by another in the same place.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, place, worker, attempt id, event, what the journal is to hold between the attempts, resume,
--          spent (see give_back)
-- Returns  'ok', or 'gone': another worker has the job, the attempt is recorded as a duplicate
local place, worker, attempt, event, failed, resume, spent =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if not is_mine(KEYS[1], nil, place, attempt, worker) then
  -- Asked again because the first reply was lost: it is done.
  if redis.call('HGET', P .. ':inflight', place) == failed then return 'ok' end
  emit_duplicate(event)
  return 'gone'
end
emit(event)
give_back_journalled(place, redis.call('HGET', P .. ':inflight', place), attempt, spent)
redis.call('HSET', P .. ':inflight', place, failed)
redis.call('HSET', P .. ':resume', place, resume)
return 'ok'
