-- Asks for a job to be cancelled. One that waits in a lane goes to its queue, where the next worker
-- ends it without running it; one that runs is dropped by its worker, who hears of it at once.
--
-- KEYS[1]  the set of cancelled ids
-- ARGV     prefix, job id, the id that it is laid aside under (its own, but of a job that waits for its
--          tenant's turn and whose own id nobody has checked)
-- Returns  'ended' when it has an outcome already, else 'asked'
local id, aside = ARGV[2], ARGV[3]
if redis.call('EXISTS', P .. ':result:' .. id) == 1 then return 'ended' end
redis.call('ZADD', KEYS[1], now_ms(), id)
local packed = redis.call('HGET', P .. ':lane:jobs', aside)
if packed then
  local lane = cmsgpack.unpack(packed)[2]
  if lane == 'time' or lane == 'version' or string.match(lane, '^paused:') then
    redis.call('ZREM', P .. ':lane:' .. lane, aside)
  end
  let_go(aside)
end
redis.call('PUBLISH', P .. ':control', 'cancel ' .. id)
return 'asked'
