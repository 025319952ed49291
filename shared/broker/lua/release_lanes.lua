-- Releases jobs from the lanes of limits that are due for a check: in order, and no more than there is room for. A job
-- that finds no room after all returns to the head of its lane (reserve.lua). Where another platform may have room, more
-- are released (lane_retry.lua).
--
-- KEYS[1]  `{ns}:lanes:due`
-- ARGV     1 namespace, 2 the most jobs
-- Returns  {how many were released, ms until the next lane is due (-1: none)}
-- Writes   lanes, parked jobs, streams, checkpoints, `{ns}:lanes:due`, `{ns}:lanes:retry`, of the meters `next_turn`,
--          `released`, `released_at`, `committed`, `retry`
-- Repeat   safe, also from two leaders: what the first call releases is counted and no longer in the lane
-- Bound    20 lanes, 100 that are to be tried again; a few commands a job, two for each entry id whose job has left the lane
local most = tonumber(ARGV[2])
-- Jobs of a rate are released this long before their turn (ms): a worker has to pull them first.
local EARLY = 1000
-- The least time between two checks of a lane (ms).
local PAUSE = 40
local LANES = 20
-- The most lanes that are tried again together, and the most jobs that one of them releases for that at a time.
local RETRIED_LANES, RETRIED_JOBS = 100, 64

-- For rates: how many may be released now, and when to check again.
local function rate_release(key, m, now)
  local cost = math.max(1, tonumber(m.cost))
  local next_turn = math.max(tonumber(m.next_turn or '0'), tonumber(m.full_at or '0'), now * 1000)
  local count = math.floor(((now + EARLY) * 1000 - next_turn) / cost) + 1
  count = math.max(0, math.min(count, most))
  next_turn = next_turn + count * cost
  redis.call('HSET', key, 'next_turn', digits(next_turn))
  return count, math.max(now + PAUSE, next_turn / 1000 - EARLY)
end

-- How much of what was released less than a second ago has not begun yet: `released` in all at `released_at`, when
-- `committed` was used and held (consumption.lua lowers it by what it returns). A job that has not begun after that
-- second went to another candidate.
local function on_the_way(m, committed, now)
  if now - tonumber(m.released_at or '0') >= RECHECK then return 0 end
  return math.max(0, tonumber(m.released) - math.max(0, committed - tonumber(m.committed)))
end

-- The same for windows.
local function window_release(key, lane, m, now)
  local units, ends = math.max(1, tonumber(m.amount)), tonumber(m['end'] or '0')
  local is_over = ends > 0 and now >= ends
  -- Nothing has begun yet in the next window.
  local committed = is_over and 0 or tonumber(m.used or '0') + tonumber(m.held or '0')
  local coming = on_the_way(m, committed, now)
  local left = tonumber(m.limit) - committed - coming
  local count = math.max(0, math.min(most, math.floor(left / units)))
  if count == 0 and left > 0 and coming == 0 then
    -- The job that was parked last does not fit, but the first one may. If its units are unknown, try it.
    local is_known = redis.call('LINDEX', lane, 0) == m.head
    units = is_known and tonumber(m.head_amount) or left
    count = units <= left and 1 or 0
  end
  if count > 0 then
    redis.call('HSET', key, 'released', digits(coming + count * units), 'released_at', digits(now),
      'committed', digits(committed))
    return count, now + PAUSE
  end
  if is_over or coming > 0 then return 0, now + RECHECK end
  return 0, ends == 0 and FOREVER or ends
end

-- The same for slots.
local function slot_release(meter, m, now)
  local cap = slot_cap(meter, tonumber(m.limit), m.sum, tonumber(m.sum_limit), now)
  local free = cap - redis.call('HLEN', NS .. ':slots:' .. meter)
  return math.max(0, math.min(most, free)), now + RECHECK
end

-- Marks the lanes to be tried again, if it is time. Budgets and limits of queues hold for all platforms, so only a new
-- configuration gives their jobs room.
local function begin_retries(now)
  local is_reconfigured = redis.call('ZSCORE', NS .. ':lanes:retry', RECONFIGURED)
  is_reconfigured = is_reconfigured and tonumber(is_reconfigured) <= now
  if redis.call('ZREMRANGEBYSCORE', NS .. ':lanes:retry', '-inf', now) == 0 then return end
  for _, meter in ipairs(redis.call('ZRANGE', KEYS[1], 0, RETRIED_LANES - 1)) do
    if is_reconfigured or not (string.match(meter, '^budget:') or is_of_queue(meter)) then
      redis.call('HSET', meter_key(meter), 'retry', '1')
      redis.call('ZADD', KEYS[1], 'LT', digits(now), meter)
    end
  end
end

local function release_from(meter, now)
  local key, lane = meter_key(meter), quota_lane(meter)
  local found, m = redis.call('HGETALL', key), {}
  for i = 1, #found, 2 do m[found[i]] = found[i + 1] end
  local count, again
  if m.kind == 'r' then
    count, again = rate_release(key, m, now)
  elseif m.kind == 'w' then
    count, again = window_release(key, lane, m, now)
  elseif m.kind == 's' then
    count, again = slot_release(meter, m, now)
  else
    -- Someone deleted the meter by hand: each job finds out when it begins.
    count, again = most, now + RECHECK
  end
  local retry = tonumber(m.retry or '0')
  if retry > 0 then
    count, again = math.max(count, math.min(retry, most)), math.min(again, now + PAUSE)
    redis.call('HSET', key, 'retry', digits(math.min(2 * retry, RETRIED_JOBS)))
  end
  local released = 0
  while released < count do
    local parked = redis.call('LPOP', lane)
    if not parked then break end
    if release(parked) then released = released + 1 end
  end
  most = most - released
  if redis.call('EXISTS', lane) == 1 then
    redis.call('ZADD', KEYS[1], digits(again), meter)
  else
    redis.call('ZREM', KEYS[1], meter)
    redis.call('HDEL', key, 'retry')
    -- The account may have room for the jobs of other lanes.
    if not is_of_queue(meter) then retry_lanes('empty lane', now + RECHECK) end
  end
  return released
end

local now, released = now_ms(), 0
local function first_due()
  local wait = -1
  for _, key in ipairs({KEYS[1], NS .. ':lanes:retry'}) do
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    local left = first[2] and math.max(0, tonumber(first[2]) - now)
    if left and (wait < 0 or left < wait) then wait = left end
  end
  return wait
end

local wait = first_due()
if wait ~= 0 then return {0, wait} end
begin_retries(now)
for _, meter in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, LANES)) do
  if most > 0 then released = released + release_from(meter, now) end
end
return {released, first_due()}
