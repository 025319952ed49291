-- Deletes orphans: fields of a hash whose entries no longer exist. Scripts leave none; deleting keys by hand does.
-- Producers whose reply can no longer come are orphans too: those of a job that was purged before it ended again.
--
-- KEYS[1]  the hash
-- ARGV     1 namespace, 2 what it is (`journal`; `slots`: of a limit; `holders`: the slots of a concurrency key;
--          `memory`: checkpoints or crashes; `replies`: duplicates that wait for a reply), 3 the meter or the key
--          ('' = neither), then the fields: entry ids, of `replies` see replies.lua
-- Returns  the fields that were orphans
-- Writes   the hash; of the journal also meters, events, checkpoints, crashes, `{ns}:key:KEY`; a freed slot releases a
--          parked job
-- Repeat   safe: the orphans are gone
-- Bound    a few commands an entry id, at most about 100
local FIRST = 4
local kind, name = ARGV[2], ARGV[3]

-- The stream and the entry, or nil when the entry does not exist.
local function find_entry(entry_id)
  local queue, entry = string.match(entry_id, '^(.*):([^:]+)$')
  queue, entry = queue or 'default', entry or entry_id
  if not string.match(entry, '^%d+%-%d+$') then return nil end
  local stream = NS .. ':queue:' .. queue
  if not redis.call('XRANGE', stream, entry, entry)[1] then return nil end
  return stream, entry
end

local function sweep_journal(entry_id)
  local value = redis.call('HGET', KEYS[1], entry_id)
  if not value then return false end
  local attempt, worker, key, reservation, event = parse_journal_value(value)
  local stream, entry = find_entry(entry_id)
  if stream then
    -- recover.lua handles dead workers. This is an entry that another worker holds, or none.
    local pending = redis.pcall('XPENDING', stream, GROUP, entry, entry, 1)
    if not pending.err and pending[1] and pending[1][2] == worker then return false end
  end
  if attempt ~= '-' then
    consume(reservation, entry_id, '')
    emit(event)
  end
  if stream then
    redis.call('HDEL', KEYS[1], entry_id)
  else
    forget_entry(entry_id)
    free_key_slots(key, {entry_id})
  end
  return true
end

local function sweep_slot(entry_id)
  if redis.call('HEXISTS', NS .. ':inflight', entry_id) == 1 then return false end
  if redis.call('HDEL', KEYS[1], entry_id) == 0 then return false end
  if redis.call('EXISTS', quota_lane(name)) == 1 then schedule_lane(name, now_ms()) end
  return true
end

local function sweep_holder(entry_id)
  if find_entry(entry_id) or redis.call('HEXISTS', KEYS[1], entry_id) == 0 then return false end
  free_key_slots(name, {entry_id})
  return true
end

local function sweep_stored(entry_id)
  return not find_entry(entry_id) and redis.call('HDEL', KEYS[1], entry_id) == 1
end

-- The id of a job is known for a day after its end, and a chain for a week.
local function sweep_reply(field)
  local id = string.gsub(field, '^~+', '')
  if redis.call('EXISTS', NS .. ':id:' .. id, chain_key(id)) > 0 then return false end
  return redis.call('HDEL', KEYS[1], field) == 1
end

local sweep = ({
  journal = sweep_journal, slots = sweep_slot, holders = sweep_holder, memory = sweep_stored, replies = sweep_reply,
})[kind]
local orphans = {}
for at = FIRST, #ARGV do
  if sweep(ARGV[at]) then orphans[#orphans + 1] = ARGV[at] end
end
return orphans
