-- Chains: what follows when a step ends. This text stands before the scripts that need it.
--
-- An instance is what runs of a step: `STEP`, or `STEP/INDEX` of an item. `{ns}:chain:ID` holds the chain's
-- state, figures and counts; beside it, with a colon:
--   doc       the document               steps    by step: its record (see step_record)
--   items     by item: see lay_item      ready    instances that may go when there is room
--   lines     tasks of a batch: see pump running  by instance: the job's id
--   ids       of a batch, by index: the job's own id
--   contexts  by instance: its outcome   failed   by instance: how it ended (`failed ID`, `cancelled ID`)
-- While something is ready, something runs: whoever ends it sends the next. So nothing is lost with the
-- process that began the chain.

-- Jobs that one script puts into a queue: a few milliseconds.
local PUMP = 1000
local PARTS = {'', ':doc', ':steps', ':items', ':ready', ':lines', ':running', ':contexts', ':failed', ':ids'}

local function chain_key(id) return P .. ':chain:' .. id end

local function step_of(instance) return string.match(instance, '^[^/]+') end

-- What is known of a step: {memory, message, on_failure, min_success ('' = all of its items), dependents},
-- the last a text `NAME NAME! …`, `!` of those that count completed needs alone.
local function step_record(key, name)
  local packed = redis.call('HGET', key .. ':steps', name)
  return packed and cmsgpack.unpack(packed)
end

-- A chain as it stands, for the record.
local function emit_chain(id, state, ended)
  local m = redis.call('HMGET', chain_key(id), 'name', 'kind', 'steps', 'begun')
  local name = m[1] ~= '' and string.format('"name":%s,', cjson.encode(m[1])) or ''
  local tail = ended and string.format(',"ended_ms":%s', ended) or ''
  emit(string.format('{"chain":{"chain_id":%s,%s"kind":"%s","state":"%s","steps":%s,"begun_ms":%s%s}}',
    cjson.encode(id), name, m[2], state, m[3], m[4], tail))
end

