-- Reservations: what a call takes of all its meters, or of none.
--
-- A reservation is a JSON list of amounts (`MeterAmount` in Rust), each one of
--   ["r", meter, cost, depth, units]      an evenly paced rate (GCRA): the call fills `cost` µs of a bucket that is
--                                         `depth` µs deep
--   ["w", meter, window, end, limit, units, hard, at_limit, definition]
--                                         a sum within a window (its id is its start in ms; `end` in ms, 0 = never);
--                                         `hard` 0 only counts; `at_limit` says what happens to jobs that do not
--                                         fit: `wait`, `free` or `dead_letter`; `definition` names what the window
--                                         counts (absent: it never counted anything else)
--   ["s", meter, limit, sum, sum_limit]   a slot, see slot_cap
-- The journal stores the reservation with its attempt. Every script that ends an attempt consumes it
-- (consumption.lua), so nothing leaks when a worker dies.
--
-- A limit of money that is new or counts something else than before has no room until the leading scheduler has added
-- what the ledger knows (correct_windows.lua): what was spent before would be spent once more. `{ns}:limits` holds, by
-- limit, the definition that is in force, and JSON. Where no scheduler has ever led, and after a minute at the latest, jobs
-- go ahead; the meter then holds `since` (ms), from when on it counts. The attempts it counts began then or later: the
-- time of their reservation is the one in the ledger.
--
-- Needs     meters
-- Provides  BOOK_AHEAD, check_room, is_over, is_used_up, open_window, reserve_all, time_of_reservation

-- A rate is booked at most this far ahead (ms); the worker waits for its turn.
local BOOK_AHEAD = 2000
-- Jobs wait this long (ms) for the leader to say what a new limit has used.
local LONGEST_WAIT_FOR_LEADER = 60000

-- How long until a rate has room, and when it has (ms). A call that fits no bucket goes when the bucket is full.
local function rate_room(amount, now)
  local full_at = tonumber(redis.call('HGET', meter_key(amount[2]), 'full_at') or '0')
  local at = math.min(full_at, full_at + amount[3] - amount[4]) / 1000
  return math.max(0, at - now), at
end

-- Whether the meter counts a later window already (`counted`). A call that comes late must not open the old one
-- again.
local function is_over(amount, counted) return amount[4] ~= 0 and amount[4] <= counted end

-- The limit of an amount: its meter, without the tenant or chain.
local function limit_of(amount) return string.match(amount[2], '^budget:[^:]*') or amount[2] end

