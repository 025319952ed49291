-- Lets go of the jobs of a lane of times that are due, the earliest first.
--
-- KEYS[1]  the lane
-- ARGV     prefix, how many at most
-- Returns  how many left the lane
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms(), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do
  redis.call('ZREM', KEYS[1], id)
  let_go(id)
end
return #due
