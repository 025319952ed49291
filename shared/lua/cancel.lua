-- Asks for a job to be cancelled. One that waits in a lane goes to its queue, where the next worker
-- ends it without running it; one that runs is dropped by its worker, who hears of it at once.
--
-- KEYS[1]  the set of cancelled ids
-- ARGV     prefix, job id
-- Returns  'ended' when it has an outcome already, else 'asked'
local id = ARGV[2]
if redis.call('EXISTS', P .. ':result:' .. id) == 1 then return 'ended' end
redis.call('ZADD', KEYS[1], now_ms(), id)
redis.call('ZREM', P .. ':lane:time', id)
redis.call('ZREM', P .. ':lane:version', id)
let_go(id)
redis.call('PUBLISH', P .. ':control', 'cancel ' .. id)
return 'asked'
