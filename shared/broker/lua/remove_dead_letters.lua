-- Removes dead letters that are archived.
--
-- KEYS[1]  `{ns}:dead`
-- ARGV     1 namespace, then of each dead letter: entry id, job id, time of death (ms)
-- Returns  how many were removed
-- Writes   `{ns}:dead`, `{ns}:dead:jobs`, `{ns}:dead:ids`
-- Repeat   safe: they are gone
-- Bound    one command a dead letter, at most 1,000
local ARITY = 3
local entry_ids, ids = {}, {}
for at = 2, #ARGV, ARITY do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[at])
  if score and tonumber(score) == tonumber(ARGV[at + 2]) then
    entry_ids[#entry_ids + 1], ids[#ids + 1] = ARGV[at], ARGV[at + 1]
  end
end
remove_dead_letters(entry_ids, ids)
return #entry_ids
