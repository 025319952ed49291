-- Replays dead letters as far as a rule's rate allows: within 60 seconds no more than its limit, for any number of
-- leaders.
--
-- KEYS[1]  `{ns}:dead`
-- ARGV     1 namespace, 2 rule, 3 its limit a minute, then the dead letters (see parse_dead_letters)
-- Returns  how many more the rule may replay now, then, for each dead letter up to where the limit stopped it, the
--          new entry id, or '' when it is gone or was replaced
-- Writes   dead letters, streams, checkpoints, events, results, `{ns}:cancelled`, `{ns}:id:ID`, chains, `{ns}:dead:rule:NAME`
-- Repeat   safe: a replayed dead letter is gone
-- Bound    a few commands a dead letter, one for each of the last 60 seconds
local FIRST = 4
local key, room = NS .. ':dead:rule:' .. ARGV[2], tonumber(ARGV[3])
-- The hash counts the replays of each second. 60 full seconds and the current one are within the last minute.
local second = math.floor(now_ms() / 1000)
local past = redis.call('HGETALL', key)
for i = 1, #past, 2 do
  if tonumber(past[i]) < second - 60 then
    redis.call('HDEL', key, past[i])
  else
    room = room - tonumber(past[i + 1])
  end
end

local entry_ids, replayed = replay_dead_letters(parse_dead_letters(FIRST), math.max(room, 0))
if replayed > 0 then
  redis.call('HINCRBY', key, second, replayed)
  redis.call('EXPIRE', key, 120)
end
return {math.max(room - replayed, 0), unpack(entry_ids)}
