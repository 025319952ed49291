-- Pauses of queues, job types and providers.
--
-- `{ns}:paused` maps a target (`queue:NAME`, `type:NAME`, `provider:NAME`) to the JSON of `since`, `until` (ms;
-- absent = until someone resumes it) and `reason`. Jobs of a paused type are parked in the lane
-- `paused:type:NAME`, jobs that only paused providers could run in `paused:provider:A,B`: sorted sets, ordered by
-- the time at which the jobs were received. `{ns}:paused:lanes` is the set of these lanes, `{ns}:resumed` of those
-- whose jobs may be released.
--
-- Provides  is_paused, is_lane_paused, mark_lanes_resumed, publish_pauses

local function is_paused(target, now)
  local text = redis.call('HGET', NS .. ':paused', target)
  if not text then return false end
  local ends = cjson.decode(text)['until']
  return not ends or ends > now
end

-- The targets of a lane; its jobs may be released when one of them is not paused.
local function lane_targets(lane)
  local kind, names = string.match(lane, '^paused:(%a+):(.*)$')
  if kind == 'type' then return {'type:' .. names} end
  local targets = {}
  for name in string.gmatch(names, '[^,]+') do targets[#targets + 1] = 'provider:' .. name end
  return targets
end

-- Whether all targets of a lane are paused.
local function is_lane_paused(lane, now)
  for _, target in ipairs(lane_targets(lane)) do
    if not is_paused(target, now) then return false end
  end
  return true
end

-- Marks the lanes of a target that is resumed.
local function mark_lanes_resumed(target)
  for _, lane in ipairs(redis.call('SMEMBERS', NS .. ':paused:lanes')) do
    for _, one in ipairs(lane_targets(lane)) do
      if one == target then redis.call('SADD', NS .. ':resumed', lane) end
    end
  end
end

-- Tells all workers that pauses changed.
local function publish_pauses() redis.call('PUBLISH', NS .. ':control', 'paused') end
