-- Lays a job aside in the lane of a time or of what is paused, with what is to be remembered of it.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, job id, attempt id ('' = none was begun), event, lane
--          (`time`, `version`, `paused:…`), when it is due (ms; in a lane of what is paused: its place in
--          the order), concurrency key ('' = none), resume, spent (see give_back)
-- Returns  'ok', 'cancelled': somebody asked for it, nothing is done, 'gone': another worker has the job,
--          an attempt is recorded as a duplicate, or 'resumed': it is not paused any more, nothing is done
local queue, entry, worker, id, attempt, event, lane, due, ckey, resume, spent =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local stream, place = KEYS[1], place_of(queue, entry)
if redis.call('ZSCORE', P .. ':cancelled', id) and is_mine(stream, entry, place, attempt, worker) then
  return 'cancelled'
end
local for_pause = string.match(lane, '^paused:')
if for_pause and not is_closed(lane, now_ms()) and is_mine(stream, entry, place, attempt, worker) then
  return 'resumed'
end
if not is_mine(stream, entry, place, attempt, worker) or not lay_aside(stream, queue, entry, id, lane, resume) then
  if attempt ~= '' then emit_duplicate(event) end
  return 'gone'
end
redis.call('ZADD', P .. ':lane:' .. lane, due, id)
if for_pause then
  redis.call('SADD', P .. ':paused:lanes', lane)
elseif redis.call('ZRANK', P .. ':lane:' .. lane, id) == 0 then
  wake()
end
remove(stream, {entry})
emit(event)
give_back_journalled(place, redis.call('HGET', P .. ':inflight', place), attempt, spent)
forget(place)
release(ckey, {place})
return 'ok'
