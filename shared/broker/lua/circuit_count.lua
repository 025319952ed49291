-- Counts calls to a model, for all workers together, and opens its circuit when too many of them failed. While the
-- circuit is open nothing is counted: what ends then began before.
--
-- Time is divided into twentieths of the window. The share of failures is computed over the newest two of them, the
-- newest three, and so on up to the whole window: the outage of a busy model shows within a second, and the few
-- calls of a quiet one still add up. Two at least, because workers report successes a little later than failures.
--
-- KEYS[1]  `{ns}:circuits`: by PLATFORM/MODEL, JSON
-- ARGV     1 namespace, 2 circuit, 3 when (ms), 4 calls, 5 how many of them failed, 6 class of the failure ('' =
--          none failed), 7 percentage that opens, 8 the least calls that open, 9 window (ms), 10 cooldown (ms)
-- Returns  {until when the circuit is open (ms; 0 = closed), 1 if this call opened it, else 0}
-- Writes   `{ns}:circuits`, the control channel
-- Repeat   counts the calls twice: the share of failures is the same, the least number is reached sooner
-- Bound    20 counts
local PARTS = 20
-- Circuits expire after this time (s) without a call.
local KEEP = 86400
local circuit, class = ARGV[2], ARGV[6]
local at = math.min(tonumber(ARGV[3]), now_ms())
local calls, failed = tonumber(ARGV[4]), tonumber(ARGV[5])
local open_percent, least = tonumber(ARGV[7]), tonumber(ARGV[8])
local window, cooldown = tonumber(ARGV[9]), tonumber(ARGV[10])

local text = redis.call('HGET', KEYS[1], circuit)
local record = text and cjson.decode(text) or { counts = {} }
if record.retry_at then return { record.retry_at, 0 } end
-- Successes count only beside failures.
if not text and failed == 0 then return { 0, 0 } end

local part = math.floor(at * PARTS / window)
local newest, counts = part, {}
for key in pairs(record.counts) do newest = math.max(newest, tonumber(key)) end
local function add(key, more, more_failed)
  if key <= newest - PARTS then return end
  local known = counts[key] or { 0, 0 }
  counts[key] = { known[1] + more, known[2] + more_failed }
end
for key, count in pairs(record.counts) do add(tonumber(key), count[1], count[2]) end
add(part, calls, failed)

local all, all_failed, opens = 0, 0, false
for back = 0, PARTS - 1 do
  local count = counts[newest - back] or { 0, 0 }
  all, all_failed = all + count[1], all_failed + count[2]
  opens = opens or (back > 0 and all >= least and all_failed * 100 >= open_percent * all)
end
if all_failed == 0 then
  redis.call('HDEL', KEYS[1], circuit)
  return { 0, 0 }
end
opens = opens and failed > 0

if opens then
  record = { opened_at = at, retry_at = at + cooldown, cooldown = cooldown, class = class, counts = {} }
else
  record.counts = {}
  for key, count in pairs(counts) do record.counts[string.format('%d', key)] = count end
end
redis.call('HSET', KEYS[1], circuit, cjson.encode(record))
redis.call('EXPIRE', KEYS[1], KEEP)
if not opens then return { 0, 0 } end
redis.call('PUBLISH', NS .. ':control', 'circuit ' .. circuit)
return { record.retry_at, 1 }
