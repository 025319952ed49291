-- Ends pauses whose time is over, and lets go of the jobs that waited for what is resumed: in the order in
-- which they were received.
--
-- KEYS[1]  what is paused
-- ARGV     prefix, how many jobs at most
-- Returns  {how many went, ms until the next pause ends (-1: none ends by itself)}
local most = tonumber(ARGV[2])
local now, next_end, ended = now_ms(), nil, false
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends = cjson.decode(all[i + 1])['until']
  if ends and ends <= now then
    redis.call('HDEL', KEYS[1], all[i])
    open_lanes(all[i])
    ended = true
  elseif ends then
    next_end = math.min(next_end or ends, ends)
  end
end
if ended then tell_of_pauses() end

local went = 0
for _, lane in ipairs(redis.call('SMEMBERS', P .. ':resumed')) do
  if went < most then
    local popped = redis.call('ZPOPMIN', P .. ':lane:' .. lane, most - went)
    for i = 1, #popped, 2 do
      let_go(popped[i], lane)
      went = went + 1
    end
  end
  if redis.call('EXISTS', P .. ':lane:' .. lane) == 0 then
    redis.call('SREM', P .. ':resumed', lane)
    redis.call('SREM', P .. ':paused:lanes', lane)
  end
end
return {went, next_end and next_end - now or -1}
