-- Ends a job: acks and deletes its entry, writes the event, stores the result, pushes the reply,
-- buries a dead letter, hands its slot on. All of it, or nothing.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, job id, attempt id ('' = none was begun), event, result
--          ('' = none), seconds that it is kept, reply ('1' or ''), concurrency key ('' = none),
--          'kept' when something is remembered of the place, dead letter ('' = none), its id,
--          seconds that an own id is known from now
-- Returns  'ok', or 'gone': another worker has the job, an attempt is recorded as a duplicate
local queue, entry, worker, id, attempt, event, result, ttl, reply, ckey, kept, letter, letter_id, id_ttl =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11],
  ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local stream, place = KEYS[1], place_of(queue, entry)
if not is_mine(stream, entry, place, attempt, worker) then
  if attempt ~= '' then emit_duplicate(event) end
  return 'gone'
end
remove(stream, entry)
emit(event)
if result ~= '' then
  redis.call('SET', P .. ':result:' .. id, result, 'EX', ttl)
  -- Heard or not: it must not meet the next job of this id.
  redis.call('ZREM', P .. ':cancelled', id)
  if reply == '1' then push_reply(id, result, ttl) end
end
if letter ~= '' then bury(letter_id, letter) end
if kept == 'kept' or attempt == '' then
  forget(place)
  if result ~= '' then redis.call('EXPIRE', P .. ':id:' .. id, id_ttl) end
else
  redis.call('HDEL', P .. ':inflight', place)
end
release(ckey, place)
return 'ok'
