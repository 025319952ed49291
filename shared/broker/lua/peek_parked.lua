-- Reads a parked job.
--
-- KEYS[1]  `{ns}:parked`
-- ARGV     1 namespace, 2 the entry id that it had
-- Returns  nil, or {queue, lane, checkpoint, when it is due (ms, '' = no time), field, value, …}
-- Writes   nothing
-- Repeat   safe
-- Bound    constant
local packed = redis.call('HGET', KEYS[1], ARGV[2])
if not packed then return nil end
local record = cmsgpack.unpack(packed)
local due = ''
if record[2] == 'time' or record[2] == 'version' then
  due = redis.call('ZSCORE', NS .. ':lane:' .. record[2], ARGV[2]) or ''
end
record[4] = due
return record
