-- Gives back what nobody holds any more: entries by place of a hash whose jobs do not stand where they say.
-- By construction there are none; somebody who deletes keys by hand may leave some.
--
-- KEYS[1]  the hash
-- ARGV     prefix, what it is (`journal`; `slots`: the places of a limit; `holders`: the slots of a
--          concurrency key; `memory`: what goes with a place), the meter or the key ('' = neither), places
-- Returns  the places whose entries are gone
local kind, name = ARGV[2], ARGV[3]

local function stands_at(place)
  local queue, entry = string.match(place, '^(.*):([^:]+)$')
  queue, entry = queue or 'default', entry or place
  if not string.match(entry, '^%d+%-%d+$') then return nil end
  local stream = P .. ':queue:' .. queue
  if not redis.call('XRANGE', stream, entry, entry)[1] then return nil end
  return stream, entry
end

local function sweep_journal(place)
  local value = redis.call('HGET', KEYS[1], place)
  if not value then return false end
  local attempt, worker, ckey, takes, event = unpack_inflight(value)
  local stream, entry = stands_at(place)
  if stream then
    -- Who died is recovered; this is of an entry that another has, or nobody.
    local pending = redis.pcall('XPENDING', stream, GROUP, entry, entry, 1)
    if not pending.err and pending[1] and pending[1][2] == worker then return false end
  end
  if attempt ~= '-' then
    give_back(takes, place, '')
    emit(event)
  end
  if stream then
    redis.call('HDEL', KEYS[1], place)
  else
    forget(place)
    release(ckey, {place})
  end
  return true
end

local function sweep_slot(place)
  if redis.call('HEXISTS', P .. ':inflight', place) == 1 then return false end
  if redis.call('HDEL', KEYS[1], place) == 0 then return false end
  if redis.call('EXISTS', quota_lane(name)) == 1 then open_gate(name, now_ms()) end
  return true
end

local function sweep_holder(place)
  if stands_at(place) or redis.call('HEXISTS', KEYS[1], place) == 0 then return false end
  release(name, {place})
  return true
end

local function sweep_memory(place)
  return not stands_at(place) and redis.call('HDEL', KEYS[1], place) == 1
end

local sweep = ({journal = sweep_journal, slots = sweep_slot, holders = sweep_holder, memory = sweep_memory})[kind]
local gone = {}
for at = 4, #ARGV do
  if sweep(ARGV[at]) then gone[#gone + 1] = ARGV[at] end
end
return gone
