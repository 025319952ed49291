-- Meters: the counters of limits, their windows, and the lanes of jobs that found no room.
--
-- `{ns}:quota:METER` is a hash. Of a rate it holds `full_at` (µs: when the bucket is full again). Of a window:
-- `w` (its id: its start in ms), `end` (ms, 0 = never), `limit`, `used`, `held` (reserved by running calls),
-- `reported` once the ledger has it, `previous` (the window before: `W USED END LIMIT`), `alerted` (the highest
-- threshold that raised an alert), `used_at_check` (see close_windows.lua), `definition` (what it counts), `since`, `since_of` and
-- `awaited_since` (see reservations.lua), `corrected_used` and `corrected_held` (see correct_windows.lua). Of slots: `cap` (the
-- adapted limit), `sampled`, `refused` and `answered` (see hold_account.lua). While jobs are parked for the meter it
-- also holds what release_lanes.lua needs: `kind` and the figures of the job that was parked last; of a window `head`
-- and `head_amount`, the entry id and the units of the first parked job where these are known; `retry`, how many jobs
-- are released next although there is no room (lane_retry.lua).
-- `{ns}:slots:METER` maps an entry id to the worker that has a slot. `{ns}:windows` holds the meters of windows
-- by their ends, `{ns}:alerts:look` the set of those that used another whole percent since raise_alerts.lua ran.
-- Jobs are parked in `{ns}:lane:quota:METER`; `{ns}:lanes:due` holds the meters by when to check their lanes (ms).
--
-- Needs     events
-- Provides  RECHECK, FOREVER, UNUSED, DAY_SECONDS, meter_key, quota_lane, is_of_queue, digits, percent, meter_unit,
--           report_window, slot_cap, schedule_lane

-- Where nothing announces that room comes free, check again after this long (ms).
local RECHECK = 1000
local FOREVER = 32503680000000
-- A window without an end is checked at this interval (ms), see close_windows.lua.
local UNUSED = 30 * 86400 * 1000
local DAY_SECONDS = 86400

local function meter_key(meter) return NS .. ':quota:' .. meter end
local function quota_lane(meter) return NS .. ':lane:quota:' .. meter end

-- Whether the limit is one of a queue, which its jobs have on every platform, and jobs of other queues on none.
local function is_of_queue(meter) return string.match(meter, '^queue_') ~= nil end

-- An integer in decimal digits, as Redis reads it; never `-0`.
local function digits(number)
  local text = string.format('%.0f', number)
  return text == '-0' and '0' or text
end

-- The used part of a limit, in whole percent.
local function percent(used, limit) return math.floor(used * 100 / limit) end

local function meter_unit(meter) return string.match(meter, '^rpd:') and 'requests' or 'nano_usd' end

-- Reports a window that is over to the ledger, with what is used of it by now. Of two reports of one window the
-- ledger keeps the greater.
local function report_window(meter, start, ends, used, limit)
  emit(string.format('{"window":{"meter":%s,"unit":"%s","start_ms":%s,"end_ms":%s,"used":%s,"limit":%s}}',
    cjson.encode(meter), meter_unit(meter), start, ends, used, limit))
end

-- The slots that a meter has now: `limit`, less what 429s cut, and at most half of what is left of the window
-- `sum` ('' = none) with the limit `sum_limit`; at least 1.
local function slot_cap(meter, limit, sum, sum_limit, now)
  local cap = math.min(limit, tonumber(redis.call('HGET', meter_key(meter), 'cap') or limit))
  if sum ~= '' then
    local m = redis.call('HMGET', meter_key(sum), 'used', 'held', 'end')
    local left, ends = sum_limit, tonumber(m[3] or '0')
    if ends == 0 or now < ends then left = left - tonumber(m[1] or '0') - tonumber(m[2] or '0') end
    cap = math.min(cap, math.floor(left / 2))
  end
  return math.max(1, math.floor(cap))
end

-- Has a lane checked at `at` (ms) at the latest.
local function schedule_lane(meter, at)
  local due = NS .. ':lanes:due'
  if redis.call('ZADD', due, 'LT', 'CH', digits(at), meter) == 1 and redis.call('ZRANK', due, meter) == 0 then
    wake_scheduler()
  end
end
