-- Enqueues a tick of a recurring job, skips those that were missed before it, and goes on to the next: all of
-- it or nothing, so that each tick is dealt with once, whoever leads.
--
-- KEYS[1]  the next ticks
-- ARGV     prefix, the leader's token, the job's name, its record as it was read, the tick that was next (ms),
--          the one that is next now (ms; `-`: none comes), how many are skipped, queue, the tick that is
--          enqueued (ms), its message (empty: none is enqueued)
-- Returns  `ok`; `changed`: the record or its next tick is another by now; `deposed`: another leads
local name, queue, message = ARGV[3], ARGV[8], ARGV[10]
if not leads(ARGV[2]) then return 'deposed' end
if redis.call('HGET', P .. ':cron', name) ~= ARGV[4] then return 'changed' end
local due = redis.call('ZSCORE', KEYS[1], name)
if not due or tonumber(due) ~= tonumber(ARGV[5]) then return 'changed' end
local state = P .. ':cron:state'
-- First what can fail: the name of the queue may be that of another kind of key.
if message ~= '' then
  redis.call('XADD', P .. ':queue:' .. queue, '*', 'job', message)
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
