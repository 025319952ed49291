-- Raises an alert for each threshold that the windows of limits have passed since the last look: once a
-- window, whoever looks and however often. It goes to the record, and is remembered until it is delivered.
--
-- KEYS[1]  the meters of which a whole percent more is used
-- ARGV     prefix, how many at most, then the thresholds in percent, ascending
-- Returns  {how many were looked at, {the new alerts as JSON texts}, 1 when any wait to be delivered}
local raised = {}

local function raise(meter, m, threshold)
  local now, ends = now_ms(), m[3] == '0' and 'null' or m[3]
  local alert = string.format(
    '{"meter":%s,"unit":"%s","start_ms":%s,"end_ms":%s,"threshold":%s,"used":%s,"limit":%s,"at_ms":%s}',
    cjson.encode(meter), unit_of(meter), m[1], ends, threshold, m[2], m[4], whole(now))
  -- The same alert has the same id, whoever delivers it, and however often.
  local id = redis.sha1hex(P .. ' ' .. meter .. ' ' .. m[1] .. ' ' .. threshold)
  emit('{"alert":' .. alert .. '}')
  redis.call('HSET', P .. ':alerts', id, alert)
  redis.call('ZADD', P .. ':alerts:due', whole(now), id)
  raised[#raised + 1] = alert
end

local function look_at(meter)
  local key = meter_key(meter)
  local m = redis.call('HMGET', key, 'w', 'used', 'end', 'limit', 'alerted')
  if not m[1] or not m[4] then return end
  local reached, before = percent(tonumber(m[2]), tonumber(m[4])), tonumber(m[5] or '0')
  local last = before
  for at = 3, #ARGV do
    local threshold = tonumber(ARGV[at])
    if threshold > before and reached >= threshold then
      raise(meter, m, ARGV[at])
      last = threshold
    end
  end
  if last > before then redis.call('HSET', key, 'alerted', last) end
end

local meters = redis.call('SPOP', KEYS[1], ARGV[2])
for _, meter in ipairs(meters) do look_at(meter) end
return {#meters, raised, redis.call('EXISTS', P .. ':alerts:due')}
