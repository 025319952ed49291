-- Replay of dead letters: how they return to their queues.
--
-- Needs     chain_reopen, chains, dead_letters, events, lanes, own_ids
-- Provides  parse_dead_letters, replay_dead_letters

-- Arguments of a dead letter before the fields of its message.
local FIXED = 7

-- The dead letters of ARGV from position `at` on, each given as: entry id, job id, time of death (ms; a change moves
-- it), queue, checkpoint, event, the number of texts that follow, then these: the fields of the message and their
-- values in turn. The fields stay in ARGV, so that a replay of thousands does not copy them.
local function parse_dead_letters(at)
  local dead_letters = {}
  while at <= #ARGV do
    local first = at + FIXED
    local last = first + tonumber(ARGV[at + 6]) - 1
    dead_letters[#dead_letters + 1] = {
      entry_id = ARGV[at], id = ARGV[at + 1], died = tonumber(ARGV[at + 2]), queue = ARGV[at + 3],
      checkpoint = ARGV[at + 4], event = ARGV[at + 5], first_field = first, last_field = last,
    }
    at = last + 1
  end
  return dead_letters
end

-- A replayed job that is the step of a chain: the instance runs again, and the chain with it.
local function continue_chain(id, checkpoint)
  if not string.find(checkpoint, '"step":', 1, true) then return end
  local step = cjson.decode(checkpoint).step
  if type(step) ~= 'table' then return end
  local instance = step.index and step.name .. '/' .. string.format('%.0f', step.index) or step.name
  if not reopen_instance(step.chain, instance, true) then return end
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
  local stored = {}
  for i, dead_letter in ipairs(dead_letters) do stored[i] = dead_letter.entry_id end
  local died = redis.call('ZMSCORE', KEYS[1], unpack(stored))
  local entry_ids, ids, removed, results, checkpoints, events, seen = {}, {}, {}, {}, {}, {}, {}
  for i, dead_letter in ipairs(dead_letters) do
    if room and #ids >= room then break end
    local id, entry_id = dead_letter.id, ''
    if died[i] and tonumber(died[i]) == dead_letter.died and not seen[dead_letter.entry_id] then
      seen[dead_letter.entry_id] = true
      events[#events + 1] = dead_letter.event
      continue_chain(id, dead_letter.checkpoint)
      entry_id = append_entry(dead_letter.queue, ARGV, dead_letter.first_field, dead_letter.last_field)
      ids[#ids + 1], removed[#removed + 1], results[#results + 1] = id, dead_letter.entry_id, NS .. ':result:' .. id
      checkpoints[#checkpoints + 1], checkpoints[#checkpoints + 2] = entry_id, dead_letter.checkpoint
    end
    entry_ids[i] = entry_id
  end
  emit_all(events)
  if #ids > 0 then
    remove_dead_letters(removed, ids)
    redis.call('DEL', unpack(results))
    reopen_own_ids(ids)
    redis.call('ZREM', NS .. ':cancelled', unpack(ids))
    redis.call('HSET', NS .. ':checkpoints', unpack(checkpoints))
  end
  return entry_ids, #ids
end
