-- Removes dead letters that are archived.
--
-- KEYS[1]  the set of dead letters
-- ARGV     prefix, then pairs of id and when it died (ms)
-- Returns  how many were removed
local removed = 0
for i = 2, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('HDEL', P .. ':dead:jobs', ARGV[i])
    removed = removed + 1
  end
end
return removed
