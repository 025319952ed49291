-- Chains and batches: what is stored of one.
--
-- An instance is what runs of a step: `STEP`, or `STEP/INDEX` for an item of a step that fanned out. A batch is a
-- chain with one step, `task`, that has one item for each task.
-- `{ns}:chain:ID` (colons of the id as `%3A`) is a hash of the state, the settings and the counts; of each step it has `s:STEP` (how it ended),
-- `l:STEP` (needs that have not ended), `t:STEP` (items), `d:STEP` (items that ended) and `o:STEP` (items that
-- completed), `e:STEP` (the completed items with which it ends, if not with all that ended), `n:STEP` (the steps that it
-- needs, as `NAME …`). `last` are the steps that no other needs. The chain of a recipe has `recipe` and, while the job
-- that it answers is parked, `waiting`: the entry id that the job had. Beside it, after another colon:
--   doc       the document               steps    by step: see step_record
--   items     by instance: see put_item  ready    list of instances that may run when there is room
--   lines     list of a batch's tasks that are not queued yet, see dispatch
--   running   by instance: the job's id  ids      of a batch, by index: the id that the producer chose
--   contexts  by instance: its outcome   failed   by instance: how it ended (`failed ID`, `cancelled ID`)
--   spent     by failed instance: what its job had spent, see spent_counts
-- The contexts of a recipe's chain also have INPUTS: what the recipe knows of its job.
--
-- Needs     events
-- Provides  CHAIN_PARTS, INPUTS, SPENT, chain_key, step_name, step_record, put_steps, pack_item, put_item, put_items,
--           spent_counts, add_counts, emit_chain, expire_chain_cap, keep_chain_cap

-- All keys of a chain, as suffixes of chain_key.
local CHAIN_PARTS = {
  '', ':doc', ':steps', ':items', ':ready', ':lines', ':running', ':contexts', ':failed', ':ids',
  ':spent',
}

-- The field of `contexts` with what a recipe knows of its job. No instance has such a name.
local INPUTS = '~inputs'

-- What jobs spend, and the fields of a chain that count it. `estimated` counts the jobs whose cost is an estimate.
local SPENT = {'nanos', 'attempts', 'input_tokens', 'output_tokens', 'cached_tokens', 'reasoning_tokens', 'estimated'}

-- A colon in the id is escaped: it separates the id from the suffix.
local function chain_key(id)
  local escaped = string.gsub(id, ':', '%%3A')
  return NS .. ':chain:' .. escaped
end

-- The step of an instance.
local function step_name(instance) return string.match(instance, '^[^/]+') end

-- {checkpoint, message, on_failure, min_success ('' = all items), dependents, ends_early, queue} of a step, or false.
-- `dependents` is a text `NAME NAME! …`; `!` marks those that require the step to be completed. `ends_early` is '1' for a
-- step that ends with the item by which min_success have completed; '' or nil for all others. `queue` is the queue of its
-- jobs; '' or nil for that of the chain.
-- The step `!` stands for the job that follows the chain.
local function step_record(key, name)
  local packed = redis.call('HGET', key .. ':steps', name)
  return packed and cmsgpack.unpack(packed)
end

-- Stores the steps in ARGV from `first`, each its name and the values of its record, under the key `steps`.
local function put_steps(steps, first)
  local ARITY = 8
  local packed = {}
  for at = first, #ARGV, ARITY do
    packed[#packed + 1] = ARGV[at]
    packed[#packed + 1] = cmsgpack.pack({unpack(ARGV, at + 1, at + ARITY - 1)})
  end
  redis.call('HSET', steps, unpack(packed))
end

-- An item: its checkpoint, its message (nil = that of its step), its job's id (nil = `CHAIN/INSTANCE`).
local function pack_item(checkpoint, message, job)
  return cmsgpack.pack({checkpoint, message or false, job or false})
end

local function put_item(key, instance, checkpoint, message, job)
  redis.call('HSET', key .. ':items', instance, pack_item(checkpoint, message, job))
end

-- Stores the items in ARGV from `first`: of each its instance and its checkpoint.
local function put_items(key, first)
  local packed = {}
  for at = first, #ARGV, 2 do
    packed[#packed + 1] = ARGV[at]
    packed[#packed + 1] = pack_item(ARGV[at + 1])
  end
  if #packed > 0 then redis.call('HSET', key .. ':items', unpack(packed)) end
end

-- What a job spent as {field of its chain, amount}, without what is 0. `spent` has a number for each of SPENT; a job that
-- no model answered has none.
local function spent_counts(spent)
  local counts, at = {}, 0
  for number in string.gmatch(spent, '%d+') do
    at = at + 1
    if number ~= '0' then counts[#counts + 1] = {SPENT[at], tonumber(number)} end
  end
  return counts
end

-- Adds each {field, amount} of `counts` to a chain and reads more of its fields, with one command for each. Returns the
-- new counts and the values read, by field. Counts are exact up to 2^53: money up to nine million dollars.
local function add_counts(key, counts, ...)
  local names = {}
  for i, count in ipairs(counts) do names[i] = count[1] end
  for _, name in ipairs({...}) do names[#names + 1] = name end
  local found, values, changed = redis.call('HMGET', key, unpack(names)), {}, {}
  for i, name in ipairs(names) do
    local count = counts[i]
    if count then
      values[name] = tonumber(found[i] or '0') + count[2]
      changed[#changed + 1] = name
      changed[#changed + 1] = string.format('%.0f', values[name])
    else
      values[name] = found[i] or nil
    end
  end
  redis.call('HSET', key, unpack(changed))
  return values
end

-- Writes the event of a chain that changed its state. `ended` (ms) only if it has.
local function emit_chain(id, state, ended)
  local m = redis.call('HMGET', chain_key(id), 'name', 'kind', 'steps', 'begun', 'traceparent')
  local name = m[1] ~= '' and string.format('"name":%s,', cjson.encode(m[1])) or ''
  local tail = ended and string.format(',"ended_ms":%s', ended) or ''
  if m[5] and m[5] ~= '' then tail = tail .. string.format(',"traceparent":%s', cjson.encode(m[5])) end
  emit(string.format('{"chain":{"chain_id":%s,%s"kind":"%s","state":"%s","steps":%s,"begun_ms":%s%s}}',
    cjson.encode(id), name, m[2], state, m[3], m[4], tail))
end

-- The meter of the chain's `max_cost_usd`, as meters.rs (policy) names it.
local function chain_cap(id) return 'budget:~chain:' .. id end

-- Lets the window of the chain's `max_cost_usd` expire with the chain.
local function expire_chain_cap(id, ttl)
  if redis.call('EXPIRE', NS .. ':quota:' .. chain_cap(id), ttl) == 0 then return end
  redis.call('ZADD', NS .. ':windows', 'XX', string.format('%.0f', now_ms() + ttl * 1000), chain_cap(id))
end

local function keep_chain_cap(id) redis.call('PERSIST', NS .. ':quota:' .. chain_cap(id)) end
