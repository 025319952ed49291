-- Lanes: parked jobs, and how they return to their queues.
--
-- `{ns}:parked` maps the entry id that a job had to msgpack of [queue, lane, checkpoint, job id, field, value, …];
-- `{ns}:parked:ids` finds it by job id. `{ns}:lane:LANE` holds the entry ids in their order: a sorted set for
-- `time`, `version` and `paused:…`, a list for `key:KEY`, `quota:METER` and `tenant:QUEUE:TENANT`. `park` and
-- `release` leave the lane to the caller, who adds the entry id, or has removed it.
-- A lane may still name a job that was cancelled; `release` skips it.
-- An entry that comes from here has the field `_checkpoint`. It only says that `{ns}:checkpoints` has a checkpoint
-- of this entry id: a producer could write the field, but not the checkpoint.
--
-- Needs     entries, job_ids
-- Provides  append_fields, park, append_entry, enqueue, release

-- The most names and values of a message: those of a valid one, whose fields pass through Lua's stack when it is
-- released. Admission refuses a message with more.
local MOST_FIELDS = 2 * 1000

-- Appends the entry's fields without our own mark to `record`; false when the entry is gone or has too many.
local function append_fields(record, stream, entry)
  local found = redis.call('XRANGE', stream, entry, entry)
  if not found[1] then return false end
  local all = found[1][2]
  -- Our own mark is one more field.
  if #all > MOST_FIELDS + 2 then return false end
  for i = 1, #all, 2 do
    if all[i] ~= '_checkpoint' then
      record[#record + 1] = all[i]
      record[#record + 1] = all[i + 1]
    end
  end
  return true
end

-- Stores an entry's job for a lane; false when the entry is gone or too large to be a job. The entry itself stays.
-- `message` is stored instead of the entry's fields: a JSON list of names and values in turn, encrypted ('' = none).
local function park(stream, queue, entry, id, lane, checkpoint, message)
  local record = {base_queue(queue), lane, checkpoint, id}
  if not append_fields(record, stream, entry) then return false end
  if message ~= '' then record = {record[1], lane, checkpoint, id, unpack(cjson.decode(message))} end
  local entry_id = entry_id_of(queue, entry)
  redis.call('HSET', NS .. ':parked', entry_id, cmsgpack.pack(record))
  index_entry(NS .. ':parked:ids', id, entry_id)
  -- While the job is parked its id does not expire.
  redis.call('PERSIST', NS .. ':id:' .. id)
  return true
end

-- Appends an entry that has a checkpoint, of `fields`, or of those from `first` to `last`; returns its entry id. The
-- caller stores the checkpoint.
local function append_entry(queue, fields, first, last)
  local stream = NS .. ':queue:' .. queue
  return entry_id_of(queue, redis.call('XADD', stream, '*', '_checkpoint', '1', unpack(fields, first, last)))
end

-- Appends an entry and stores its checkpoint; returns its entry id.
local function enqueue(queue, checkpoint, fields)
  local entry_id = append_entry(queue, fields)
  redis.call('HSET', NS .. ':checkpoints', entry_id, checkpoint)
  return entry_id
end

-- Moves a parked job to the stream of its queue that is read first; returns its new entry id, or nil when it is
-- no longer parked.
local function release(entry_id)
  local packed = redis.call('HGET', NS .. ':parked', entry_id)
  if not packed then return nil end
  local record = cmsgpack.unpack(packed)
  local queue, checkpoint, id = record[1], record[3], record[4]
  redis.call('HDEL', NS .. ':parked', entry_id)
  unindex_entries(NS .. ':parked:ids', {id}, {entry_id})
  return enqueue('~' .. queue, checkpoint, {unpack(record, 5)})
end
