-- Retries a chain that ended: instances that ended without success run again, and what never began follows. Outcomes
-- that exist are kept.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, 2 chain id, then of each of its dead letters: job id, entry id, checkpoint ('' = the stored
--          one), message ('' = the stored one)
-- Returns  how many steps and items run again; -1: the chain is unknown; -2: it has not ended; -3: there is nothing to
--          run
-- Writes   `{ns}:chain:ID…`, dead letters, results, `{ns}:cancelled`, events, streams, checkpoints
-- Repeat   safe: the chain runs (-2)
-- Bound    a few commands for each failed instance, chain_dispatch.lua's
local FIRST, ARITY = 3, 4

-- Stores an item with the checkpoint that its job has by now.
local function put_retried(key, instance, checkpoint, message, job)
  local packed = redis.call('HGET', key .. ':items', instance)
  local item = packed and cmsgpack.unpack(packed) or {}
  put_item(key, instance, checkpoint, message ~= '' and message or item[2], job)
end

local id = ARGV[2]
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state ~= 'completed' and state ~= 'failed' and state ~= 'cancelled' then return -2 end
local dead_letters = {}
for at = FIRST, #ARGV, ARITY do dead_letters[ARGV[at]] = {ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]} end
local failed = redis.call('HGETALL', KEYS[1] .. ':failed')
local unstarted = redis.call('EXISTS', KEYS[1] .. ':ready', KEYS[1] .. ':lines')
if #failed == 0 and unstarted == 0 then return -3 end
reopen_chain(id)
local retried = 0
for i = 1, #failed, 2 do
  local instance, job = failed[i], string.match(failed[i + 1], ' (.*)$')
  if reopen_instance(id, instance) then
    redis.call('DEL', NS .. ':result:' .. job)
    redis.call('ZREM', NS .. ':cancelled', job)
    local dead_letter = dead_letters[job]
    if dead_letter then
      remove_dead_letters({dead_letter[1]}, {job})
      if dead_letter[2] ~= '' then put_retried(KEYS[1], instance, dead_letter[2], dead_letter[3], job) end
    end
    redis.call('RPUSH', KEYS[1] .. ':ready', instance)
    retried = retried + 1
  end
end
proceed(id)
return retried
