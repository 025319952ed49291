-- Ends a probe: closes the circuit, or leaves it open for twice as long as before. Only the worker that holds the claim
-- may do so.
--
-- KEYS[1]  `{ns}:circuits`: by PLATFORM/MODEL, JSON
-- ARGV     1 namespace, 2 circuit, 3 worker, 4 when (ms), 5 class of the failure ('' = the model is healthy), 6 the
--          longest cooldown (ms)
-- Returns  until when the circuit is open (ms; 0 = closed)
-- Writes   `{ns}:circuits`, the control channel, `{ns}:lanes:retry`
-- Repeat   safe: the claim has ended
-- Bound    constant
local circuit, worker, class, longest = ARGV[2], ARGV[3], ARGV[5], tonumber(ARGV[6])
-- Workers learn of the closed circuit before its platform gets jobs from lanes (ms).
local SETTLING = 500
local at = math.min(tonumber(ARGV[4]), now_ms())
local text = redis.call('HGET', KEYS[1], circuit)
local record = text and cjson.decode(text) or {}
if not record.retry_at then return 0 end
if record.prober ~= worker then return record.retry_at end
if class == '' then
  redis.call('HDEL', KEYS[1], circuit)
  retry_lanes('circuit ' .. circuit, now_ms() + SETTLING)
else
  -- A longest cooldown that is below the first one does not shorten it.
  local cooldown = math.max(record.cooldown, math.min(record.cooldown * 2, longest))
  record.cooldown, record.retry_at, record.class = cooldown, at + cooldown, class
  record.prober, record.claimed_until = nil, nil
  redis.call('HSET', KEYS[1], circuit, cjson.encode(record))
end
redis.call('PUBLISH', NS .. ':control', 'circuit ' .. circuit)
return class == '' and 0 or record.retry_at
