-- Ids that producers choose for their jobs.
--
-- `{ns}:id:ID` is `HASH ENTRY_ID` of the job that claimed the id. Each end of the job appends `=DIGEST=STATE`, so that a
-- later message with the same id can be told how the job ended when its outcome has expired. The digest is of the outcome:
-- `{ns}:result:ID` may be of a chain or a step with the same id. (Workers of earlier releases append `=STATE`.)
--
-- Provides  own_id, own_outcome, end_own_id, reopen_own_ids

-- The content hash and the entry id of the job that has the id, the state in which it ended (nil = it has not), and the
-- digest of its outcome; nil when no job claimed the id.
local function own_id(id)
  local known = redis.call('GET', NS .. ':id:' .. id)
  if not known then return nil end
  local hash, entry_id, ends = string.match(known, '^(%S+) ([^ =]+)(%S*)$')
  return hash, entry_id, string.match(ends or '', '=(%a+)$'), string.match(ends or '', '=(%x+)=%a+$')
end

-- The outcome with this digest; nil when it has expired, or another has taken its place. `trusts` is whether any outcome
-- under the id will do where there is no digest.
local function own_outcome(id, digest, trusts)
  local outcome = redis.call('GET', NS .. ':result:' .. id)
  if not outcome or (not digest and trusts) then return outcome or nil end
  return redis.sha1hex(outcome) == digest and outcome or nil
end

-- A job of this id has ended; the id is known for `id_ttl` seconds more. How it ended is only told of the job that claimed
-- the id: a step may have the same one.
local function end_own_id(job)
  local key = NS .. ':id:' .. job.id
  if redis.call('EXPIRE', key, job.id_ttl) == 0 or not job.owns_id then return end
  local state = string.match(job.outcome, '^{"id":"[^"]*","state":"(%a+)"')
  if state then redis.call('APPEND', key, '=' .. redis.sha1hex(job.outcome) .. '=' .. state) end
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
