-- Removes ids at the head of a lane whose jobs were cancelled there.
--
-- KEYS[1]  the lane, a list
-- ARGV     1 namespace, 2 how many ids are checked
-- Returns  how many were removed
-- Writes   the lane
-- Repeat   safe: they are gone
-- Bound    one command an id, one more for each that is removed
local removed = 0
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)) do
  if redis.call('HEXISTS', NS .. ':parked', id) == 0 then
    removed = removed + redis.call('LREM', KEYS[1], 1, id)
  end
end
return removed
