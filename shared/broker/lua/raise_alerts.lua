-- Raises an alert for each threshold that the windows of limits have passed since the last run: once a window. An alert
-- goes to the ledger and is stored until it is delivered.
--
-- KEYS[1]  `{ns}:alerts:look`: the meters that used another whole percent
-- ARGV     1 namespace, 2 the most meters, then the thresholds in percent, ascending
-- Returns  {how many meters were checked, {the new alerts as JSON}, 1 when any alert waits for delivery, else 0}
-- Writes   `{ns}:alerts:look`, `{ns}:alerts`, `{ns}:alerts:due`, events, `alerted` of meters
-- Repeat   safe: the alerts of the first call are stored and delivered all the same
-- Bound    a few commands a meter and threshold
local FIRST_THRESHOLD = 3
local raised = {}

local function raise(meter, m, threshold)
  local now, ends = now_ms(), m[3] == '0' and 'null' or m[3]
  local alert = string.format(
    '{"meter":%s,"unit":"%s","start_ms":%s,"end_ms":%s,"threshold":%s,"used":%s,"limit":%s,"at_ms":%s}',
    cjson.encode(meter), meter_unit(meter), m[1], ends, threshold, m[2], m[4], digits(now))
  -- The id depends on what the alert is about alone: receivers recognise a second delivery by it.
  local id = redis.sha1hex(NS .. ' ' .. meter .. ' ' .. m[1] .. ' ' .. threshold)
  emit('{"alert":' .. alert .. '}')
  redis.call('HSET', NS .. ':alerts', id, alert)
  redis.call('ZADD', NS .. ':alerts:due', digits(now), id)
  raised[#raised + 1] = alert
end

local function check(meter)
  local key = meter_key(meter)
  local m = redis.call('HMGET', key, 'w', 'used', 'end', 'limit', 'alerted')
  if not m[1] or not m[4] then return end
  local reached, before = percent(tonumber(m[2]), tonumber(m[4])), tonumber(m[5] or '0')
  local last = before
  for at = FIRST_THRESHOLD, #ARGV do
    local threshold = tonumber(ARGV[at])
    if threshold > before and reached >= threshold then
      raise(meter, m, ARGV[at])
      last = threshold
    end
  end
  if last > before then redis.call('HSET', key, 'alerted', last) end
end

local meters = redis.call('SPOP', KEYS[1], ARGV[2])
for _, meter in ipairs(meters) do check(meter) end
return {#meters, raised, redis.call('EXISTS', NS .. ':alerts:due')}
