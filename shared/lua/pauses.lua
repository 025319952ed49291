-- Pauses of queues, types and providers. This text stands between the prelude and the scripts that need it.
--
-- `{ns}:paused` holds of each (`queue:NAME`, `type:NAME`, `provider:NAME`) the JSON of `since`, `until` (ms;
-- absent: until somebody resumes it) and `reason`. Jobs of a paused type wait in the lane
-- `paused:type:NAME`, jobs that only paused providers could answer in `paused:provider:A,B`: sorted sets, in
-- the order in which the jobs were received. `{ns}:paused:lanes` names these lanes, and `{ns}:resumed` those
-- whose jobs may go.

local function is_paused(what, now)
  local text = redis.call('HGET', P .. ':paused', what)
  if not text then return false end
  local ends = cjson.decode(text)['until']
  return not ends or ends > now
end

-- What a lane waits for: `type:NAME`, or providers of which any will do.
local function waits_for(lane)
  local kind, names = string.match(lane, '^paused:(%a+):(.*)$')
  if kind == 'type' then return {'type:' .. names} end
  local all = {}
  for name in string.gmatch(names, '[^,]+') do all[#all + 1] = 'provider:' .. name end
  return all
end

-- Whether all that a lane waits for is paused.
local function is_closed(lane, now)
  for _, what in ipairs(waits_for(lane)) do
    if not is_paused(what, now) then return false end
  end
  return true
end

-- The jobs that wait for it may go.
local function open_lanes(what)
  for _, lane in ipairs(redis.call('SMEMBERS', P .. ':paused:lanes')) do
    for _, one in ipairs(waits_for(lane)) do
      if one == what then redis.call('SADD', P .. ':resumed', lane) end
    end
  end
end

-- Says to all workers that something was paused or resumed.
local function tell_of_pauses() redis.call('PUBLISH', P .. ':control', 'paused') end
