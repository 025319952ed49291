-- Starts a chain and ends its message. The message of a job that a recipe answers stays: the job waits for its chain
-- (park.lua). Of a chain with very many steps, all but the last ones are prepared before (chain_prepare.lua).
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 entry, 4 worker, 5 chain id, 6 hash of the document, 7 key of the prepared
--          steps ('' = none), 8 document, 9 name, 10 the most jobs in flight ('' = any), 11 fail_fast ('1' or ''), 12 seconds
--          that the chain is kept after its end, 13 seconds that its outcome is kept, 14 reply ('' = none, see
--          replies.lua), 15 number of steps, 16 the steps with needs as `NAME=COUNT:NEED,… …`, where COUNT is how many
--          they wait for, 17 those without as `NAME …`, 18 event of the drop, 19 the steps that no other needs as
--          `NAME …`, 20 metadata as JSON ('' = none), 21 W3C trace context ('' = none),
--          22 of a recipe: what its steps read of its job, as JSON ('' = a chain with a message of its own), then of each
--          step that is not prepared: name and the values of step_record in chains.lua
-- Returns  'ok'; 'more': ready steps are left to dispatch; 'gone': the entry is not the worker's; 'duplicate': the
--          same chain came before, this message is dropped, unless it is a recipe's job; 'conflict': the id is another
--          chain's; 'again': the prepared steps have expired
-- Writes   `{ns}:chain:ID…`, `{ns}:chains`, stream, checkpoints, crashes, events; of a duplicate also the reply
-- Repeat   safe: the entry is no longer the worker's ('gone'), or the chain is known ('duplicate')
-- Bound    one command a step that waits, chain_dispatch.lua's, 10 old chains
local FIRST = 23
local queue, entry, worker, id, hash, prepared = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local retention, results, reply, drop_event, inputs = ARGV[12], ARGV[13], ARGV[14], ARGV[18], ARGV[22]
if owner_of(KEYS[1], entry) ~= worker then return 'gone' end
local key, entry_id = chain_key(id), entry_id_of(queue, entry)
local known = redis.call('HGET', key, 'hash')
if known then
  if prepared ~= '' then redis.call('DEL', prepared) end
  -- The id is made of the job's entry id. Since the chain started, only the recipe's definition can have changed.
  if inputs ~= '' then return 'duplicate' end
  if known ~= hash then return 'conflict' end
  emit(drop_event)
  remove_entries(KEYS[1], {entry})
  forget_entry(entry_id)
  local has_ended = redis.call('HEXISTS', key, 'ended') == 1
  if reply ~= '' then reply_to_duplicate(id, reply, results, has_ended and chain_outcome(id), 'chain') end
  return 'duplicate'
end
if prepared ~= '' and redis.call('EXISTS', prepared) == 0 then return 'again' end
local begun = string.format('%.0f', now_ms())
redis.call('HSET', key, 'state', 'running', 'kind', 'chain', 'hash', hash, 'name', ARGV[9], 'parallel', ARGV[10],
  'fail_fast', ARGV[11], 'retention', retention, 'results', results, 'reply', reply, 'queue', base_queue(queue),
  'begun', begun, 'queued', string.format('%.0f', math.max(0, begun - tonumber((string.match(entry, '^%d+'))))),
  'steps', ARGV[15], 'last', ARGV[19], 'metadata', ARGV[20], 'traceparent', ARGV[21])
if prepared ~= '' then
  redis.call('RENAME', prepared, key .. ':steps')
  redis.call('PERSIST', key .. ':steps')
end
put_steps(key .. ':steps', FIRST)
redis.call('SET', key .. ':doc', ARGV[8])
if inputs ~= '' then
  redis.call('HSET', key, 'recipe', '1')
  redis.call('HSET', key .. ':contexts', INPUTS, inputs)
end
for name, count, needs in string.gmatch(ARGV[16], '([^ =]+)=(%d+):(%S+)') do
  redis.call('HSET', key, 'l:' .. name, count, 'n:' .. name, (string.gsub(needs, ',', ' ')))
end
for name in string.gmatch(ARGV[17], '[^ ]+') do redis.call('RPUSH', key .. ':ready', name) end
-- Removes some of the chains that have expired: none does before it is as old as its retention.
local oldest = string.format('%.0f', begun - retention * 1000)
for _, old in ipairs(redis.call('ZRANGE', NS .. ':chains', '-inf', oldest, 'BYSCORE', 'LIMIT', 0, 10)) do
  if redis.call('EXISTS', chain_key(old)) == 0 then redis.call('ZREM', NS .. ':chains', old) end
end
redis.call('ZADD', NS .. ':chains', begun, id)
emit_chain(id, 'running')
if inputs == '' then
  remove_entries(KEYS[1], {entry})
  forget_entry(entry_id)
end
return dispatch(id) and 'more' or 'ok'
