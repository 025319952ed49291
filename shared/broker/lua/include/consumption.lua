-- Consumption: the end of a reservation. Meters keep what the attempt used and get the rest back.
--
-- The form of a reservation is in reservations.lua. Usage is a JSON list [tokens, requests, nano-dollars, 1 when
-- the provider answered]; '' when it is unknown, then all that was reserved counts as used; '-' when the attempt
-- reserved nothing.
--
-- Needs     journal, lanes, meters
-- Provides  consume, consume_journaled, supersede_attempt

-- Adds usage to a window that the next one has replaced.
local function count_late(amount, used)
  local meter = amount[2]
  local key = meter_key(meter)
  local start, sum, ends, limit =
    string.match(redis.call('HGET', key, 'previous') or '', '^(%S+) (%S+) (%S+) (%S+)$')
  if used == 0 or tonumber(start or '-1') ~= amount[3] then return end
  sum = digits(tonumber(sum) + used)
  redis.call('HSET', key, 'previous', start .. ' ' .. sum .. ' ' .. ends .. ' ' .. limit)
  report_window(meter, start, ends, sum, limit)
end

-- Adds usage to the open window and returns the rest. `reported`: the ledger has the window already.
local function count_used(amount, used, reported)
  local meter, limit, units = amount[2], amount[5], amount[6]
  local key = meter_key(meter)
  redis.call('HINCRBY', key, 'held', digits(-units))
  local sum = redis.call('HINCRBY', key, 'used', digits(used))
  if percent(sum, limit) ~= percent(sum - used, limit) then
    redis.call('HSET', key, 'limit', digits(limit))
    redis.call('SADD', NS .. ':alerts:look', meter)
  end
  if reported and used > 0 then
    report_window(meter, digits(amount[3]), digits(amount[4]), digits(sum), digits(limit))
  end
  if used < units and redis.call('EXISTS', quota_lane(meter)) == 1 then
    redis.call('HINCRBY', key, 'committed', digits(used - units))
    schedule_lane(meter, now_ms())
  end
end

-- Returns a slot. A cap that was cut grows by one in each round of answered calls.
local function return_slot(amount, entry_id, is_answered)
  local meter, limit, now = amount[2], amount[3], now_ms()
  local key, slots = meter_key(meter), NS .. ':slots:' .. meter
  if redis.call('HDEL', slots, entry_id) == 0 then return end
  local before, m = slot_cap(meter, limit, amount[4], amount[5], now), redis.call('HMGET', key, 'cap', 'sampled')
  local cap = m[1]
  -- The sample of calls that hold_account.lua began.
  if m[2] and is_answered then redis.call('HINCRBY', key, 'answered', 1) end
  if cap and is_answered then
    local grown = tonumber(cap) + 1 / math.max(1, tonumber(cap))
    if grown >= limit then
      redis.call('HDEL', key, 'cap')
    else
      redis.call('HSET', key, 'cap', string.format('%.4f', grown))
    end
  end
  -- Release the next job now: the scheduler would come later. No more than became free just now, because jobs
  -- that were released before may not have begun yet.
  local after = slot_cap(meter, limit, amount[4], amount[5], now)
  local free = math.min(after - redis.call('HLEN', slots), 1 + after - before)
  while free > 0 do
    local parked = redis.call('LPOP', quota_lane(meter))
    if not parked then return end
    if release(parked) then free = free - 1 end
  end
end

-- Ends a reservation ('' = none).
local function consume(reservation, entry_id, usage_text)
  if reservation == '' then return end
  local usage = usage_text ~= '' and cjson.decode(usage_text) or nil
  for _, amount in ipairs(cjson.decode(reservation)) do
    local key = meter_key(amount[2])
    local kind = string.match(amount[2], '^[a-z]+')
    if amount[1] == 'r' then
      if usage and kind == 'tpm' and usage[1] ~= amount[5] then
        local difference = (usage[1] - amount[5]) * amount[3] / math.max(1, amount[5])
        redis.call('HINCRBY', key, 'full_at', digits(difference))
        if redis.call('HEXISTS', key, 'next_turn') == 1 then
          redis.call('HINCRBY', key, 'next_turn', digits(difference))
        end
      end
    elseif amount[1] == 'w' then
      local used = amount[6]
      if usage then used = kind == 'rpd' and usage[2] or usage[3] end
      local m = redis.call('HMGET', key, 'w', 'reported')
      if tonumber(m[1] or '-1') == amount[3] then
        count_used(amount, used, m[2])
      else
        count_late(amount, used)
      end
    else
      return_slot(amount, entry_id, usage and usage[4] == 1)
    end
  end
end

-- Ends the reservation in a journal value. A caller without an attempt ('') does not know the usage: its worker
-- has the job twice.
local function consume_journaled(entry_id, value, attempt, usage_text)
  if not value or (attempt ~= '' and usage_text == '-') then return end
  local _, _, _, reservation = parse_journal_value(value)
  consume(reservation, entry_id, attempt ~= '' and usage_text or '')
end

-- Ends the reservation of another attempt of the same worker at the same job (`value`), before `attempt` replaces it
-- in the journal.
local function supersede_attempt(entry_id, value, attempt)
  if not value or is_attempt(value, attempt) or string.sub(value, 1, 1) == '-' then return end
  consume_journaled(entry_id, value, '', '')
  redis.call('HDEL', NS .. ':inflight', entry_id)
end
