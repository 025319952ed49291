-- Takes ids out of the head of a lane whose jobs were cancelled there: nobody would let them go.
--
-- KEYS[1]  the lane, a list
-- ARGV     prefix, how many ids are looked at
-- Returns  how many left
local gone = 0
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)) do
  if redis.call('HEXISTS', P .. ':lane:jobs', id) == 0 then
    gone = gone + redis.call('LREM', KEYS[1], 1, id)
  end
end
return gone
