-- Parks new entries by tenant while the worker has no free slot, so that a tenant that comes after a long backlog
-- gets its share at once (pull.lua releases them).
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 worker, then of each entry: entry, job id, tenant ('' = none), its weight,
--          checkpoint, the message to store (see `park` in lanes.lua)
-- Returns  how many were parked; the others are no longer the worker's
-- Writes   parked jobs, `{ns}:lane:tenant:QUEUE:TENANT`, `{ns}:tenants:QUEUE` (+ `:weights`), stream, checkpoints,
--          crashes, unbegun
-- Repeat   safe: an entry that was parked is no longer the worker's
-- Bound    a few commands an entry, at most 512 entries
local FIRST, ARITY = 4, 6
local queue, worker = ARGV[2], ARGV[3]
local order = NS .. ':tenants:' .. queue
local parked, count = {}, 0
local jobs = {}
for at = FIRST, #ARGV, ARITY do
  jobs[#jobs + 1] = {
    stream = KEYS[1], entry = ARGV[at], worker = worker, id = ARGV[at + 1], tenant = ARGV[at + 2],
    weight = ARGV[at + 3], checkpoint = ARGV[at + 4], message = ARGV[at + 5],
  }
end
local owners = owners_of(jobs)
-- A tenant that had no jobs starts at the current turn.
local turn = redis.call('GET', order .. ':turn') or '0'
for i, job in ipairs(jobs) do
  local lane = 'tenant:' .. queue .. ':' .. job.tenant
  if owners[i] == worker and park(KEYS[1], queue, job.entry, job.id, lane, job.checkpoint, job.message) then
    local entry_id = entry_id_of(queue, job.entry)
    redis.call('RPUSH', NS .. ':lane:' .. lane, entry_id)
    redis.call('ZADD', order, 'NX', turn, job.tenant)
    if job.weight ~= '1' then redis.call('HSET', order .. ':weights', job.tenant, job.weight) end
    redis.call('HDEL', NS .. ':checkpoints', entry_id)
    redis.call('HDEL', NS .. ':crashes', entry_id)
    redis.call('HDEL', NS .. ':unbegun', entry_id)
    parked[#parked + 1] = job.entry
    count = count + 1
  end
end
if count > 0 then remove_entries(KEYS[1], parked) end
return count
