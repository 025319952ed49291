-- Dead letters, by the entry id that the job had when it died.
--
-- `{ns}:dead` is a sorted set of entry ids by time of death (ms); `{ns}:dead:jobs` maps an entry id to the dead
-- letter as JSON; `{ns}:dead:ids` finds it by job id.
--
-- Needs     job_ids
-- Provides  add_dead_letter, remove_dead_letters

local function add_dead_letter(entry_id, id, dead_letter)
  redis.call('HSET', NS .. ':dead:jobs', entry_id, dead_letter)
  redis.call('ZADD', NS .. ':dead', now_ms(), entry_id)
  index_entry(NS .. ':dead:ids', id, entry_id)
end

-- Removes the dead letters of these entry ids, whose job ids are `ids`; at most 1,000.
local function remove_dead_letters(entry_ids, ids)
  if #entry_ids == 0 then return end
  redis.call('ZREM', NS .. ':dead', unpack(entry_ids))
  redis.call('HDEL', NS .. ':dead:jobs', unpack(entry_ids))
  unindex_entries(NS .. ':dead:ids', ids, entry_ids)
end
