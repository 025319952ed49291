-- Releases parked jobs before their time: those that wait for their start time or for their next attempt.
--
-- KEYS[1]  `{ns}:parked`
-- ARGV     1 namespace, then of each job: the entry id that it had, its new checkpoint
-- Returns  of each job: 'released'; 'waits LANE': it is parked in this lane, not for a time, nothing is done;
--          'gone': it is no longer parked under this entry id
-- Writes   lane, parked job, stream, checkpoint
-- Repeat   safe: a released job is 'gone'
-- Bound    a few commands a job, at most 100
local answers = {}
for at = 2, #ARGV, 2 do
  local entry_id, checkpoint = ARGV[at], ARGV[at + 1]
  local packed = redis.call('HGET', KEYS[1], entry_id)
  local lane = packed and cmsgpack.unpack(packed)[2]
  if not lane then
    answers[#answers + 1] = 'gone'
  elseif lane ~= 'time' then
    answers[#answers + 1] = 'waits ' .. lane
  else
    redis.call('ZREM', NS .. ':lane:time', entry_id)
    redis.call('HSET', NS .. ':checkpoints', release(entry_id), checkpoint)
    answers[#answers + 1] = 'released'
  end
end
return answers
