-- Moves of jobs that no worker has, to the end of another stream. They keep their messages and checkpoints.
--
-- Needs     entries, job_ids, lanes
-- Provides  move_entry, move_from_tenant

-- Moves an entry that was never delivered; false when it is gone or too large to be a job. `fresh` is the checkpoint of a
-- job that has none yet.
local function move_entry(queue, entry, fresh, target)
  local stream, entry_id = NS .. ':queue:' .. queue, entry_id_of(queue, entry)
  local fields = {}
  if not append_fields(fields, stream, entry) then return false end
  enqueue(target, redis.call('HGET', NS .. ':checkpoints', entry_id) or fresh, fields)
  redis.call('XDEL', stream, entry)
  redis.call('HDEL', NS .. ':checkpoints', entry_id)
  return true
end

-- Moves a job that waits for the turn of its tenant; false when it does not.
local function move_from_tenant(entry_id, target)
  local packed = redis.call('HGET', NS .. ':parked', entry_id)
  local record = packed and cmsgpack.unpack(packed)
  if not record or string.sub(record[2], 1, 7) ~= 'tenant:' then return false end
  redis.call('LREM', NS .. ':lane:' .. record[2], 1, entry_id)
  redis.call('HDEL', NS .. ':parked', entry_id)
  unindex_entries(NS .. ':parked:ids', {record[4]}, {entry_id})
  enqueue(target, record[3], {unpack(record, 5)})
  return true
end
