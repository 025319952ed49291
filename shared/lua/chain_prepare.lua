-- Lays down what is known of a chain's steps, before the chain begins. Asked again, it changes nothing.
--
-- KEYS[1]  where it is laid down until then
-- ARGV     prefix, seconds that it is kept, then of each step: name, memory, message, on_failure,
--          min_success ('' = all of its items), dependents (see step_record)
-- Returns  how many steps
local count = 0
for at = 3, #ARGV, 6 do
  redis.call('HSET', KEYS[1], ARGV[at], cmsgpack.pack({unpack(ARGV, at + 1, at + 5)}))
  count = count + 1
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return count