-- What is known of an item: its memory, its message (false = its step's), its job's id (false = its name's).
local function lay_item(key, instance, memory, message, job)
  redis.call('HSET', key .. ':items', instance, cmsgpack.pack({memory, message or false, job or false}))
end

local function send(key, id, queue, instance)
  local record = step_record(key, step_of(instance)) or {}
  local packed = redis.call('HGET', key .. ':items', instance)
  local item = packed and cmsgpack.unpack(packed) or {}
  local memory, message, job = item[1] or record[1], item[2] or record[2], item[3] or id .. '/' .. instance
  if not memory or not message then
    -- Somebody took it away; the chain must not wait for it.
    redis.call('HSET', key .. ':failed', instance, 'failed ' .. job)
    redis.call('HINCRBY', key, 'failed', 1)
    redis.call('HINCRBY', key, 'broken', 1)
    return
  end
  redis.call('HSET', key .. ':running', instance, job)
  enqueue(queue, memory, {'job', message})
end

-- Puts what is ready into the queue, as far as there is room; whether there may be more than one script can
-- send. A line of a batch is {instance, memory, message, its job's id (false = its name's)}.
local function pump(id)
  local key = chain_key(id)
  local m = redis.call('HMGET', key, 'state', 'parallel', 'queue')
  if m[1] ~= 'running' and m[1] ~= 'open' then return false end
  local room = PUMP
  if m[2] ~= '' then room = math.min(PUMP, tonumber(m[2]) - redis.call('HLEN', key .. ':running')) end
  local sent = 0
  while sent < room do
    local instance = redis.call('LPOP', key .. ':ready')
    if instance then
      send(key, id, m[3], instance)
    else
      local line = redis.call('LPOP', key .. ':lines')
      if not line then break end
      local task = cmsgpack.unpack(line)
      lay_item(key, task[1], task[2], task[3], task[4])
      send(key, id, m[3], task[1])
    end
    sent = sent + 1
  end
  return sent == PUMP
end

-- Cancels what runs; nothing more is started.
local function stop(id, final)
  local key = chain_key(id)
  redis.call('HSET', key, 'state', 'stopping', 'final', final)
  local running = redis.call('HGETALL', key .. ':running')
  for i = 2, #running, 2 do ask_to_cancel(running[i]) end
end

-- A step has ended, with all of its items: tells those that need it, once.
local function step_ended(id, name, outcome)
  local key = chain_key(id)
  local before = redis.call('HGET', key, 's:' .. name)
  redis.call('HSET', key, 's:' .. name, outcome)
  if before then return end
  local record = step_record(key, name)
  if not record then return end
  local well = outcome == 'completed' or outcome == 'skipped'
  if not well and record[3] ~= 'continue' then
    redis.call('HINCRBY', key, 'broken', 1)
    local m = redis.call('HMGET', key, 'fail_fast', 'state')
    if m[1] == '1' and m[2] == 'running' then stop(id, 'failed') end
    return
  end
  for dependent, strict in string.gmatch(record[5], '([^ !]+)(!?)') do
    if strict == '' or outcome == 'completed' then
      if redis.call('HINCRBY', key, 'l:' .. dependent, -1) == 0 then
        redis.call('RPUSH', key .. ':ready', dependent)
      end
    end
  end
end

-- An instance has ended: `completed`, `failed`, `skipped` or `cancelled`. Told twice, it changes nothing.
local function advance(id, instance, outcome, nanos)
  local key = chain_key(id)
  local job = redis.call('HGET', key .. ':running', instance)
  if not job then return end
  redis.call('HDEL', key .. ':running', instance)
  redis.call('HINCRBY', key, 'nanos', nanos)
  redis.call('HINCRBY', key, outcome, 1)
  if outcome == 'failed' or outcome == 'cancelled' then
    redis.call('HSET', key .. ':failed', instance, outcome .. ' ' .. job)
  end
  local name = step_of(instance)
  if name == instance then
    -- One that spawned jobs ends with them.
    if tonumber(redis.call('HGET', key, 't:' .. name) or '0') > 0 then return end
    return step_ended(id, name, outcome)
  end
  if outcome == 'completed' then redis.call('HDEL', key .. ':items', instance) end
  local well = redis.call('HINCRBY', key, 'o:' .. name, outcome == 'completed' and 1 or 0)
  local done = redis.call('HINCRBY', key, 'd:' .. name, 1)
  local total = redis.call('HGET', key, 't:' .. name)
  -- How many tasks a batch has is not known before its producer says so.
  if not total or done < tonumber(total) then return end
  local record = step_record(key, name)
  local enough = record and record[4] ~= '' and tonumber(record[4]) or tonumber(total)
  step_ended(id, name, well >= enough and 'completed' or 'failed')
end

-- A chain's outcome, for those who wait for it.
local function outcome_of(id, state, m)
  local cost = tonumber(m.nanos or '0')
  return string.format('{"id":%s,"state":"%s","success":%s,"steps":%s,"completed":%s,"failed":%s,"skipped":%s,'
    .. '"cancelled":%s,"cost_usd":"%d.%09d"}', cjson.encode(id), state, tostring(state == 'completed'), m.steps,
    m.completed or '0', m.failed or '0', m.skipped or '0', m.cancelled or '0',
    math.floor(cost / 1000000000), cost % 1000000000)
end

-- Ends the chain if nothing of it runs or may run.
local function finish(id)
  local key = chain_key(id)
  local state = redis.call('HGET', key, 'state')
  if state ~= 'running' and state ~= 'stopping' then return end
  if redis.call('EXISTS', key .. ':running') == 1 then return end
  if state == 'running' and redis.call('EXISTS', key .. ':ready', key .. ':lines') > 0 then return end
  local names = {'kind', 'final', 'broken', 'steps', 'completed', 'failed', 'skipped', 'cancelled', 'nanos', 'retention',
    'reply', 'queue', 'results'}
  local m = {}
  for i, value in ipairs(redis.call('HMGET', key, unpack(names))) do m[names[i]] = value or nil end
  local broken = tonumber(m.broken or '0')
  if m.kind == 'batch' then broken = tonumber(m.failed or '0') + tonumber(m.cancelled or '0') end
  local final = state == 'stopping' and m.final or (broken > 0 and 'failed' or 'completed')
  local now = string.format('%.0f', now_ms())
  redis.call('HSET', key, 'state', final, 'ended', now)
  emit_chain(id, final, now)
  local outcome = outcome_of(id, final, m)
  redis.call('SET', P .. ':result:' .. id, outcome, 'EX', m.results)
  if m.reply == '1' then push_reply(id, outcome, m.results) end
  local after = step_record(key, '!')
  if after then enqueue(m.queue, after[1], {'job', after[2]}) end
  for _, part in ipairs(PARTS) do redis.call('EXPIRE', key .. part, m.retention) end
end

-- Sends what may go by now, and ends the chain when that was all; whether there may be more to send.
local function proceed(id)
  local more = pump(id)
  finish(id)
  return more
end
