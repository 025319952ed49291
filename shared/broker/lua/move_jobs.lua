-- Moves jobs that no worker has to another queue: entries that were never delivered, and jobs that wait for the turn of
-- their tenant. An entry that was handed back stays, because it may hold a slot under its entry id.
--
-- KEYS[1]  `{ns}:parked`
-- ARGV     1 namespace, 2 the other queue, then of each job: its queue (`NAME` or `~NAME`), entry, the checkpoint of a job
--          that has none yet
-- Returns  of each job: 'moved'; 'gone': it is no longer there, or a worker has or had it
-- Writes   streams, parked jobs, `{ns}:lane:tenant:QUEUE:TENANT`, checkpoints
-- Repeat   safe: a moved job is 'gone'
-- Bound    a few commands a job, at most 100
local FIRST, ARITY = 3, 3
local target = ARGV[2]

-- Moves an entry of a stream; false when it is gone or was delivered.
local function move_entry(queue, entry, checkpoint)
  local stream, entry_id = NS .. ':queue:' .. queue, entry_id_of(queue, entry)
  if owner_of(stream, entry) then return false end
  local fields = {}
  if not append_fields(fields, stream, entry) then return false end
  local own = redis.call('HGET', NS .. ':checkpoints', entry_id)
  local ready = base_queue(queue) ~= queue and '~' or ''
  enqueue(ready .. target, own or checkpoint, fields)
  redis.call('XDEL', stream, entry)
  redis.call('HDEL', NS .. ':checkpoints', entry_id)
  return true
end

-- Moves a job that is parked by tenant; false when it is not.
local function move_parked(entry_id)
  local packed = redis.call('HGET', KEYS[1], entry_id)
  local record = packed and cmsgpack.unpack(packed)
  if not record or string.sub(record[2], 1, 7) ~= 'tenant:' then return false end
  redis.call('LREM', NS .. ':lane:' .. record[2], 1, entry_id)
  redis.call('HDEL', KEYS[1], entry_id)
  unindex_entries(NS .. ':parked:ids', {record[4]}, {entry_id})
  enqueue(target, record[3], {unpack(record, 5)})
  return true
end

local answers = {}
for at = FIRST, #ARGV, ARITY do
  local queue, entry = ARGV[at], ARGV[at + 1]
  local is_moved = move_parked(entry_id_of(queue, entry)) or move_entry(queue, entry, ARGV[at + 2])
  answers[#answers + 1] = is_moved and 'moved' or 'gone'
end
return answers
