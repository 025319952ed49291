-- Fans a step out: its list is known now, and the memory of its items is laid down.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, chain id, step, number of items
-- Returns  'ok', 'more' not all could go at once, 'gone' the entry is not the worker's, or it is done
local queue, entry, worker, id, name, count = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
if owner_of(KEYS[1], entry) ~= worker then return 'gone' end
local key = chain_key(id)
remove(KEYS[1], {entry})
forget(place_of(queue, entry))
if redis.call('HDEL', key .. ':running', name) == 0 then return 'gone' end
redis.call('HSET', key, 't:' .. name, count)
if count == 0 then step_ended(id, name, 'completed') end
for i = 0, count - 1 do redis.call('RPUSH', key .. ':ready', name .. '/' .. i) end
return proceed(id) and 'more' or 'ok'
