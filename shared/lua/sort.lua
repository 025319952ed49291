-- Lays new entries aside by tenant, while all places are taken: whoever comes after a long backlog gets
-- its share then (take.lua deals them out).
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, worker, then of each entry: entry, job id, tenant ('' = none), its weight, resume
-- Returns  how many were laid aside; the others are no longer the worker's
local queue, worker = ARGV[2], ARGV[3]
local order = P .. ':tenants:' .. queue
local gone, count = {}, 0
local jobs = {}
for at = 4, #ARGV, 5 do
  jobs[#jobs + 1] = {
    stream = KEYS[1], entry = ARGV[at], worker = worker, id = ARGV[at + 1], tenant = ARGV[at + 2],
    weight = ARGV[at + 3], resume = ARGV[at + 4],
  }
end
local owners = owners_of(jobs)
-- Whoever comes new begins where the others stand.
local turn = redis.call('GET', order .. ':turn') or '0'
for i, job in ipairs(jobs) do
  local lane = 'tenant:' .. queue .. ':' .. job.tenant
  if owners[i] == worker and lay_aside(KEYS[1], queue, job.entry, job.id, lane, job.resume) then
    redis.call('RPUSH', P .. ':lane:' .. lane, job.id)
    redis.call('ZADD', order, 'NX', turn, job.tenant)
    if job.weight ~= '1' then redis.call('HSET', order .. ':weights', job.tenant, job.weight) end
    local place = place_of(queue, job.entry)
    redis.call('HDEL', P .. ':resume', place)
    redis.call('HDEL', P .. ':crashes', place)
    gone[#gone + 1] = job.entry
    count = count + 1
  end
end
if count > 0 then remove(KEYS[1], gone) end
return count
