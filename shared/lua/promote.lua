-- Lets go of jobs that are due in lanes of times, the earliest first. Two leaders may do so at once: a job
-- leaves the lane in the step that enqueues it, and is due by the server's clock.
--
-- KEYS[1]  the lane of time; KEYS[2] that of newer versions
-- ARGV     prefix, how many at most
-- Returns  {how many left the lanes, ms until the next is due (-1: none waits)}
local now, left = now_ms(), tonumber(ARGV[2])
local gone, next_due = 0, -1
for i, lane in ipairs({'time', 'version'}) do
  local due = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now, 'LIMIT', 0, left)
  for _, id in ipairs(due) do
    redis.call('ZREM', KEYS[i], id)
    let_go(id, lane)
  end
  gone, left = gone + #due, left - #due
  local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, tonumber(first[2]) - now)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
return {gone, next_due}
