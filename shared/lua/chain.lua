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

local function end_count(key, outcome, by) redis.call('HINCRBY', key, outcome, by) end

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

-- The same of one that runs again, with what is remembered of it by now; its message stays ('' = as it was).
local function lay_again(key, instance, memory, message, job)
  local packed = redis.call('HGET', key .. ':items', instance)
  local item = packed and cmsgpack.unpack(packed) or {}
  lay_item(key, instance, memory, message ~= '' and message or item[2], job)
end

local function send(key, id, queue, instance)
  local record = step_record(key, step_of(instance)) or {}
  local packed = redis.call('HGET', key .. ':items', instance)
  local item = packed and cmsgpack.unpack(packed) or {}
  local memory, message, job = item[1] or record[1], item[2] or record[2], item[3] or id .. '/' .. instance
  if not memory or not message then
    -- Somebody took it away; the chain must not wait for it.
    redis.call('HSET', key .. ':failed', instance, 'failed ' .. job)
    end_count(key, 'failed', 1)
    redis.call('HINCRBY', key, 'broken', 1)
    return
  end
  redis.call('HSET', key .. ':running', instance, job)
  enqueue(queue, memory, {'job', message})
end

-- Puts what is ready into the queue, as far as there is room, `most` at once; gives how many went. A line of
-- a batch is {instance, memory, message, its job's id (false = its name's)}.
local function pump(id, most)
  local key = chain_key(id)
  local m = redis.call('HMGET', key, 'state', 'parallel', 'queue')
  if m[1] ~= 'running' and m[1] ~= 'open' then return 0 end
  local room = most
  if m[2] ~= '' then room = math.min(most, tonumber(m[2]) - redis.call('HLEN', key .. ':running')) end
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
  return sent
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
  end_count(key, outcome, 1)
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

-- An instance that ended without success is to run once more; false when it did not, or nobody knows it.
local function reopen(id, instance)
  local key = chain_key(id)
  local ended = redis.call('HGET', key .. ':failed', instance)
  if not ended then return false end
  redis.call('HDEL', key .. ':failed', instance)
  end_count(key, string.match(ended, '^%a+'), -1)
  local name = step_of(instance)
  if name ~= instance then redis.call('HINCRBY', key, 'd:' .. name, -1) end
  local record, state = step_record(key, name), redis.call('HGET', key, 's:' .. name)
  -- Those that go on without it were told already.
  if record and record[3] ~= 'continue' and (state == 'failed' or state == 'cancelled') then
    redis.call('HDEL', key, 's:' .. name)
    redis.call('HINCRBY', key, 'broken', -1)
  end
  return true
end

-- A chain that had ended goes on.
local function resume_chain(id)
  local key = chain_key(id)
  redis.call('HSET', key, 'state', 'running')
  redis.call('HDEL', key, 'final', 'ended')
  for _, part in ipairs(PARTS) do redis.call('PERSIST', key .. part) end
  redis.call('DEL', P .. ':result:' .. id)
  emit_chain(id, 'running')
end

-- A job comes back from the dead letters: if it is a step's, its chain goes on with it.
local function go_on_with(id, memory)
  if not string.find(memory, '"step":', 1, true) then return end
  local step = cjson.decode(memory).step
  if type(step) ~= 'table' then return end
  local instance = step.index and step.name .. '/' .. string.format('%.0f', step.index) or step.name
  if not reopen(step.chain, instance) then return end
  local key = chain_key(step.chain)
  redis.call('HSET', key .. ':running', instance, id)
  if redis.call('HEXISTS', key, 'ended') == 1 then resume_chain(step.chain) end
end
