-- Replays dead letters, and counts them in the bulk replay that they belong to.
--
-- KEYS[1]  `{ns}:dead`
-- ARGV     1 namespace, 2 the bulk replay ('' = none), and of its step: 3 time of death (ms) and 4 entry id of the last
--          dead letter that it scanned, 5 how many of those it skipped; then the dead letters (see parse_dead_letters)
-- Returns  for each dead letter the new entry id, or '' when it is gone or was replaced
-- Writes   dead letters, streams, checkpoints, events, results, `{ns}:cancelled`, `{ns}:id:ID`, chains, `{ns}:dead:replay:ID`
-- Repeat   safe: a replayed dead letter is gone; a bulk replay counts it as `gone` and its `skipped` twice
-- Bound    a few commands a dead letter
local FIRST = 6
local bulk, died, entry_id, skipped = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local entry_ids, replayed = replay_dead_letters(parse_dead_letters(FIRST))
if bulk ~= '' and redis.call('EXISTS', NS .. ':dead:replay:' .. bulk) == 1 then
  local key = NS .. ':dead:replay:' .. bulk
  redis.call('HSET', key, 'died', died, 'entry_id', entry_id)
  redis.call('HINCRBY', key, 'replayed', replayed)
  redis.call('HINCRBY', key, 'gone', #entry_ids - replayed)
  redis.call('HINCRBY', key, 'skipped', skipped)
end
return entry_ids
