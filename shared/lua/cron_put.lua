-- Writes the record of a recurring job, if it is still the one that was read.
--
-- KEYS[1]  the records
-- ARGV     prefix, the leader's token (empty: a person asks), the job's name, the record as it was read
--          (empty: none), the new one (empty: it goes), the next tick (ms; `-`: none comes; empty: as it is)
-- Returns  `ok`; `changed`: the record is another by now; `deposed`: another leads
local token, name, before, after, tick = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if token ~= '' and not leads(token) then return 'deposed' end
if (redis.call('HGET', KEYS[1], name) or '') ~= before then return 'changed' end
if after == '' then
  redis.call('HDEL', KEYS[1], name)
  redis.call('HDEL', P .. ':cron:state', 'last:' .. name, 'ran:' .. name, 'skipped:' .. name)
else
  redis.call('HSET', KEYS[1], name, after)
end
if tick == '-' or after == '' then
  redis.call('ZREM', P .. ':cron:next', name)
elseif tick ~= '' then
  redis.call('ZADD', P .. ':cron:next', tick, name)
end
wake()
return 'ok'