-- Whether the definition of an amount is in force.
local function is_in_force(amount)
  local definition = amount[9]
  if not definition then return true end
  local record = redis.call('HGET', NS .. ':limits', limit_of(amount))
  return record and string.sub(record, 1, #definition + 1) == definition .. ' '
end

-- Whether jobs wait until the leader has said what an amount's limit has used. `definition` is the meter's.
local function is_awaited(amount, definition, now)
  local key = meter_key(amount[2])
  if meter_unit(amount[2]) == 'requests' then return false end
  if is_in_force(amount) then
    if definition then redis.call('HSET', key, 'definition', amount[9] or '') end
    return false
  end
  -- Not the lease: it expires when a leader dies, and the next one corrects the meter.
  if redis.call('EXISTS', NS .. ':leader:token') == 0 then return false end
  local awaited_since = redis.call('HGET', key, 'awaited_since')
  if not awaited_since then
    redis.call('HSET', key, 'awaited_since', digits(now))
    -- The meter may never be used.
    if redis.call('HEXISTS', key, 'w') == 0 then redis.call('EXPIRE', key, DAY_SECONDS) end
  end
  return now - tonumber(awaited_since or now) < LONGEST_WAIT_FOR_LEADER
end

local function window_room(amount, now)
  local ends, limit, units = amount[4], amount[5], amount[6]
  if amount[7] == 0 then return 0, 0 end
  if units > limit then return nil, FOREVER, 'never' end
  local m = redis.call('HMGET', meter_key(amount[2]), 'w', 'used', 'held', 'definition')
  local counted, used, held = tonumber(m[1] or '-1'), 0, 0
  if is_over(amount, counted) then return nil, now + RECHECK, 'later' end
  if counted == amount[3] then used, held = tonumber(m[2]), tonumber(m[3]) end
  local is_known = counted == amount[3] and (not m[4] or not amount[9] or m[4] == amount[9])
  if not is_known and is_awaited(amount, m[4], now) then return nil, now + RECHECK, 'later' end
  if used + held + units <= limit then return 0, 0 end
  ends = ends == 0 and FOREVER or ends
  -- Running calls may return what they hold before the window ends.
  if held > 0 and used + units <= limit then return nil, math.min(ends, now + RECHECK), 'held' end
  return nil, ends
end

-- Whether nothing is left of an amount's window, so that no job finds room in it.
local function is_used_up(amount)
  local m = redis.call('HMGET', meter_key(amount[2]), 'w', 'used', 'held')
  return tonumber(m[1] or '-1') == amount[3] and tonumber(m[2]) + tonumber(m[3]) >= amount[5]
end

-- Whether a job that fits a window may go before those in its lane: the first of them does not fit. Only smaller jobs
-- ever go before it, and none does once the next window begins.
local function may_overtake(amount)
  if amount[1] ~= 'w' then return false end
  local m = redis.call('HMGET', meter_key(amount[2]), 'w', 'used', 'held', 'head', 'head_amount')
  if tonumber(m[1] or '-1') ~= amount[3] then return false end
  if not m[4] or redis.call('LINDEX', quota_lane(amount[2]), 0) ~= m[4] then return false end
  return tonumber(m[2]) + tonumber(m[3]) + tonumber(m[5]) > amount[5]
end

local function slot_room(amount, entry_id, now)
  local meter, slots = amount[2], NS .. ':slots:' .. amount[2]
  if redis.call('HEXISTS', slots, entry_id) == 1 then return 0, 0 end
  if redis.call('HLEN', slots) < slot_cap(meter, amount[3], amount[4], amount[5], now) then return 0, 0 end
  return nil, now + RECHECK
end

-- Whether all amounts have room. Returns the wait for the call's turn (ms); or nil, the amount without room, when
-- to check again (ms), and a reason: `never` (the call takes more than the limit), `later` (there is room, but
-- parked jobs come first), `held` (running calls may return room) or nil. A `released` job comes from the lane of a
-- limit; others do not overtake the jobs in it, unless the
-- first of them is too large for what is left of a window.
local function check_room(amounts, entry_id, now, released)
  local longest = 0
  for _, amount in ipairs(amounts) do
    local wait, at, why
    if amount[1] == 'r' then
      wait, at = rate_room(amount, now)
    elseif amount[1] == 'w' then
      wait, at, why = window_room(amount, now)
    else
      wait, at = slot_room(amount, entry_id, now)
    end
    if not wait or wait > BOOK_AHEAD then return nil, amount, at, why end
    if not released and redis.call('EXISTS', quota_lane(amount[2])) == 1 and not may_overtake(amount) then
      return nil, amount, now + RECHECK, 'later'
    end
    longest = math.max(longest, wait)
  end
  return longest
end

-- Notes since when a meter counts a definition that is not in force yet. If it has counted another one that was never in
-- force, `since_of` is '': nothing says which calls it has counted.
local function note_since(key, amount, now)
  local of = redis.call('HGET', key, 'since_of')
  if of == amount[9] then return end
  local is_mixed = of and redis.call('HEXISTS', NS .. ':limits', limit_of(amount)) == 0
  redis.call('HSET', key, 'since', digits(now), 'since_of', is_mixed and '' or amount[9])
end

-- Opens the window of an amount. The one before is reported, unless it was, and kept beside it: calls that began
-- in it may still end.
local function open_window(amount, now)
  local meter, ends, limit, previous = amount[2], amount[4], amount[5], ''
  local key = meter_key(meter)
  local m = redis.call('HMGET', key, 'w', 'used', 'end', 'limit', 'reported')
  if m[1] then
    local previous_limit = m[4] or digits(limit)
    if not m[5] and m[2] ~= '0' then report_window(meter, m[1], m[3], m[2], previous_limit) end
    previous = m[1] .. ' ' .. m[2] .. ' ' .. m[3] .. ' ' .. previous_limit
  end
  redis.call('HSET', key, 'w', digits(amount[3]), 'end', digits(ends), 'used', '0', 'held', digits(amount[6]),
    'limit', digits(limit), 'previous', previous)
  redis.call('HDEL', key, 'reported', 'alerted', 'used_at_check', 'definition', 'since', 'awaited_since',
    'corrected_used', 'corrected_held', 'since_of')
  if amount[9] then redis.call('HSET', key, 'definition', amount[9]) end
  if not is_in_force(amount) then note_since(key, amount, now) end
  redis.call('PERSIST', key)
  redis.call('ZADD', NS .. ':windows', digits(ends == 0 and now + UNUSED or ends), meter)
end

-- Takes all amounts, for which check_room found room.
local function reserve_all(amounts, entry_id, worker, now)
  for _, amount in ipairs(amounts) do
    local meter = amount[2]
    local key = meter_key(meter)
    if amount[1] == 'r' then
      local full_at = math.max(now * 1000, tonumber(redis.call('HGET', key, 'full_at') or '0'))
      redis.call('HSET', key, 'full_at', digits(full_at + amount[3]))
    elseif amount[1] == 'w' then
      local m = redis.call('HMGET', key, 'w', 'definition')
      local counted, definition = tonumber(m[1] or '-1'), m[2]
      if counted == amount[3] then
        redis.call('HINCRBY', key, 'held', digits(amount[6]))
        if definition and amount[9] and definition ~= amount[9] and not is_in_force(amount) then
          note_since(key, amount, now)
        end
      elseif not is_over(amount, counted) then
        open_window(amount, now)
      end
    else
      redis.call('HSET', NS .. ':slots:' .. meter, entry_id, worker)
    end
  end
end

-- The time (ms) to tell the worker: '' if the attempt counts in no window.
local function time_of_reservation(amounts, now)
  for _, amount in ipairs(amounts) do
    if amount[1] == 'w' then return digits(now) end
  end
  return ''
end
