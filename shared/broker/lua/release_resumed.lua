-- Ends pauses whose time is over, and releases the jobs of resumed lanes in the order in which they were received.
--
-- KEYS[1]  `{ns}:paused`
-- ARGV     1 namespace, 2 the most jobs
-- Returns  {how many left the lanes, ms until the next pause ends (-1: none has an end)}
-- Writes   `{ns}:paused`, `{ns}:resumed`, `{ns}:paused:lanes`, lanes, parked jobs, streams, checkpoints, the control
--          channel
-- Repeat   safe, also from two leaders: a job leaves its lane in the step that enqueues it
-- Bound    one command a pause and lane, a few a job
local most = tonumber(ARGV[2])
local now, next_end, any_ended = now_ms(), nil, false
local pauses = redis.call('HGETALL', KEYS[1])
for i = 1, #pauses, 2 do
  local target, ends = pauses[i], cjson.decode(pauses[i + 1])['until']
  if ends and ends <= now then
    redis.call('HDEL', KEYS[1], target)
    mark_lanes_resumed(target)
    any_ended = true
  elseif ends then
    next_end = math.min(next_end or ends, ends)
  end
end
if any_ended then publish_pauses() end

local released = 0
for _, lane in ipairs(redis.call('SMEMBERS', NS .. ':resumed')) do
  if released < most then
    local popped = redis.call('ZPOPMIN', NS .. ':lane:' .. lane, most - released)
    for i = 1, #popped, 2 do
      release(popped[i])
      released = released + 1
    end
  end
  if redis.call('EXISTS', NS .. ':lane:' .. lane) == 0 then
    redis.call('SREM', NS .. ':resumed', lane)
    redis.call('SREM', NS .. ':paused:lanes', lane)
  end
end
return {released, next_end and next_end - now or -1}
