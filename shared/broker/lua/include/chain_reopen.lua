-- Reopening of a chain: instances that ended without success run once more.
--
-- Needs     chains
-- Provides  reopen_instance, reopen_chain

-- Takes an instance out of the failed ones and corrects the counts; false when it did not fail, or the chain is
-- unknown. `resumes`: its job continues from the checkpoint of its dead letter. The checkpoint holds what the job
-- spent before, and the job reports that again when it ends, so it is taken out of the chain's total here.
local function reopen_instance(id, instance, resumes)
  local key = chain_key(id)
  local ended = redis.call('HGET', key .. ':failed', instance)
  if not ended then return false end
  redis.call('HDEL', key .. ':failed', instance)
  local counts = resumes and spent_counts(redis.call('HGET', key .. ':spent', instance) or '') or {}
  redis.call('HDEL', key .. ':spent', instance)
  local name = step_name(instance)
  counts[#counts + 1] = {string.match(ended, '^%a+'), 1}
  if name ~= instance then counts[#counts + 1] = {'d:' .. name, 1} end
  for _, count in ipairs(counts) do count[2] = -count[2] end
  add_counts(key, counts)
  local record, state = step_record(key, name), redis.call('HGET', key, 's:' .. name)
  -- Dependents that continue after a failure have started already.
  if record and record[3] ~= 'continue' and (state == 'failed' or state == 'cancelled') then
    redis.call('HDEL', key, 's:' .. name)
    redis.call('HINCRBY', key, 'broken', -1)
  end
  return true
end

-- Sets a chain that had ended to running: it no longer expires and has no outcome.
local function reopen_chain(id)
  local key = chain_key(id)
  redis.call('HSET', key, 'state', 'running')
  redis.call('HDEL', key, 'final', 'ended')
  for _, part in ipairs(CHAIN_PARTS) do redis.call('PERSIST', key .. part) end
  if redis.call('HEXISTS', key, 'recipe') == 0 then redis.call('DEL', NS .. ':result:' .. id) end
  keep_chain_cap(id)
  emit_chain(id, 'running')
end
