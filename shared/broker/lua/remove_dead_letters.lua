-- Removes dead letters that are archived.
--
-- KEYS[1]  `{ns}:dead`
-- ARGV     1 namespace, then of each dead letter: entry id, job id, time of death (ms)
-- Returns  how many were removed
-- Writes   `{ns}:dead`, `{ns}:dead:jobs`, `{ns}:dead:ids`
-- Repeat   safe: they are gone
-- Bound    four commands a dead letter
local ARITY = 3
local removed = 0
for at = 2, #ARGV, ARITY do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[at])
  if score and tonumber(score) == tonumber(ARGV[at + 2]) then
    remove_dead_letter(ARGV[at], ARGV[at + 1])
    removed = removed + 1
  end
end
return removed
