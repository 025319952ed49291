-- Replay of dead letters: how they return to their queues.
--
-- `{ns}:dead` is a sorted set of ids by time of death (ms), `{ns}:dead:jobs` maps an id to the dead letter as JSON.
--
-- Needs     chain_reopen, chains, events, lanes
-- Provides  parse_dead_letters, replay_dead_letters

-- Arguments of a dead letter before the fields of its message.
local FIXED = 6

-- The dead letters of ARGV from position `at` on, each given as: id, time of death (ms; another dead letter of the
-- same id has another), queue, checkpoint, event, the number of texts that follow, then these: the fields of the
-- message and their values in turn.
local function parse_dead_letters(at)
  local dead_letters = {}
  while at <= #ARGV do
    local fields, count = {}, tonumber(ARGV[at + 5])
    for i = 1, count do fields[i] = ARGV[at + FIXED - 1 + i] end
    dead_letters[#dead_letters + 1] = {
      id = ARGV[at], died = tonumber(ARGV[at + 1]), queue = ARGV[at + 2], checkpoint = ARGV[at + 3],
      event = ARGV[at + 4], fields = fields,
    }
    at = at + FIXED + count
  end
  return dead_letters
end

-- A replayed job that is the step of a chain: the instance runs again, and the chain with it.
local function continue_chain(id, checkpoint)
  if not string.find(checkpoint, '"step":', 1, true) then return end
  local step = cjson.decode(checkpoint).step
  if type(step) ~= 'table' then return end
  local instance = step.index and step.name .. '/' .. string.format('%.0f', step.index) or step.name
  if not reopen_instance(step.chain, instance) then return end
  local key = chain_key(step.chain)
  redis.call('HSET', key .. ':running', instance, id)
  if redis.call('HEXISTS', key, 'ended') == 1 then reopen_chain(step.chain) end
end

-- Puts dead letters of the set KEYS[1] into their queues again, at most `room` (nil = all). Every replay calls this.
-- Commands that take several ids are called once for all of them.
-- Returns, for each dead letter up to where it stopped, the new entry id, or '' when it is gone or was replaced; and
-- how many were replayed.
local function replay_dead_letters(dead_letters, room)
  if #dead_letters == 0 then return {}, 0 end
  local ids = {}
  for i, dead_letter in ipairs(dead_letters) do ids[i] = dead_letter.id end
  local died = redis.call('ZMSCORE', KEYS[1], unpack(ids))
  local entry_ids, replayed, results, checkpoints, events, seen = {}, {}, {}, {}, {}, {}
  for i, dead_letter in ipairs(dead_letters) do
    if room and #replayed >= room then break end
    local id, entry_id = dead_letter.id, ''
    if died[i] and tonumber(died[i]) == dead_letter.died and not seen[id] then
      seen[id] = true
      events[#events + 1] = dead_letter.event
      continue_chain(id, dead_letter.checkpoint)
      entry_id = append_entry(dead_letter.queue, dead_letter.fields)
      replayed[#replayed + 1], results[#results + 1] = id, NS .. ':result:' .. id
      checkpoints[#checkpoints + 1], checkpoints[#checkpoints + 2] = entry_id, dead_letter.checkpoint
    end
    entry_ids[i] = entry_id
  end
  emit_all(events)
  if #replayed > 0 then
    redis.call('ZREM', KEYS[1], unpack(replayed))
    redis.call('HDEL', NS .. ':dead:jobs', unpack(replayed))
    redis.call('DEL', unpack(results))
    redis.call('ZREM', NS .. ':cancelled', unpack(replayed))
    redis.call('HSET', NS .. ':checkpoints', unpack(checkpoints))
  end
  return entry_ids, #replayed
end
