-- Reserves the first of a job's candidates that has room and journals its attempt; where none has room, parks the
-- job in the lane of the meter that has room first.
--
-- KEYS[1]  the journal
-- ARGV     1 namespace, 2 queue, 3 entry, 4 worker, 5 job id, 6 attempt id, 7 concurrency key ('' = none), 8 its
--          limit, 9 checkpoint if it is parked for its key, 10 checkpoint if it is parked for a limit, 11 '1' when it
--          comes from the lane of a limit, 12 the message to store when it is parked (see `park` in lanes.lua), then of
--          each candidate: journal value, reservation ('' = none), '1' when
--          it is spare: only for jobs that a spent budget sends to free models
-- Returns  {'ok', candidate from 0, ms to wait for its turn, when it was reserved (ms; '' = it counts in no window)};
--          {'gone'}: the entry is not the worker's; {'cancelled'}: cancellation is requested; {'parked'} for its key
--          ({'waits'} without a checkpoint for it); {'waits', when to check again (ms), which other jobs with these
--          candidates would be parked too (all, larger or none), meter, jobs parked for it}: parked for a limit;
--          {'never', meter}: no candidate ever has room; {'refused', meter}: a spent budget says that the job ends
--          here
-- Writes   the journal, `{ns}:key:KEY`, meters; of a parked job: lane, parked job, stream, `{ns}:lanes:due`
-- Repeat   safe: a candidate in the journal is the answer again; a parked job's entry is 'gone'
-- Bound    a few commands a candidate and meter
local FIRST, ARITY = 13, 3
local job = {
  queue = ARGV[2], entry = ARGV[3], worker = ARGV[4], id = ARGV[5], attempt = ARGV[6],
  key = ARGV[7], limit = ARGV[8], checkpoint = ARGV[9], message = ARGV[12],
}
local checkpoint_for_limit, released = ARGV[10], ARGV[11] == '1'
job.stream, job.entry_id = NS .. ':queue:' .. job.queue, entry_id_of(job.queue, job.entry)

local function begin(candidate, wait, now)
  redis.call('HSET', KEYS[1], job.entry_id, candidate.journal_value)
  return {'ok', candidate.number, math.ceil(wait), time_of_reservation(candidate.amounts, now)}
end

-- Appends the job to a meter's lane; one that was released from a lane goes to its head. Stores what
-- release_lanes.lua needs; returns how many jobs are in the lane.
local function add_to_lane(amount, at)
  local meter = amount[2]
  local parked = redis.call(released and 'LPUSH' or 'RPUSH', quota_lane(meter), job.entry_id)
  local key = meter_key(meter)
  if amount[1] == 'r' then
    redis.call('HSET', key, 'kind', 'r', 'cost', digits(amount[3]))
    -- A worker has to pull it before its turn.
    at = at - BOOK_AHEAD / 2
  elseif amount[1] == 'w' then
    redis.call('HSET', key, 'kind', 'w', 'limit', digits(amount[5]), 'amount', digits(amount[6]))
    if released or parked == 1 then redis.call('HSET', key, 'head', job.entry_id, 'head_amount', digits(amount[6])) end
  else
    redis.call('HSET', key, 'kind', 's', 'limit', digits(amount[3]), 'sum', amount[4], 'sum_limit', digits(amount[5]))
  end
  -- No other platform has room for the jobs of this lane.
  if released then redis.call('HDEL', key, 'retry') end
  schedule_lane(meter, at)
  return parked
end

local now = now_ms()
local journaled = redis.call('HGET', KEYS[1], job.entry_id)
local candidates = {}
for at = FIRST, #ARGV, ARITY do
  local reservation = ARGV[at + 1]
  candidates[#candidates + 1] = {
    number = #candidates, journal_value = ARGV[at], spare = ARGV[at + 2] == '1',
    amounts = reservation ~= '' and cjson.decode(reservation) or {},
  }
end
for _, candidate in ipairs(candidates) do
  -- The reply of the first call was lost.
  if candidate.journal_value == journaled then return begin(candidate, 0, now) end
end
if owner_of(job.stream, job.entry) ~= job.worker then return {'gone'} end
if redis.call('ZSCORE', NS .. ':cancelled', job.id) then return {'cancelled'} end
supersede_attempt(job.entry_id, journaled, job.attempt)
local slots = job.key ~= '' and read_key_slots(job.key, {job}) or nil
local slot = take_key_slot(job, slots)
if slot ~= 'ok' then return {slot} end
if slots then write_key_slots(slots) end

local soonest, first_amount, first_at, refused, never
-- Which other jobs would be parked too.
local also_parked = 'all'
-- Whether a spent budget sends jobs to free models.
local spare_allowed = false
for _, candidate in ipairs(candidates) do
  if not candidate.spare or spare_allowed then
    local wait, amount, at, why = check_room(candidate.amounts, job.entry_id, now, released)
    candidate.wait = wait
    if wait == 0 then
      reserve_all(candidate.amounts, job.entry_id, job.worker, now)
      return begin(candidate, 0, now)
    elseif wait then
      if not soonest or wait < soonest.wait then soonest = candidate end
    else
      local meter, at_limit = amount[2], amount[8]
      if at_limit == 'free' and why ~= 'later' and why ~= 'held' then spare_allowed = true end
      if why == 'never' then
        never = never or meter
      else
        if at_limit == 'dead_letter' and not why then refused = meter end
        if string.match(meter, '^budget:.*:') or is_of_queue(meter) then
          -- A budget of one tenant or chain, or a limit of a queue, stops only its own jobs.
          also_parked = 'none'
        elseif amount[1] == 'w' and also_parked == 'all' and not is_used_up(amount) then
          also_parked = 'larger'
        end
        if not first_at or at < first_at then first_amount, first_at = amount, at end
      end
    end
  end
end
if soonest then
  reserve_all(soonest.amounts, job.entry_id, job.worker, now)
  return begin(soonest, soonest.wait, now)
end
if refused then return {'refused', refused} end
if not first_amount then return {'never', never} end
local lane = 'quota:' .. first_amount[2]
if not park(job.stream, job.queue, job.entry, job.id, lane, checkpoint_for_limit, job.message) then return {'gone'} end
local parked = add_to_lane(first_amount, first_at)
remove_entries(job.stream, {job.entry})
forget_entry(job.entry_id)
free_key_slots(job.key, {job.entry_id})
return {'waits', digits(first_at), also_parked, first_amount[2], digits(parked)}
