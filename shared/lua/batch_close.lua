-- Says that all tasks of a batch are in; if none of them runs any more, the batch has ended.
--
-- KEYS[1]  the batch
-- ARGV     prefix, batch id, how many tasks it has, their digest
-- Returns  'ok', or 'elsewhere' it is not there, or other tasks than those are in
local known = redis.call('HMGET', KEYS[1], 'kind', 'state', 'lines', 'digest')
if known[1] ~= 'batch' or known[3] ~= ARGV[3] or known[4] ~= ARGV[4] then return 'elsewhere' end
if known[2] == 'open' then
  redis.call('HSET', KEYS[1], 'state', 'running', 'steps', ARGV[3])
  emit_chain(ARGV[2], 'running')
  finish(ARGV[2])
end
return 'ok'
