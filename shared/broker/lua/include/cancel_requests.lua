-- Requests to cancel a job that has not ended.
--
-- `{ns}:cancelled` holds the ids by time of the request. A parked job is released: the next worker ends it
-- without a call. A running job is dropped by its worker, which reads the control channel.
--
-- Needs     lanes
-- Provides  request_cancel

-- False when the job has an outcome already. `parked_id` is the id that it is parked under (nil = its own).
local function request_cancel(id, parked_id)
  parked_id = parked_id or id
  if redis.call('EXISTS', NS .. ':result:' .. id) == 1 then return false end
  redis.call('ZADD', NS .. ':cancelled', now_ms(), id)
  local packed = redis.call('HGET', NS .. ':parked', parked_id)
  if packed then
    local lane = cmsgpack.unpack(packed)[2]
    if lane == 'time' or lane == 'version' or string.match(lane, '^paused:') then
      redis.call('ZREM', NS .. ':lane:' .. lane, parked_id)
    end
    release(parked_id)
  end
  redis.call('PUBLISH', NS .. ':control', 'cancel ' .. id)
  return true
end
