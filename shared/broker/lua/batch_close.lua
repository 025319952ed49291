-- Closes a batch: all its tasks are in. If none of them runs any more, the batch ends.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, 2 batch id, 3 number of tasks, 4 their digest
-- Returns  'ok', or 'elsewhere': the batch does not exist or holds other tasks
-- Writes   `{ns}:chain:ID…`, events; of its end also results and the reply
-- Repeat   safe: it is closed ('ok')
-- Bound    constant
local known = redis.call('HMGET', KEYS[1], 'kind', 'state', 'lines', 'digest')
if known[1] ~= 'batch' or known[3] ~= ARGV[3] or known[4] ~= ARGV[4] then return 'elsewhere' end
if known[2] == 'open' then
  redis.call('HSET', KEYS[1], 'state', 'running', 'steps', ARGV[3])
  emit_chain(ARGV[2], 'running')
  finish(ARGV[2])
end
return 'ok'
