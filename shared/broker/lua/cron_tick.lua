-- Enqueues a tick of a recurring job, skips those that were missed before it, and sets the next one: all or
-- nothing, so each tick is handled once by any number of leaders.
--
-- KEYS[1]  `{ns}:cron:next`
-- ARGV     1 namespace, 2 the leader's token, 3 name, 4 the record as it was read, 5 the tick that was due (ms), 6
--          the next tick (ms; '-' = there is none), 7 how many are skipped, 8 queue, 9 the tick that is enqueued
--          (ms), 10 its message ('' = none is enqueued)
-- Returns  'ok'; 'changed': the record or its next tick is another one by now; 'deposed': another scheduler leads
-- Writes   the queue's stream, `{ns}:cron:state`, `{ns}:cron:next`
-- Repeat   safe: the tick that was due has passed ('changed')
-- Bound    constant
local name, queue, message = ARGV[3], ARGV[8], ARGV[10]
if not is_leader(ARGV[2]) then return 'deposed' end
if redis.call('HGET', NS .. ':cron', name) ~= ARGV[4] then return 'changed' end
local due = redis.call('ZSCORE', KEYS[1], name)
if not due or tonumber(due) ~= tonumber(ARGV[5]) then return 'changed' end
local state = NS .. ':cron:state'
-- First the command that can fail: someone may have written another type of key at the queue's name.
if message ~= '' then
  redis.call('XADD', NS .. ':queue:' .. queue, '*', 'job', message)
  redis.call('HSET', state, 'last:' .. name, ARGV[9])
  redis.call('HINCRBY', state, 'ran:' .. name, 1)
end
redis.call('HINCRBY', state, 'skipped:' .. name, ARGV[7])
if ARGV[6] == '-' then
  redis.call('ZREM', KEYS[1], name)
else
  redis.call('ZADD', KEYS[1], ARGV[6], name)
end
return 'ok'
