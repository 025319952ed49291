-- Claims the probe of a circuit whose cooldown is over, or renews the claim. A claim ends by itself, so a worker
-- that dies during its probe does not block the circuit.
--
-- KEYS[1]  `{ns}:circuits`: by PLATFORM/MODEL, JSON
-- ARGV     1 namespace, 2 circuit, 3 worker, 4 when (ms), 5 duration of the claim (ms)
-- Returns  {'yes', 'taken' (another worker probes), 'open' (the cooldown is not over) or 'closed'; until when the
--          circuit is open (ms); until when the probe is claimed (ms)}
-- Writes   `{ns}:circuits`
-- Repeat   safe: renews the claim
-- Bound    constant
local circuit, worker, lease = ARGV[2], ARGV[3], tonumber(ARGV[5])
local at = math.min(tonumber(ARGV[4]), now_ms())
local text = redis.call('HGET', KEYS[1], circuit)
local record = text and cjson.decode(text) or {}
if not record.retry_at then return { 'closed', 0, 0 } end
if record.retry_at > at then return { 'open', record.retry_at, 0 } end
if record.prober and record.prober ~= worker and record.claimed_until > at then
  return { 'taken', record.retry_at, record.claimed_until }
end
record.prober, record.claimed_until = worker, at + lease
redis.call('HSET', KEYS[1], circuit, cjson.encode(record))
return { 'yes', record.retry_at, record.claimed_until }
