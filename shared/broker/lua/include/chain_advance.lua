-- Progress of a chain: what follows when an instance ends, up to the end of the chain.
--
-- Needs     cancel_requests, chain_dispatch, chain_outcome, chains, lanes, replies
-- Provides  stop_chain, stop_if_fail_fast, end_step, advance, finish, proceed

-- Starts nothing more and requests the cancellation of what runs. The chain ends as `final`.
local function stop_chain(id, final)
  local key = chain_key(id)
  redis.call('HSET', key, 'state', 'stopping', 'final', final)
  local running = redis.call('HGETALL', key .. ':running')
  for i = 2, #running, 2 do request_cancel(running[i]) end
end

-- Stops a chain with `fail_fast` after a failure.
local function stop_if_fail_fast(id)
  local m = redis.call('HMGET', chain_key(id), 'fail_fast', 'state')
  if m[1] == '1' and (m[2] == 'running' or m[2] == 'open') then stop_chain(id, 'failed') end
end

-- Ends a step whose items have all ended: its dependents wait for one step less. `before` is how it had ended (nil
-- or false = not yet): the second call for a step only replaces its outcome.
local function end_step(id, name, outcome, before, record)
  local key = chain_key(id)
  redis.call('HSET', key, 's:' .. name, outcome)
  if before or not record then return end
  local succeeded = outcome == 'completed' or outcome == 'skipped'
  if not succeeded and record[3] ~= 'continue' then
    redis.call('HINCRBY', key, 'broken', 1)
    return stop_if_fail_fast(id)
  end
  for dependent, strict in string.gmatch(record[5], '([^ !]+)(!?)') do
    if strict == '' or outcome == 'completed' then
      if redis.call('HINCRBY', key, 'l:' .. dependent, -1) == 0 then
        redis.call('RPUSH', key .. ':ready', dependent)
      end
    end
  end
end

-- Cancels the items of a step that has ended early: those that run are asked to stop, those that wait never run.
local function cancel_items(id, name, total)
  local key = chain_key(id)
  for i = 0, total - 1 do
    local instance = name .. '/' .. i
    local job = redis.call('HGET', key .. ':running', instance)
    if job then
      request_cancel(job)
    elseif redis.call('LREM', key .. ':ready', 1, instance) > 0 then
      redis.call('HINCRBY', key, 'cancelled', 1)
      redis.call('HINCRBY', key, 'd:' .. name, 1)
    end
  end
end

-- Ends an instance, whose job is `job`: `completed`, `failed`, `skipped` or `cancelled`; `spent` is what spent_counts
-- reads. The second call for it changes nothing.
local function advance(id, instance, job, outcome, spent)
  local key = chain_key(id)
  if redis.call('HDEL', key .. ':running', instance) == 0 then return end
  local name = step_name(instance)
  local is_item = name ~= instance
  local counts = spent_counts(spent)
  counts[#counts + 1] = {outcome, 1}
  if is_item then
    counts[#counts + 1] = {'o:' .. name, outcome == 'completed' and 1 or 0}
    counts[#counts + 1] = {'d:' .. name, 1}
  end
  local m = add_counts(key, counts, 't:' .. name, 'e:' .. name, 's:' .. name, 'kind')
  local total, enough, before = tonumber(m['t:' .. name] or ''), tonumber(m['e:' .. name] or ''), m['s:' .. name]
  -- A step that ended early needs its other items no more, not even in a retry of the chain.
  local is_superfluous = enough and before == 'completed'
  if (outcome == 'failed' or outcome == 'cancelled') and not is_superfluous then
    redis.call('HSET', key .. ':failed', instance, outcome .. ' ' .. job)
    if string.find(spent, '[1-9]') then redis.call('HSET', key .. ':spent', instance, spent) end
  end
  if not is_item then
    -- A step that spawned jobs ends with the last of them.
    if (total or 0) > 0 then return end
    return end_step(id, name, outcome, before, step_record(key, name))
  end
  if outcome == 'completed' then redis.call('HDEL', key .. ':items', instance) end
  -- The tasks of a batch do not depend on one another: the first that fails is enough.
  if outcome == 'failed' and m.kind == 'batch' then stop_if_fail_fast(id) end
  local completed, ended = m['o:' .. name], m['d:' .. name]
  -- An open batch has no total yet.
  if not total or is_superfluous then return end
  if enough and completed >= enough then
    end_step(id, name, 'completed', before, step_record(key, name))
    return cancel_items(id, name, total)
  end
  if ended < total then return end
  local record = step_record(key, name)
  local required = record and record[4] ~= '' and tonumber(record[4]) or total
  end_step(id, name, completed >= required and 'completed' or 'failed', before, record)
end

-- Releases the job that a recipe answers: the next worker ends it with the answer. A job that has left since is skipped.
local function release_waiting(entry_id)
  redis.call('ZREM', NS .. ':lane:time', entry_id)
  release(entry_id)
end

-- Ends the chain if nothing of it is running or ready: outcome, event, reply, the job that waits for it or follows it,
-- expiry.
local function finish(id)
  local key = chain_key(id)
  -- The jobs of most chains end one by one, so this is most often all that is read.
  if redis.call('EXISTS', key .. ':running') == 1 then return end
  local state = redis.call('HGET', key, 'state')
  if state ~= 'running' and state ~= 'stopping' then return end
  if state == 'running' and redis.call('EXISTS', key .. ':ready', key .. ':lines') > 0 then return end
  local names = {'kind', 'final', 'broken', 'failed', 'cancelled', 'retention', 'reply', 'queue', 'results', 'recipe',
    'waiting'}
  local m = {}
  for i, value in ipairs(redis.call('HMGET', key, unpack(names))) do m[names[i]] = value or nil end
  local broken = tonumber(m.broken or '0')
  if m.kind == 'batch' then broken = tonumber(m.failed or '0') + tonumber(m.cancelled or '0') end
  local final = state == 'stopping' and m.final or (broken > 0 and 'failed' or 'completed')
  local now = string.format('%.0f', now_ms())
  redis.call('HSET', key, 'state', final, 'ended', now)
  emit_chain(id, final, now)
  if m.recipe then
    -- The outcome is that of the job.
    if m.waiting then release_waiting(m.waiting) end
  else
    local outcome = chain_outcome(id)
    redis.call('SET', NS .. ':result:' .. id, outcome, 'EX', m.results)
    if (m.reply or '') ~= '' then push_reply(id, m.reply, outcome, m.results, 'chain') end
  end
  local follower = step_record(key, '!')
  if follower then enqueue(m.queue, follower[1], {'job', follower[2]}) end
  for _, part in ipairs(CHAIN_PARTS) do redis.call('EXPIRE', key .. part, m.retention) end
  expire_chain_cap(id, m.retention)
end

-- Dispatches what is ready, and ends the chain when there is nothing left; returns whether there may be more to
-- dispatch.
local function proceed(id)
  local more = dispatch(id)
  finish(id)
  return more
end
