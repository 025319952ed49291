-- Retries a page of the failed instances of a chain that ended: they run again. With the last page the chain runs, and
-- what never began follows. Outcomes that exist are kept.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, 2 chain id, 3 '1' with the last page, then of each instance: its name, job id, and of its dead
--          letter: entry id ('' = it has none), checkpoint ('' = the stored one), message ('' = the stored one)
-- Returns  how many steps and items run again; -1: the chain is unknown; -2: it has not ended; -3: there is nothing to
--          run
-- Writes   `{ns}:chain:ID…`, dead letters, results, `{ns}:cancelled`, `{ns}:id:ID`, events, streams, checkpoints
-- Repeat   safe: an instance that was taken is no longer a failed one, and a chain that runs is not retried (-2)
-- Bound    a few commands an instance, with the last page chain_dispatch.lua's
local FIRST, ARITY = 4, 5

-- Stores an item with the checkpoint that its job has by now.
local function put_retried(key, instance, checkpoint, message, job)
  local packed = redis.call('HGET', key .. ':items', instance)
  local item = packed and cmsgpack.unpack(packed) or {}
  put_item(key, instance, checkpoint, message ~= '' and message or item[2], job)
end

local id, is_last, ready = ARGV[2], ARGV[3] == '1', KEYS[1] .. ':ready'
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state ~= 'completed' and state ~= 'failed' and state ~= 'cancelled' then return -2 end
if not ARGV[FIRST] and redis.call('EXISTS', ready, KEYS[1] .. ':lines') == 0 then return -3 end
local retried = 0
for at = FIRST, #ARGV, ARITY do
  local instance, job, entry_id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local resumes = entry_id ~= '' and ARGV[at + 3] ~= ''
  if reopen_instance(id, instance, resumes) then
    redis.call('DEL', NS .. ':result:' .. job)
    reopen_own_ids({job})
    redis.call('ZREM', NS .. ':cancelled', job)
    if entry_id ~= '' then
      remove_dead_letters({entry_id}, {job})
      if resumes then put_retried(KEYS[1], instance, ARGV[at + 3], ARGV[at + 4], job) end
    end
    redis.call('RPUSH', ready, instance)
    retried = retried + 1
  end
end
if is_last then
  reopen_chain(id)
  proceed(id)
else
  -- If no page follows, these expire with the chain.
  local ttl = redis.call('PTTL', KEYS[1])
  if ttl > 0 then for _, part in ipairs({':ready', ':items'}) do redis.call('PEXPIRE', KEYS[1] .. part, ttl) end end
end
return retried
