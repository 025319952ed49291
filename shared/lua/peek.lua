-- Reads a job that waits in a lane.
--
-- KEYS[1]  the jobs of the lanes
-- ARGV     prefix, job id
-- Returns  nil, or {queue, lane, resume, when it is due (ms, or ''), field, value, ...}
local packed = redis.call('HGET', KEYS[1], ARGV[2])
if not packed then return nil end
local record = cmsgpack.unpack(packed)
local due = ''
if record[2] == 'time' or record[2] == 'version' then
  due = redis.call('ZSCORE', P .. ':lane:' .. record[2], ARGV[2]) or ''
end
table.insert(record, 4, due)
return record
