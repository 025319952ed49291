-- Dispatch of a chain: ready instances go into the queue.
--
-- While a chain has ready instances, some of its jobs are queued or running, and the end of each dispatches the next.
-- So a chain does not depend on the process that started it.
--
-- Needs     chains, lanes
-- Provides  dispatch

-- Jobs that one script puts into a queue: a few milliseconds.
local DISPATCH_MAX = 1000

local function send_instance(key, id, queue, instance)
  local record = step_record(key, step_name(instance)) or {}
  local packed = redis.call('HGET', key .. ':items', instance)
  local item = packed and cmsgpack.unpack(packed) or {}
  local checkpoint, message, job = item[1] or record[1], item[2] or record[2], item[3] or id .. '/' .. instance
  if not checkpoint or not message then
    -- Someone deleted the step by hand; the chain must not wait for it.
    redis.call('HSET', key .. ':failed', instance, 'failed ' .. job)
    redis.call('HINCRBY', key, 'failed', 1)
    redis.call('HINCRBY', key, 'broken', 1)
    return
  end
  redis.call('HSET', key .. ':running', instance, job)
  local own_queue = record[7] or ''
  enqueue(own_queue ~= '' and own_queue or queue, checkpoint, {'job', message})
end

-- Sends as many ready instances as `parallel` and DISPATCH_MAX allow; returns whether there may be more to send.
-- A line of a batch is msgpack of {instance, checkpoint, message, its job's id (false = `BATCH/INSTANCE`)}.
local function dispatch(id)
  local key = chain_key(id)
  local m = redis.call('HMGET', key, 'state', 'parallel', 'queue', 'kind')
  if m[1] ~= 'running' and m[1] ~= 'open' then return false end
  local room = DISPATCH_MAX
  if m[2] ~= '' then room = math.min(DISPATCH_MAX, tonumber(m[2]) - redis.call('HLEN', key .. ':running')) end
  if room <= 0 then return false end
  local ready = redis.call('LPOP', key .. ':ready', room) or {}
  for _, instance in ipairs(ready) do send_instance(key, id, m[3], instance) end
  local sent = #ready
  -- Only a batch has lines. Each holds a whole message, so they are read one by one.
  while m[4] == 'batch' and sent < room do
    local line = redis.call('LPOP', key .. ':lines')
    if not line then break end
    local task = cmsgpack.unpack(line)
    put_item(key, task[1], task[2], task[3], task[4])
    send_instance(key, id, m[3], task[1])
    sent = sent + 1
  end
  return sent == DISPATCH_MAX
end
