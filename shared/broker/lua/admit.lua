-- Admits a job that named its own id or a unique key; called before its first attempt.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 entry, 4 worker, 5 job id ('' = none), 6 content hash, 7 seconds that the id is
--          known, 8 unique key ('' = none), 9 seconds that the key is taken, 10 reply ('' = none, see
--          replies.lua), 11 seconds that a reply is kept, 12 event of the drop, 13 the batch task that the job is, as
--          `CHAIN INSTANCE` ('' = none), 14 the outcome of a completed job that has expired ('' = no reply)
-- Returns  {'ok'}; {'gone'}: the entry is not the worker's; {'duplicate'}: the same job came before, this message is
--          dropped; {'conflict', entry id}: the id is another job's; {'unique', entry id}: the key is another job's
-- Writes   `{ns}:id:ID`, `{ns}:unique:KEY`; of a duplicate: the stream, the event, the reply, its batch
-- Repeat   safe: id and key are then the job's own; a dropped message is no longer the worker's ('gone')
-- Bound    constant; of a batch's task that is a duplicate also chain_dispatch.lua's
local queue, entry, worker, id, hash, id_ttl, key, key_ttl, reply, reply_ttl, drop_event, task, expired =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13],
  ARGV[14]

-- The expired outcome of a job that ended in `state`.
local function expired_outcome(state)
  if state == 'completed' then return expired end
  return (string.gsub(expired, '"state":"completed","success":true', '"state":"' .. state .. '","success":false', 1))
end

local entry_id = entry_id_of(queue, entry)
if owner_of(KEYS[1], entry) ~= worker then return {'gone'} end
if id ~= '' then
  local known_hash, known_entry_id, state, digest = own_id(id)
  if not known_hash then
    redis.call('SET', NS .. ':id:' .. id, hash .. ' ' .. entry_id, 'EX', id_ttl)
  elseif known_entry_id ~= entry_id then
    if known_hash ~= hash then return {'conflict', known_entry_id} end
    emit(drop_event)
    remove_entries(KEYS[1], {entry})
    redis.call('HDEL', NS .. ':unbegun', entry_id)
    if task ~= '' then
      local chain, instance = string.match(task, '^(%S+) (%S+)$')
      advance(chain, instance, nil, 'completed', '')
      proceed(chain)
    end
    if reply ~= '' then
      local outcome = own_outcome(id, digest, reply == '1') or state and expired_outcome(state)
      reply_to_duplicate(id, reply, reply_ttl, outcome, 'job')
    end
    return {'duplicate'}
  end
end
if key ~= '' then
  local holder = redis.call('GET', NS .. ':unique:' .. key)
  if not holder then
    redis.call('SET', NS .. ':unique:' .. key, entry_id, 'EX', key_ttl)
  elseif holder ~= entry_id then
    return {'unique', holder}
  end
end
return {'ok'}
