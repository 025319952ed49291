-- Puts dead letters into their queues again.
--
-- KEYS[1]  the set of dead letters
-- ARGV     prefix; the bulk replay that this is a step of ('' = of none), and of this step: time of death (ms)
--          and id of the last letter that was looked at, how many were passed over; then the letters (see
--          letters_from)
-- Returns  of each letter: its new place, or '' when it is gone or is another one
local bulk, died, id, skipped = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local places, replayed = replay_letters(letters_from(6))
if bulk ~= '' and redis.call('EXISTS', P .. ':dead:replay:' .. bulk) == 1 then
  local key = P .. ':dead:replay:' .. bulk
  redis.call('HSET', key, 'died', died, 'id', id)
  redis.call('HINCRBY', key, 'replayed', replayed)
  redis.call('HINCRBY', key, 'gone', #places - replayed)
  redis.call('HINCRBY', key, 'skipped', skipped)
end
return places
