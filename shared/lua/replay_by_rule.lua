-- Puts dead letters into their queues again, as many as a rule has room for: in no 60 seconds more than it
-- may, whoever leads.
--
-- KEYS[1]  the set of dead letters
-- ARGV     prefix, rule, how many it may replay a minute, then the letters (see letters_from)
-- Returns  how many it may replay now after these, then of each letter that it had room for: its new place,
--          or '' when it is gone or is another one
local key, room = P .. ':dead:rule:' .. ARGV[2], tonumber(ARGV[3])
-- What was replayed in each second of the last minute; the sixty-first is not over to its end.
local second = math.floor(now_ms() / 1000)
local past = redis.call('HGETALL', key)
for i = 1, #past, 2 do
  if tonumber(past[i]) < second - 60 then
    redis.call('HDEL', key, past[i])
  else
    room = room - tonumber(past[i + 1])
  end
end

local places, replayed = replay_letters(letters_from(4), math.max(room, 0))
if replayed > 0 then
  redis.call('HINCRBY', key, second, replayed)
  redis.call('EXPIRE', key, 120)
end
return {math.max(room - replayed, 0), unpack(places)}
