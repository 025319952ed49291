-- Ends a probe: the circuit is closed, or stays open for twice as long as the last time. Only who holds
-- the claim decides.
--
-- KEYS[1]  the circuits: a hash, by PLATFORM/MODEL
-- ARGV     prefix, circuit, worker, when (ms), class of the failure ('' = the model is well), the longest
--          cooldown (ms)
-- Returns  until when the circuit is open (ms; 0 = it is closed)
local circuit, worker, class, longest = ARGV[2], ARGV[3], ARGV[5], tonumber(ARGV[6])
local at = math.min(tonumber(ARGV[4]), now_ms())
local text = redis.call('HGET', KEYS[1], circuit)
local record = text and cjson.decode(text) or {}
if not record.retry_at then return 0 end
if record.prober ~= worker then return record.retry_at end
if class == '' then
  redis.call('HDEL', KEYS[1], circuit)
else
  -- A longest cooldown below the first one does not shorten it.
  local cooldown = math.max(record.cooldown, math.min(record.cooldown * 2, longest))
  record.cooldown, record.retry_at, record.class = cooldown, at + cooldown, class
  record.prober, record.claimed_until = nil, nil
  redis.call('HSET', KEYS[1], circuit, cjson.encode(record))
end
redis.call('PUBLISH', P .. ':control', 'circuit ' .. circuit)
return class == '' and 0 or record.retry_at
