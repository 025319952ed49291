-- Lets go of the jobs of a lane of times that are due, the earliest first.
--
-- KEYS[1]  the lane
-- ARGV     prefix, the lane's name, how many at most
-- Returns  {how many left the lane, ms until the next is due (-1: none waits)}
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do
  redis.call('ZREM', KEYS[1], id)
  let_go(id, ARGV[2])
end
local following = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {#due, following[2] and math.max(0, tonumber(following[2]) - now) or -1}
