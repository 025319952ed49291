-- Journals an attempt before it can cost anything; takes the concurrency key's slot, or parks the job
-- in the key's lane.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, job id, attempt id, event should the worker die,
--          concurrency key ('' = none), its limit, resume (what to remember of the job if it is parked)
-- Returns  'ok', 'gone' the entry is not the worker's, 'cancelled' somebody asked for it, 'parked'
local queue, entry, worker, id, attempt, event, ckey, limit, resume =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local place = place_of(queue, entry)
if owner_of(KEYS[1], entry) ~= worker then return 'gone' end
if redis.call('ZSCORE', P .. ':cancelled', id) then return 'cancelled' end
if ckey ~= '' then
  local holders = P .. ':key:' .. ckey
  if redis.call('HEXISTS', holders, place) == 0 then
    if redis.call('HLEN', holders) >= tonumber(limit) then
      if not lay_aside(KEYS[1], queue, entry, id, resume) then return 'gone' end
      redis.call('RPUSH', P .. ':lane:key:' .. ckey, id)
      remove(KEYS[1], entry)
      forget(place)
      return 'parked'
    end
    redis.call('HSET', holders, place, worker)
  end
end
redis.call('HSET', P .. ':inflight', place, pack_inflight(attempt, worker, ckey, event))
return 'ok'
