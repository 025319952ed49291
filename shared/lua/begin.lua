-- Journals attempts before they can cost anything; takes each concurrency key's slot, or parks the job
-- in the key's lane. Takes any number of jobs of one worker; what they share is asked once for all.
--
-- KEYS[1]  the journal
-- ARGV     prefix, then of each job: queue, entry, worker, job id, attempt id, event should the worker
--          die, concurrency key ('' = none), its limit, resume (what to remember of the job if it is
--          parked)
-- Returns  of each job: 'ok', 'gone' the entry is not the worker's, 'cancelled' somebody asked for it,
--          'parked'
local ARITY = 9

local function job_at(at)
  local queue, entry = ARGV[at], ARGV[at + 1]
  return {
    queue = queue, entry = entry, worker = ARGV[at + 2], id = ARGV[at + 3], attempt = ARGV[at + 4],
    event = ARGV[at + 5], ckey = ARGV[at + 6], limit = ARGV[at + 7], resume = ARGV[at + 8],
    stream = P .. ':queue:' .. queue, place = place_of(queue, entry),
  }
end

-- Takes the key's slot; 'parked' when there is none.
local function take_slot(job)
  if job.ckey == '' then return 'ok' end
  local holders = P .. ':key:' .. job.ckey
  if redis.call('HEXISTS', holders, job.place) == 1 then return 'ok' end
  if redis.call('HLEN', holders) < tonumber(job.limit) then
    redis.call('HSET', holders, job.place, job.worker)
    return 'ok'
  end
  if not lay_aside(job.stream, job.queue, job.entry, job.id, job.resume) then return 'gone' end
  redis.call('RPUSH', P .. ':lane:key:' .. job.ckey, job.id)
  remove(job.stream, {job.entry})
  forget(job.place)
  return 'parked'
end

local jobs, ids = {}, {}
for at = 2, #ARGV, ARITY do
  jobs[#jobs + 1] = job_at(at)
  ids[#ids + 1] = ARGV[at + 3]
end
local owners = owners_of(jobs)
local cancelled = redis.call('ZMSCORE', P .. ':cancelled', unpack(ids))
local answers, journal = {}, {}
for i, job in ipairs(jobs) do
  if owners[i] ~= job.worker then
    answers[i] = 'gone'
  elseif cancelled[i] then
    answers[i] = 'cancelled'
  else
    answers[i] = take_slot(job)
  end
  if answers[i] == 'ok' then
    journal[#journal + 1] = job.place
    journal[#journal + 1] = pack_inflight(job.attempt, job.worker, job.ckey, job.event)
  end
end
if #journal > 0 then redis.call('HSET', KEYS[1], unpack(journal)) end
return answers
