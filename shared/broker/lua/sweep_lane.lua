-- Removes entry ids at the head of a lane whose jobs were cancelled there.
--
-- KEYS[1]  the lane, a list
-- ARGV     1 namespace, 2 how many are checked
-- Returns  how many were removed
-- Writes   the lane
-- Repeat   safe: they are gone
-- Bound    one command an entry id, one more for each that is removed
local removed = 0
for _, entry_id in ipairs(redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)) do
  if redis.call('HEXISTS', NS .. ':parked', entry_id) == 0 then
    removed = removed + redis.call('LREM', KEYS[1], 1, entry_id)
  end
end
return removed
