-- Chains that go on where they failed. This text stands after chain.lua, before the scripts that need it.

-- An instance that ended without success is to run once more; false when it did not, or nobody knows it.
local function reopen(id, instance)
  local key = chain_key(id)
  local ended = redis.call('HGET', key .. ':failed', instance)
  if not ended then return false end
  redis.call('HDEL', key .. ':failed', instance)
  redis.call('HINCRBY', key, string.match(ended, '^%a+'), -1)
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
