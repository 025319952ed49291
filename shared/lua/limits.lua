-- Limits: what calls take of them, and give back. This text stands between the prelude and the scripts
-- that need it.
--
-- A call's takes are a JSON list; each is one of
--   ["r", meter, cost, depth, amount]                  an evenly paced rate (GCRA): the call fills `cost` µs
--                                                      of a bucket that is `depth` µs deep
--   ["w", meter, window, end, limit, amount, hard, otherwise]
--                                                      a sum within a window (its id is its start in ms;
--                                                      `end` in ms, 0 = never); `hard` 0 only counts;
--                                                      `otherwise` is what becomes of jobs that no
--                                                      longer fit: `wait`, `free` or `dead_letter`
--   ["s", meter, limit, sum, sum's limit]              places; at most half of what is left of the window
--                                                      `sum` ('' = none)
-- What is taken stands in the journal and is given back with the attempt, whoever ends it: nothing
-- leaks with a worker that dies.
--
-- `{ns}:quota:METER` holds of a rate `full_at` (µs: when the bucket is full again), of a window `w`, `used`,
-- `held`, `end`, `limit`, of places `cap` and `cut` (the adapted limit, and when it was last cut); and, once somebody
-- waits, what let_go.lua has to know of those. A window has `told` too once it is in the record, `last` (the
-- window before: `w`, `used`, `end`, `limit`), `alerted` (the highest threshold that was alerted of) and
-- `seen` (see close_windows.lua). `{ns}:windows` holds the meters of windows by their ends, and
-- `{ns}:alerts:look` those of which a whole percent more is used since raise_alerts.lua looked.
-- `{ns}:slots:METER` holds who has the places. Jobs wait in `{ns}:lane:quota:METER`, whose gate in
-- `{ns}:gates` is when to look again.

-- Rates are booked at most this far ahead (ms); the worker waits for its turn.
local AHEAD = 2000
-- Where nothing tells when a place comes free, look again after this long (ms).
local LOOK_AGAIN = 1000
local FOREVER = 32503680000000
-- A sum without an end is looked at so often (ms), see close_windows.lua.
local UNUSED = 30 * 86400 * 1000

local function meter_key(meter) return P .. ':quota:' .. meter end
local function quota_lane(meter) return P .. ':lane:quota:' .. meter end

-- In digits, as Redis takes them: what rounds to nothing has no sign.
local function whole(number)
  local digits = string.format('%.0f', number)
  return digits == '-0' and '0' or digits
end

-- How long until a rate has room (ms), and when it has. A call that fits no bucket goes when it is full.
local function rate_room(take, now)
  local full_at = tonumber(redis.call('HGET', meter_key(take[2]), 'full_at') or '0')
  local at = math.min(full_at, full_at + take[3] - take[4]) / 1000
  return math.max(0, at - now), at
end

-- Whether the window of a take is over: one that came after it is counted already. A call that comes late
-- must not begin the old one again.
local function is_over(take, counted) return take[4] ~= 0 and take[4] <= counted end

local function window_room(take, now)
  if take[7] == 0 then return 0, 0 end
  if take[6] > take[5] then return nil, FOREVER, 'never' end
  local m = redis.call('HMGET', meter_key(take[2]), 'w', 'used', 'held')
  local counted, used, held = tonumber(m[1] or '-1'), 0, 0
  if is_over(take, counted) then return nil, now + LOOK_AGAIN, 'later' end
  if counted == take[3] then used, held = tonumber(m[2]), tonumber(m[3]) end
  if used + held + take[6] <= take[5] then return 0, 0 end
  local ends = take[4] == 0 and FOREVER or take[4]
  -- What is held may come back before the window ends.
  if held > 0 and used + take[6] <= take[5] then return nil, math.min(ends, now + LOOK_AGAIN), 'held' end
  return nil, ends
end

-- The places that there are now.
local function cap_of(take, now)
  local cap = math.min(take[3], tonumber(redis.call('HGET', meter_key(take[2]), 'cap') or take[3]))
  if take[4] ~= '' then
    local m = redis.call('HMGET', meter_key(take[4]), 'used', 'held', 'end')
    local left, ends = take[5], tonumber(m[3] or '0')
    if ends == 0 or now < ends then left = left - tonumber(m[1] or '0') - tonumber(m[2] or '0') end
    cap = math.min(cap, math.floor(left / 2))
  end
  return math.max(1, math.floor(cap))
end

local function slot_room(take, now, place)
  local slots = P .. ':slots:' .. take[2]
  if redis.call('HEXISTS', slots, place) == 1 then return 0, 0 end
  if redis.call('HLEN', slots) < cap_of(take, now) then return 0, 0 end
  return nil, now + LOOK_AGAIN
end

-- Whether all of the takes have room: the wait (ms), or nil, the meter that has none, when to look again,
-- and what else is said of it (`never`: it takes more than there ever is; `later`: there is room, but others
-- are before it; `held`: what others hold may come back). `waited` jobs came out of a lane; others do not overtake those in it.
local function room_for(takes, place, now, waited)
  local longest = 0
  for _, take in ipairs(takes) do
    local wait, at, why
    if take[1] == 'r' then
      wait, at = rate_room(take, now)
    elseif take[1] == 'w' then
      wait, at, why = window_room(take, now)
    else
      wait, at = slot_room(take, now, place)
    end
    if not wait or wait > AHEAD then return nil, take, at, why end
    if not waited and redis.call('EXISTS', quota_lane(take[2])) == 1 then
      return nil, take, now + LOOK_AGAIN, 'later'
    end
    longest = math.max(longest, wait)
  end
  return longest
end

local function unit_of(meter) return string.match(meter, '^rpd:') and 'requests' or 'nano_usd' end

-- What is used of a limit, in whole percent.
local function percent(used, limit) return math.floor(used * 100 / limit) end

-- A window that is over goes to the record with what was used of it by now. Of two accounts the record keeps
-- the greater.
local function tell_window(meter, start, ends, used, limit)
  emit(string.format('{"window":{"meter":%s,"unit":"%s","start_ms":%s,"end_ms":%s,"used":%s,"limit":%s}}',
    cjson.encode(meter), unit_of(meter), start, ends, used, limit))
end

-- The window of a take begins. The one before is told, unless it is, and kept beside it: calls that began in
-- it may still end.
local function begin_window(take, now)
  local key, last = meter_key(take[2]), ''
  local m = redis.call('HMGET', key, 'w', 'used', 'end', 'limit', 'told')
  if m[1] then
    local limit = m[4] or whole(take[5])
    if not m[5] and m[2] ~= '0' then tell_window(take[2], m[1], m[3], m[2], limit) end
    last = m[1] .. ' ' .. m[2] .. ' ' .. m[3] .. ' ' .. limit
  end
  redis.call('HSET', key, 'w', whole(take[3]), 'end', whole(take[4]), 'used', '0', 'held', whole(take[6]),
    'limit', whole(take[5]), 'last', last)
  redis.call('HDEL', key, 'told', 'alerted', 'seen')
  redis.call('PERSIST', key)
  redis.call('ZADD', P .. ':windows', whole(take[4] == 0 and now + UNUSED or take[4]), take[2])
end

-- What a call came to that ended after the next window had begun.
local function count_late(take, used)
  local key = meter_key(take[2])
  local start, sum, ends, limit =
    string.match(redis.call('HGET', key, 'last') or '', '^(%S+) (%S+) (%S+) (%S+)$')
  if used == 0 or tonumber(start or '-1') ~= take[3] then return end
  sum = whole(tonumber(sum) + used)
  redis.call('HSET', key, 'last', start .. ' ' .. sum .. ' ' .. ends .. ' ' .. limit)
  tell_window(take[2], start, ends, sum, limit)
end

local function take_all(takes, place, worker, now)
  for _, take in ipairs(takes) do
    local key = meter_key(take[2])
    if take[1] == 'r' then
      local full_at = math.max(now * 1000, tonumber(redis.call('HGET', key, 'full_at') or '0'))
      redis.call('HSET', key, 'full_at', whole(full_at + take[3]))
    elseif take[1] == 'w' then
      local counted = tonumber(redis.call('HGET', key, 'w') or '-1')
      if counted == take[3] then
        redis.call('HINCRBY', key, 'held', whole(take[6]))
      elseif not is_over(take, counted) then
        begin_window(take, now)
      end
    else
      redis.call('HSET', P .. ':slots:' .. take[2], place, worker)
    end
  end
end

-- A lane's gate opens at `at` at the latest.
local function open_gate(meter, at)
  local gates = P .. ':gates'
  if redis.call('ZADD', gates, 'LT', 'CH', whole(at), meter) == 1 and redis.call('ZRANK', gates, meter) == 0 then
    wake()
  end
end

-- What a call came to, in its window.
local function count_used(take, used, told)
  local key = meter_key(take[2])
  redis.call('HINCRBY', key, 'held', whole(-take[6]))
  local sum = redis.call('HINCRBY', key, 'used', whole(used))
  if percent(sum, take[5]) ~= percent(sum - used, take[5]) then
    redis.call('HSET', key, 'limit', whole(take[5]))
    redis.call('SADD', P .. ':alerts:look', take[2])
  end
  if told and used > 0 then tell_window(take[2], whole(take[3]), whole(take[4]), whole(sum), whole(take[5])) end
  if used < take[6] and redis.call('EXISTS', quota_lane(take[2])) == 1 then
    redis.call('HINCRBY', key, 'taken', whole(used - take[6]))
    open_gate(take[2], now_ms())
  end
end

-- Places that come free go to those who wait; one that was cut grows back by one in each round.
local function give_slot_back(take, place, well)
  local key, now = meter_key(take[2]), now_ms()
  if redis.call('HDEL', P .. ':slots:' .. take[2], place) == 0 then return end
  local before, cap = cap_of(take, now), redis.call('HGET', key, 'cap')
  if cap and well then
    local grown = tonumber(cap) + 1 / math.max(1, tonumber(cap))
    if grown >= take[3] then
      redis.call('HDEL', key, 'cap')
    else
      redis.call('HSET', key, 'cap', string.format('%.4f', grown))
    end
  end
  -- To the next at once: the scheduler's round would come later. No more go than became free just now:
  -- who went before may not have begun yet.
  local after = cap_of(take, now)
  local free = math.min(after - redis.call('HLEN', P .. ':slots:' .. take[2]), 1 + after - before)
  while free > 0 do
    local id = redis.call('LPOP', quota_lane(take[2]))
    if not id then return end
    if let_go(id, 'quota:' .. take[2]) then free = free - 1 end
  end
end

-- Ends what an attempt took. `spent` is what it came to, as a JSON list [tokens, requests, nano-dollars,
-- 1 when it was answered], or '' when nobody knows: then it counts as taken; '-' when nothing was taken.
local function give_back(takes_text, place, spent_text)
  if takes_text == '' then return end
  local spent = spent_text ~= '' and cjson.decode(spent_text) or nil
  for _, take in ipairs(cjson.decode(takes_text)) do
    local key = meter_key(take[2])
    local kind = string.match(take[2], '^[a-z]+')
    if take[1] == 'r' then
      if spent and kind == 'tpm' and spent[1] ~= take[5] then
        local difference = (spent[1] - take[5]) * take[3] / math.max(1, take[5])
        redis.call('HINCRBY', key, 'full_at', whole(difference))
        if redis.call('HEXISTS', key, 'turn') == 1 then
          redis.call('HINCRBY', key, 'turn', whole(difference))
        end
      end
    elseif take[1] == 'w' then
      local used = take[6]
      if spent then used = kind == 'rpd' and spent[2] or spent[3] end
      local m = redis.call('HMGET', key, 'w', 'told')
      if tonumber(m[1] or '-1') == take[3] then
        count_used(take, used, m[2])
      else
        count_late(take, used)
      end
    else
      give_slot_back(take, place, spent and spent[4] == 1)
    end
  end
end

-- Ends what the journal says that the attempt at a place took. Who ends a job without an attempt of his
-- own does not know of it: the worker has the job twice.
local function give_back_journalled(place, value, attempt, spent_text)
  if not value or (attempt ~= '' and spent_text == '-') then return end
  local _, _, _, takes = unpack_inflight(value)
  give_back(takes, place, attempt ~= '' and spent_text or '')
end

-- Ends what the worker's other run of the same job took, before this one takes its place in the journal.
local function supersede(place, known, attempt)
  if not known or string.sub(known, 1, #attempt) == attempt or string.sub(known, 1, 1) == '-' then return end
  give_back_journalled(place, known, '', '')
  redis.call('HDEL', P .. ':inflight', place)
end

-- Lays a job aside in a meter's lane; one that comes from a lane goes to its head. Gives how many wait.
local function wait_for(take, at, id, waited)
  local waiting = redis.call(waited and 'LPUSH' or 'RPUSH', quota_lane(take[2]), id)
  local key = meter_key(take[2])
  if take[1] == 'r' then
    redis.call('HSET', key, 'kind', 'r', 'cost', whole(take[3]))
    -- It has to be read before its turn.
    at = at - AHEAD / 2
  elseif take[1] == 'w' then
    redis.call('HSET', key, 'kind', 'w', 'limit', whole(take[5]), 'amount', whole(take[6]))
    if waited or waiting == 1 then redis.call('HSET', key, 'head', id, 'head_amount', whole(take[6])) end
  else
    redis.call('HSET', key, 'kind', 's', 'limit', whole(take[3]), 'sum', take[4], 'most', whole(take[5]))
  end
  open_gate(take[2], at)
  return waiting
end

-- The slots of a concurrency key: how many are taken, and which of them by these jobs already, where there may
-- not be room for all.
local function slots_of(ckey, jobs)
  local holders = P .. ':key:' .. ckey
  local slots = {holders = holders, count = redis.call('HLEN', holders), held = {}, taken = {}}
  local places, least = {}, math.huge
  for i, job in ipairs(jobs) do
    places[i] = job.place
    least = math.min(least, tonumber(job.limit))
  end
  if slots.count + #jobs > least then
    for i, worker in ipairs(redis.call('HMGET', holders, unpack(places))) do slots.held[places[i]] = worker end
  end
  return slots
end

-- Takes the slot of the job's concurrency key out of its slots (nil = it has no key), for keep_slots to write
-- down; 'parked' when there is none, 'waits' when there is none and what to remember of the job is not said.
local function take_slot(job, slots)
  if not slots or slots.held[job.place] then return 'ok' end
  if slots.count < tonumber(job.limit) then
    slots.count, slots.held[job.place] = slots.count + 1, job.worker
    slots.taken[#slots.taken + 1] = job.place
    slots.taken[#slots.taken + 1] = job.worker
    return 'ok'
  end
  if job.resume == '' then return 'waits' end
  if not lay_aside(job.stream, job.queue, job.entry, job.id, 'key:' .. job.ckey, job.resume) then
    return 'gone'
  end
  redis.call('RPUSH', P .. ':lane:key:' .. job.ckey, job.id)
  remove(job.stream, {job.entry})
  forget(job.place)
  return 'parked'
end

local function keep_slots(slots)
  if #slots.taken > 0 then redis.call('HSET', slots.holders, unpack(slots.taken)) end
end
