-- Reads a job that waits in a lane.
--
-- KEYS[1]  the jobs of the lanes
-- ARGV     prefix, job id
-- Returns  nil, or {queue, resume, due in `time` (ms or ''), due in `version` (ms or ''), field, value, ...}
local packed = redis.call('HGET', KEYS[1], ARGV[2])
if not packed then return nil end
local record = cmsgpack.unpack(packed)
table.insert(record, 3, redis.call('ZSCORE', P .. ':lane:time', ARGV[2]) or '')
table.insert(record, 4, redis.call('ZSCORE', P .. ':lane:version', ARGV[2]) or '')
return record
