-- Ids that producers choose for their jobs.
--
-- `{ns}:id:ID` is `HASH ENTRY_ID` of the job that claimed the id. Each end of the job appends `=STATE`, so that a
-- later message with the same id can be told how the job ended when its outcome has expired.
--
-- Provides  own_id, end_own_id, reopen_own_ids

-- The content hash and the entry id of the job that has the id, and the state in which it ended (nil = it has not);
-- nil when no job claimed the id.
local function own_id(id)
  local known = redis.call('GET', NS .. ':id:' .. id)
  if not known then return nil end
  local hash, entry_id, ends = string.match(known, '^(%S+) ([^ =]+)(%S*)$')
  return hash, entry_id, string.match(ends or '', '(%a+)$')
end

-- The job of this id has ended with `outcome`; the id is known for `ttl` seconds more.
local function end_own_id(id, outcome, ttl)
  local key = NS .. ':id:' .. id
  if redis.call('EXPIRE', key, ttl) == 0 then return end
  local state = string.match(outcome, '^{"id":"[^"]*","state":"(%a+)"')
  if state then redis.call('APPEND', key, '=' .. state) end
end

-- The jobs of these ids run again; at most 1,000.
local function reopen_own_ids(ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = NS .. ':id:' .. id end
  for i, known in ipairs(redis.call('MGET', unpack(keys))) do
    local open = known and string.match(known, '^([^=]+)=')
    if open then redis.call('SET', keys[i], open, 'KEEPTTL') end
  end
end
