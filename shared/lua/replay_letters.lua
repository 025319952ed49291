-- How dead letters go into their queues again: what the scripts that replay share.

-- The letters of ARGV from `at` on, each given as: its id, when it died (ms; guards against another letter of
-- the same id), queue, resume, event, and how many texts follow: the message's fields and values.
local function letters_from(at)
  local letters = {}
  while at <= #ARGV do
    local fields, count = {}, tonumber(ARGV[at + 5])
    for i = 1, count do fields[i] = ARGV[at + 5 + i] end
    letters[#letters + 1] = {
      id = ARGV[at], died = tonumber(ARGV[at + 1]), queue = ARGV[at + 2], resume = ARGV[at + 3],
      event = ARGV[at + 4], fields = fields,
    }
    at = at + 6 + count
  end
  return letters
end

-- A job comes back from the dead letters: if it is a step's, its chain goes on with it.
local function go_on_with(id, memory)
  if not string.find(memory, '"step":', 1, true) then return end
  local step = cjson.decode(memory).step
  if type(step) ~= 'table' then return end
  local instance = step.index and step.name .. '/' .. string.format('%.0f', step.index) or step.name
  if not reopen(step.chain, instance) then return end
  local key = chain_key(step.chain)
  redis.call('HSET', key .. ':running', instance, id)
  if redis.call('HEXISTS', key, 'ended') == 1 then resume_chain(step.chain) end
end

-- Puts letters into their queues again: the one place where that is done. Stops once `room` (nil = all) are
-- replayed. What they share is asked once for all.
-- Gives of each letter up to there: its new place, or '' when it is gone or is another one; and how many were
-- replayed.
local function replay_letters(letters, room)
  if #letters == 0 then return {}, 0 end
  local ids = {}
  for i, letter in ipairs(letters) do ids[i] = letter.id end
  local died = redis.call('ZMSCORE', KEYS[1], unpack(ids))
  local places, gone, results, resumes, events, seen = {}, {}, {}, {}, {}, {}
  for i, letter in ipairs(letters) do
    if room and #gone >= room then break end
    local id, place = letter.id, ''
    if died[i] and tonumber(died[i]) == letter.died and not seen[id] then
      seen[id] = true
      events[#events + 1] = letter.event
      go_on_with(id, letter.resume)
      place = append(letter.queue, letter.fields)
      gone[#gone + 1], results[#results + 1] = id, P .. ':result:' .. id
      resumes[#resumes + 1], resumes[#resumes + 2] = place, letter.resume
    end
    places[i] = place
  end
  emit_all(events)
  if #gone > 0 then
    redis.call('ZREM', KEYS[1], unpack(gone))
    redis.call('HDEL', P .. ':dead:jobs', unpack(gone))
    redis.call('DEL', unpack(results))
    redis.call('ZREM', P .. ':cancelled', unpack(gone))
    redis.call('HSET', P .. ':resume', unpack(resumes))
  end
  return places, #gone
end
