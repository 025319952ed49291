-- Requests to cancel a job that has not ended.
--
-- `{ns}:cancelled` holds the ids by time of the request. A parked job is released: the next worker ends it
-- without a call. A running job is dropped by its worker, which reads the control channel.
--
-- Needs     job_ids, lanes
-- Provides  request_cancel

local function release_cancelled(id, entry_id)
  local packed = redis.call('HGET', NS .. ':parked', entry_id)
  -- Someone deleted the job by hand.
  if not packed then return unindex_entries(NS .. ':parked:ids', {id}, {entry_id}) end
  local lane = cmsgpack.unpack(packed)[2]
  if lane == 'time' or lane == 'version' or string.match(lane, '^paused:') then
    redis.call('ZREM', NS .. ':lane:' .. lane, entry_id)
  end
  release(entry_id)
end

-- False when the job has an outcome already. `parked` is the entry id of a job that is parked by tenant, whose own id
-- was not checked yet (nil or '' = it is not).
local function request_cancel(id, parked)
  if redis.call('EXISTS', NS .. ':result:' .. id) == 1 then return false end
  redis.call('ZADD', NS .. ':cancelled', now_ms(), id)
  for _, entry_id in ipairs(indexed_entries(NS .. ':parked:ids', id)) do release_cancelled(id, entry_id) end
  if parked and parked ~= '' then release_cancelled(id, parked) end
  redis.call('PUBLISH', NS .. ':control', 'cancel ' .. id)
  return true
end
