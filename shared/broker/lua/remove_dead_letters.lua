-- Removes dead letters that are archived.
--
-- KEYS[1]  `{ns}:dead`
-- ARGV     1 namespace, then of each dead letter: id, time of death (ms)
-- Returns  how many were removed
-- Writes   `{ns}:dead`, `{ns}:dead:jobs`
-- Repeat   safe: they are gone
-- Bound    three commands a dead letter
local ARITY = 2
local removed = 0
for at = 2, #ARGV, ARITY do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[at])
  if score and tonumber(score) == tonumber(ARGV[at + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[at])
    redis.call('HDEL', NS .. ':dead:jobs', ARGV[at])
    removed = removed + 1
  end
end
return removed
