-- Lays a job aside in the lane of a time, with what is to be remembered of it.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, job id, attempt id ('' = none was begun), event, lane
--          (`time` or `version`), when it is due (ms), concurrency key ('' = none), resume
-- Returns  'ok', 'cancelled': somebody asked for it, nothing is done, or 'gone': another worker has the
--          job, an attempt is recorded as a duplicate
local queue, entry, worker, id, attempt, event, lane, due, ckey, resume =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local stream, place = KEYS[1], place_of(queue, entry)
if redis.call('ZSCORE', P .. ':cancelled', id) and is_mine(stream, entry, place, attempt, worker) then
  return 'cancelled'
end
if not is_mine(stream, entry, place, attempt, worker) or not lay_aside(stream, queue, entry, id, resume) then
  if attempt ~= '' then emit_duplicate(event) end
  return 'gone'
end
redis.call('ZADD', P .. ':lane:' .. lane, due, id)
remove(stream, {entry})
emit(event)
forget(place)
release(ckey, place)
return 'ok'
