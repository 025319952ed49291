-- Finds the first of a job's candidates that has room, takes what its call takes and journals the
-- attempt; where none has, lays the job aside in the lane of what comes free first.
--
-- KEYS[1]  the journal
-- ARGV     prefix, queue, entry, worker, job id, attempt id, concurrency key ('' = none), its limit,
--          resume if it waits for its key, resume if it waits for a limit, '1' when it comes out of a
--          limit's lane, then of each candidate: what the journal is to hold, takes ('' = no limit), '1'
--          when it is spare: only for jobs that a budget sends to those who cost nothing
-- Returns  {'ok', candidate from 0, ms to wait for its turn}, {'gone'} the entry is not the worker's,
--          {'cancelled'} somebody asked for it, {'parked'} it waits for its key, {'waits', when (ms), '1'
--          when every job of these candidates would, meter, how many wait for it}, {'never', meter} no
--          candidate ever has room for it, {'refused', meter} a budget says that it ends here
local FIRST = 12
local job = {
  queue = ARGV[2], entry = ARGV[3], worker = ARGV[4], id = ARGV[5], attempt = ARGV[6],
  ckey = ARGV[7], limit = ARGV[8], resume = ARGV[9], waiting = ARGV[10], waited = ARGV[11] == '1',
}
job.stream, job.place = P .. ':queue:' .. job.queue, place_of(job.queue, job.entry)

local function begin(candidate, wait)
  redis.call('HSET', KEYS[1], job.place, candidate.journal)
  return {'ok', candidate.number, math.ceil(wait)}
end

local known = redis.call('HGET', KEYS[1], job.place)
local candidates = {}
for at = FIRST, #ARGV, 3 do
  local text = ARGV[at + 1]
  candidates[#candidates + 1] = {
    number = #candidates, journal = ARGV[at], takes = text ~= '' and cjson.decode(text) or {},
    spare = ARGV[at + 2] == '1',
  }
end
for _, candidate in ipairs(candidates) do
  -- Asked again because the first reply was lost: it is done.
  if candidate.journal == known then return {'ok', candidate.number, 0} end
end
if owner_of(job.stream, job.entry) ~= job.worker then return {'gone'} end
if redis.call('ZSCORE', P .. ':cancelled', job.id) then return {'cancelled'} end
supersede(job.place, known, job.attempt)
local slots = job.ckey ~= '' and slots_of(job.ckey, {job}) or nil
local slot = take_slot(job, slots)
if slot ~= 'ok' then return {slot} end
if slots then keep_slots(slots) end

local now = now_ms()
local soonest, first_take, first_at, refused, never
-- A sum that is not one tenant's or chain's stands in every job's way.
local for_all = '1'
-- Whether a budget that is spent sends jobs to those who cost nothing.
local sent_on = false
for _, candidate in ipairs(candidates) do
  if not candidate.spare or sent_on then
    local wait, take, at, why = room_for(candidate.takes, job.place, now, job.waited)
    candidate.wait = wait
    if wait == 0 then
      take_all(candidate.takes, job.place, job.worker, now)
      return begin(candidate, 0)
    elseif wait then
      if not soonest or wait < soonest.wait then soonest = candidate end
    else
      if take[8] == 'free' and why ~= 'later' and why ~= 'held' then sent_on = true end
      if why == 'never' then
        never = never or take[2]
      else
        if take[8] == 'dead_letter' and not why then refused = take[2] end
        if string.match(take[2], '^budget:.*:') then for_all = '' end
        if not first_at or at < first_at then first_take, first_at = take, at end
      end
    end
  end
end
if soonest then
  take_all(soonest.takes, job.place, job.worker, now)
  return begin(soonest, soonest.wait)
end
if refused then return {'refused', refused} end
if not first_take then return {'never', never} end
local lane = 'quota:' .. first_take[2]
if not lay_aside(job.stream, job.queue, job.entry, job.id, lane, job.waiting) then return {'gone'} end
local waiting = wait_for(first_take, first_at, job.id, job.waited)
remove(job.stream, {job.entry})
forget(job.place)
release(job.ckey, {job.place})
return {'waits', whole(first_at), for_all, first_take[2], whole(waiting)}
