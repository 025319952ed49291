-- Begins attempts of one worker: takes each job's slot of its concurrency key, or parks the job in the key's lane;
-- reserves what the call takes of its meters, all or nothing; journals the attempt before it can cost anything.
--
-- KEYS[1]  the journal
-- ARGV     1 namespace, then of each job: queue, entry, worker, job id, attempt id, journal value, concurrency key
--          ('' = none), its limit, checkpoint to park the job with ('' = do not park it), reservation ('' = none),
--          '1' when the job comes from the lane of a limit, the message to store when it is parked (see `park` in
--          lanes.lua)
-- Returns  of each job: 'ok'; 'ok MS AT': the call's turn is in MS ms, and it was reserved at AT (ms; '' = it counts in
--          no window); 'gone': the entry is not the worker's; 'cancelled': cancellation is requested; 'parked' for its
--          key; 'waits': its key has no slot and there is no checkpoint; 'full': a limit has no room, only the key's
--          slot is taken
-- Writes   the journal, `{ns}:key:KEY`, meters; of a parked job: lane, parked job, stream
-- Repeat   safe: an attempt in the journal reserves nothing again, a slot is held by entry id, and a parked job's
--          entry is 'gone'
-- Bound    a few commands a job and meter, at most 16 jobs
local ARITY = 12
if (#ARGV - 1) % ARITY ~= 0 then return redis.error_reply('begin.lua: expected ' .. ARITY .. ' arguments a job') end

local function job_at(at)
  local queue, entry = ARGV[at], ARGV[at + 1]
  return {
    queue = queue, entry = entry, worker = ARGV[at + 2], id = ARGV[at + 3], attempt = ARGV[at + 4],
    journal_value = ARGV[at + 5], key = ARGV[at + 6], limit = ARGV[at + 7], checkpoint = ARGV[at + 8],
    reservation = ARGV[at + 9], released = ARGV[at + 10] == '1', message = ARGV[at + 11],
    stream = NS .. ':queue:' .. queue, entry_id = entry_id_of(queue, entry),
  }
end

local function reserve(job, journaled)
  local amounts, now, wait = cjson.decode(job.reservation), now_ms(), 0
  -- If it is journaled, the reply of the first call was lost.
  if not is_attempt(journaled, job.attempt) then
    wait = check_room(amounts, job.entry_id, now, job.released)
    if not wait then return 'full' end
    reserve_all(amounts, job.entry_id, job.worker, now)
  end
  return 'ok ' .. math.ceil(wait) .. ' ' .. time_of_reservation(amounts, now)
end

local jobs, ids, entry_ids, by_key = {}, {}, {}, {}
for at = 2, #ARGV, ARITY do
  local job = job_at(at)
  jobs[#jobs + 1] = job
  ids[#ids + 1] = job.id
  entry_ids[#entry_ids + 1] = job.entry_id
  if job.key ~= '' then add_to_group(by_key, job.key, job) end
end
local slots = {}
for key, group in pairs(by_key) do slots[key] = read_key_slots(key, group) end
local owners = owners_of(jobs)
local journaled = redis.call('HMGET', KEYS[1], unpack(entry_ids))
local cancelled = redis.call('ZMSCORE', NS .. ':cancelled', unpack(ids))
local answers, journal, begun = {}, {}, {}
for i, job in ipairs(jobs) do
  if owners[i] ~= job.worker or begun[job.entry_id] then
    answers[i] = 'gone'
  elseif cancelled[i] then
    answers[i] = 'cancelled'
  else
    begun[job.entry_id] = true
    supersede_attempt(job.entry_id, journaled[i], job.attempt)
    answers[i] = take_key_slot(job, slots[job.key])
    if answers[i] == 'ok' and job.reservation ~= '' then answers[i] = reserve(job, journaled[i]) end
  end
  if string.sub(answers[i], 1, 2) == 'ok' then
    journal[#journal + 1] = job.entry_id
    journal[#journal + 1] = job.journal_value
  end
end
if #journal > 0 then redis.call('HSET', KEYS[1], unpack(journal)) end
for _, key_slots in pairs(slots) do write_key_slots(key_slots) end
return answers
