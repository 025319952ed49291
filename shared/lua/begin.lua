-- Journals attempts before they can cost anything; takes each concurrency key's slot, or parks the job
-- in the key's lane; takes what the call takes of limits, all of it or nothing. Takes any number of jobs
-- of one worker; what they share is asked once for all.
--
-- KEYS[1]  the journal
-- ARGV     prefix, then of each job: queue, entry, worker, job id, attempt id, what the journal is to hold,
--          concurrency key ('' = none), its limit, resume (what to remember of the job if it is parked; '' =
--          it is not to be), takes ('' = no limit), '1' when the job comes out of a limit's lane
-- Returns  of each job: 'ok', 'ok MS' it is to wait so long for its turn, 'gone' the entry is not the
--          worker's, 'cancelled' somebody asked for it, 'parked', 'waits' it would be, 'full' a limit has no
--          room: nothing is taken but the key's slot
local ARITY = 11

local function job_at(at)
  local queue, entry = ARGV[at], ARGV[at + 1]
  return {
    queue = queue, entry = entry, worker = ARGV[at + 2], id = ARGV[at + 3], attempt = ARGV[at + 4],
    journal = ARGV[at + 5], ckey = ARGV[at + 6], limit = ARGV[at + 7], resume = ARGV[at + 8],
    takes = ARGV[at + 9], waited = ARGV[at + 10] == '1',
    stream = P .. ':queue:' .. queue, place = place_of(queue, entry),
  }
end

local function take_limits(job, known)
  -- Asked again because the first reply was lost: it is done.
  if known and string.sub(known, 1, #job.attempt) == job.attempt then return 'ok' end
  local takes, now = cjson.decode(job.takes), now_ms()
  local wait = room_for(takes, job.place, now, job.waited)
  if not wait then return 'full' end
  take_all(takes, job.place, job.worker, now)
  if wait == 0 then return 'ok' end
  return 'ok ' .. math.ceil(wait)
end

local jobs, ids, places, keyed = {}, {}, {}, {}
for at = 2, #ARGV, ARITY do
  local job = job_at(at)
  jobs[#jobs + 1] = job
  ids[#ids + 1] = job.id
  places[#places + 1] = job.place
  if job.ckey ~= '' then add_to(keyed, job.ckey, job) end
end
local slots = {}
for ckey, some in pairs(keyed) do slots[ckey] = slots_of(ckey, some) end
local owners = owners_of(jobs)
local known = redis.call('HMGET', KEYS[1], unpack(places))
local cancelled = redis.call('ZMSCORE', P .. ':cancelled', unpack(ids))
local answers, journal, begun = {}, {}, {}
for i, job in ipairs(jobs) do
  if owners[i] ~= job.worker or begun[job.place] then
    answers[i] = 'gone'
  elseif cancelled[i] then
    answers[i] = 'cancelled'
  else
    begun[job.place] = true
    supersede(job.place, known[i], job.attempt)
    answers[i] = take_slot(job, slots[job.ckey])
    if answers[i] == 'ok' and job.takes ~= '' then answers[i] = take_limits(job, known[i]) end
  end
  if string.sub(answers[i], 1, 2) == 'ok' then
    journal[#journal + 1] = job.place
    journal[#journal + 1] = job.journal
  end
end
if #journal > 0 then redis.call('HSET', KEYS[1], unpack(journal)) end
for _, some in pairs(slots) do keep_slots(some) end
return answers
