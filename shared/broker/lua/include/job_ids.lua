-- Indexes by job id of what is stored by entry id. Producers choose job ids, and one may name several jobs: a step
-- of a chain and a producer's job, or last night's dead letter and tonight's. An entry id is given once.
--
-- An index is a sorted set of `JOB_ID ENTRY_ID`, all with the score 0. Neither id contains a space.
--
-- Provides  index_entry, unindex_entries, indexed_entries

-- The most entries of one job id that a script handles.
local MOST_INDEXED = 100

local function index_entry(index, id, entry_id) redis.call('ZADD', index, 0, id .. ' ' .. entry_id) end

-- Removes entries from an index; `ids` are their job ids, in the same order.
local function unindex_entries(index, ids, entry_ids)
  local members = {}
  for i, entry_id in ipairs(entry_ids) do members[i] = ids[i] .. ' ' .. entry_id end
  redis.call('ZREM', index, unpack(members))
end

-- The entry ids of a job id. `!` follows the space in the order of bytes.
local function indexed_entries(index, id)
  local entry_ids = {}
  local members = redis.call('ZRANGEBYLEX', index, '[' .. id .. ' ', '(' .. id .. '!', 'LIMIT', 0, MOST_INDEXED)
  for i, member in ipairs(members) do entry_ids[i] = string.sub(member, #id + 2) end
  return entry_ids
end
