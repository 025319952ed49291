-- Lets jobs out of the lanes of limits whose gates are open: in order, and no more than there is room
-- for. What has no room after all comes back to the head of its lane. Two leaders may do so at once: what
-- the first let go is counted here, and no longer there for the second.
--
-- KEYS[1]  the gates
-- ARGV     prefix, how many jobs at most
-- Returns  {how many went, ms until the next gate opens (-1: none)}
local most = tonumber(ARGV[2])
-- Jobs of a paced rate are let go this far ahead of their turn (ms): they have to be read first.
local EARLY = 1000
-- At least so long between two looks at a lane (ms).
local PAUSE = 40

-- How many may go now, and when to look again.
local function of_rate(key, m, now)
  local cost = math.max(1, tonumber(m.cost))
  local next_turn = math.max(tonumber(m.turn or '0'), tonumber(m.full_at or '0'), now * 1000)
  local count = math.floor(((now + EARLY) * 1000 - next_turn) / cost) + 1
  count = math.max(0, math.min(count, most))
  next_turn = next_turn + count * cost
  redis.call('HSET', key, 'turn', whole(next_turn))
  return count, math.max(now + PAUSE, next_turn / 1000 - EARLY)
end

-- Of what went less than a second ago (`went` in all at `went_at`, when `taken` was used and held; what is
-- given back is taken off that), what has not begun yet. Who has not begun after that went elsewhere.
local function on_the_way(m, taken, now)
  if now - tonumber(m.went_at or '0') >= LOOK_AGAIN then return 0 end
  return math.max(0, tonumber(m.went) - math.max(0, taken - tonumber(m.taken)))
end

local function of_window(key, lane, m, now)
  local amount, ends = math.max(1, tonumber(m.amount)), tonumber(m['end'] or '0')
  local over = ends > 0 and now >= ends
  -- Nothing has begun yet in the window that follows.
  local taken = over and 0 or tonumber(m.used or '0') + tonumber(m.held or '0')
  local coming = on_the_way(m, taken, now)
  local left = tonumber(m.limit) - taken - coming
  local count = math.max(0, math.min(most, math.floor(left / amount)))
  if count == 0 and left > 0 and coming == 0 then
    -- The last that came takes more than is left. Does the first? Where that is not known, it is tried.
    local known = redis.call('LINDEX', lane, 0) == m.head
    amount = known and tonumber(m.head_amount) or left
    count = amount <= left and 1 or 0
  end
  if count > 0 then
    redis.call('HSET', key, 'went', whole(coming + count * amount), 'went_at', whole(now), 'taken', whole(taken))
    return count, now + PAUSE
  end
  if over or coming > 0 then return 0, now + LOOK_AGAIN end
  return 0, ends == 0 and FOREVER or ends
end

local function of_places(meter, m, now)
  local cap = cap_of({'s', meter, tonumber(m.limit), m.sum, tonumber(m.most)}, now)
  local free = cap - redis.call('HLEN', P .. ':slots:' .. meter)
  return math.max(0, math.min(most, free)), now + LOOK_AGAIN
end

local function let_go_some(meter, now)
  local key, lane = meter_key(meter), quota_lane(meter)
  local found, m = redis.call('HGETALL', key), {}
  for i = 1, #found, 2 do m[found[i]] = found[i + 1] end
  local count, again
  if m.kind == 'r' then
    count, again = of_rate(key, m, now)
  elseif m.kind == 'w' then
    count, again = of_window(key, lane, m, now)
  elseif m.kind == 's' then
    count, again = of_places(meter, m, now)
  else
    -- Somebody deleted what was known: their begin tells.
    count, again = most, now + LOOK_AGAIN
  end
  local went = 0
  while went < count do
    local id = redis.call('LPOP', lane)
    if not id then break end
    if let_go(id, 'quota:' .. meter) then went = went + 1 end
  end
  most = most - went
  if redis.call('EXISTS', lane) == 1 then
    redis.call('ZADD', KEYS[1], whole(again), meter)
  else
    redis.call('ZREM', KEYS[1], meter)
  end
  return went
end

local now, went = now_ms(), 0
local function first_gate()
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return first[2] and math.max(0, tonumber(first[2]) - now) or -1
end

local wait = first_gate()
if wait ~= 0 then return {0, wait} end
for _, meter in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 20)) do
  if most > 0 then went = went + let_go_some(meter, now) end
end
return {went, first_gate()}
