-- Concurrency keys: at most LIMIT jobs of a key are in flight.
--
-- `{ns}:key:KEY` maps an entry id to the worker whose job has a slot (`-` from release until it begins). Jobs
-- without a slot are parked in the list `{ns}:lane:key:KEY`, and a slot that becomes free goes to the first of them
-- in the same step. A job keeps its slot between attempts.
--
-- Needs     entries, journal, lanes
-- Provides  read_key_slots, take_key_slot, write_key_slots, free_key_slots

-- The slots of a key: how many are in use, and, only where they may not suffice for all, which of these jobs have
-- one already. `added` collects those that take_key_slot assigns.
local function read_key_slots(key, jobs)
  local holders = NS .. ':key:' .. key
  local slots = {holders = holders, count = redis.call('HLEN', holders), held = {}, added = {}}
  local entry_ids, lowest_limit = {}, math.huge
  for i, job in ipairs(jobs) do
    entry_ids[i] = job.entry_id
    lowest_limit = math.min(lowest_limit, tonumber(job.limit))
  end
  if slots.count + #jobs > lowest_limit then
    for i, worker in ipairs(redis.call('HMGET', holders, unpack(entry_ids))) do slots.held[entry_ids[i]] = worker end
  end
  return slots
end

-- Assigns a slot of its key (`slots` = nil: it has none) to the job. Returns 'ok', 'parked' when no slot is free,
-- 'waits' when none is free and the caller sent no checkpoint to park it with, or 'gone' when its entry is gone.
local function take_key_slot(job, slots)
  if not slots or slots.held[job.entry_id] then return 'ok' end
  if slots.count < tonumber(job.limit) then
    slots.count, slots.held[job.entry_id] = slots.count + 1, job.worker
    slots.added[#slots.added + 1] = job.entry_id
    slots.added[#slots.added + 1] = job.worker
    return 'ok'
  end
  if job.checkpoint == '' then return 'waits' end
  local lane = 'key:' .. job.key
  if not park(job.stream, job.queue, job.entry, job.id, lane, job.checkpoint, job.message) then return 'gone' end
  redis.call('RPUSH', NS .. ':lane:key:' .. job.key, job.entry_id)
  remove_entries(job.stream, {job.entry})
  forget_entry(job.entry_id)
  return 'parked'
end

-- Stores the slots that take_key_slot assigned.
local function write_key_slots(slots)
  if #slots.added > 0 then redis.call('HSET', slots.holders, unpack(slots.added)) end
end

-- Frees the slots of a key ('' = none) that these entry ids have, and releases as many parked jobs into them.
local function free_key_slots(key, entry_ids)
  if key == '' then return end
  local holders = NS .. ':key:' .. key
  local free = redis.call('HDEL', holders, unpack(entry_ids))
  while free > 0 do
    local parked = redis.call('LPOP', NS .. ':lane:key:' .. key)
    if not parked then return end
    local released = release(parked)
    if released then
      redis.call('HSET', holders, released, '-')
      free = free - 1
    end
  end
end
