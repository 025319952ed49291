-- Writes the record of a recurring job, if it is still the one that the caller read.
--
-- KEYS[1]  `{ns}:cron`: by name, JSON
-- ARGV     1 namespace, 2 the leader's token ('' = a person asks), 3 name, 4 the record as it was read ('' = none),
--          5 the new record ('' = delete it), 6 the next tick (ms; '-' = there is none; '' = leave it)
-- Returns  'ok'; 'changed': the record is another one by now; 'deposed': another scheduler leads
-- Writes   `{ns}:cron`, `{ns}:cron:next`, `{ns}:cron:state`, the wake channel
-- Repeat   safe: the record has changed ('changed')
-- Bound    constant
local token, name, before, after, tick = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if token ~= '' and not is_leader(token) then return 'deposed' end
if (redis.call('HGET', KEYS[1], name) or '') ~= before then return 'changed' end
if after == '' then
  redis.call('HDEL', KEYS[1], name)
  redis.call('HDEL', NS .. ':cron:state', 'last:' .. name, 'ran:' .. name, 'skipped:' .. name)
else
  redis.call('HSET', KEYS[1], name, after)
end
if tick == '-' or after == '' then
  redis.call('ZREM', NS .. ':cron:next', name)
elseif tick ~= '' then
  redis.call('ZADD', NS .. ':cron:next', tick, name)
end
wake_scheduler()
return 'ok'
