-- Claims the one probe of a circuit whose time has come, or renews the claim. It ends by itself, so that
-- a worker that died in mid-probe keeps nobody waiting.
--
-- KEYS[1]  the circuits: a hash, by PLATFORM/MODEL
-- ARGV     prefix, circuit, worker, when (ms), for how long (ms)
-- Returns  'yes', 'taken' (another worker probes), 'open' (it is not time yet) or 'closed'; until when the
--          circuit is open (ms); until when the probe is claimed (ms)
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
