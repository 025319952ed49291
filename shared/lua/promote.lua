-- Lets go of the jobs of a lane of times that are due, the earliest first. Two leaders may do so at once:
-- a job leaves the lane in the step that enqueues it, and is due by the server's clock.
--
-- KEYS[1]  the lane
-- ARGV     prefix, the lane's name, how many at most
-- Returns  {how many left the lane, ms until the next is due (-1: none waits)}
local now = now_ms()
local function first_due()
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return first[2] and math.max(0, tonumber(first[2]) - now) or -1
end

local wait = first_due()
if wait ~= 0 then return {0, wait} end
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do
  redis.call('ZREM', KEYS[1], id)
  let_go(id, ARGV[2])
end
return {#due, first_due()}
