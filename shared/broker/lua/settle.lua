-- Settles jobs: acknowledges and deletes the entry, writes the event, stores the outcome, pushes the reply, adds the
-- dead letter, returns what the attempt reserved, frees its slot and advances its chain. For each job all or nothing.
--
-- KEYS[1]  the journal
-- ARGV     1 namespace, then of each job: queue, entry, worker, job id, attempt id ('' = none began), event, outcome
--          ('' = none), seconds that it is kept, reply ('' = none, see replies.lua), concurrency key ('' = none),
--          'kept' when anything is stored under its entry id, dead letter ('' = none), the job id in it, seconds that a
--          producer's own id is known from now, usage (see consumption.lua), the chain step that it is as
--          `CHAIN INSTANCE OUTCOME SPENT` ('' = none; see spent_counts in chains.lua), '1' when the chain keeps its
--          outcome, the jobs that it spawns as a JSON list of [checkpoint, message] ('' = none), '1' when its producer chose the id
-- Returns  of each job: 'ok'; 'ok ERROR': settled, but its chain could not go on; 'gone': another worker has it, its
--          attempt is recorded as a duplicate; 'error ERROR': not settled, the others are
-- Writes   streams, the journal, checkpoints, crashes, meters, events, results, replies, dead letters, chains,
--          `{ns}:cancelled`, `{ns}:id:ID`, `{ns}:key:KEY`; a freed slot releases a parked job
-- Repeat   safe: the fence refuses a settled job ('gone'); the ledger keeps the first record of its attempt
-- Bound    at most 16 jobs, a few commands for each and its meters; of a chain chain_dispatch.lua's, or, if the step
--          stops it, chain_cancel.lua's
local ARITY = 19
if (#ARGV - 1) % ARITY ~= 0 then return redis.error_reply('settle.lua: expected ' .. ARITY .. ' arguments a job') end

local function job_at(at)
  local queue, entry = ARGV[at], ARGV[at + 1]
  return {
    queue = queue, entry = entry, worker = ARGV[at + 2], id = ARGV[at + 3], attempt = ARGV[at + 4],
    event = ARGV[at + 5], outcome = ARGV[at + 6], ttl = ARGV[at + 7], reply = ARGV[at + 8],
    key = ARGV[at + 9], kept = ARGV[at + 10], dead_letter = ARGV[at + 11], dead_letter_id = ARGV[at + 12],
    id_ttl = ARGV[at + 13], usage = ARGV[at + 14], step = ARGV[at + 15], is_kept = ARGV[at + 16],
    children = ARGV[at + 17], owns_id = ARGV[at + 18] == '1',
    stream = NS .. ':queue:' .. queue, entry_id = entry_id_of(queue, entry),
  }
end

local jobs, entry_ids = {}, {}
for at = 2, #ARGV, ARITY do
  local job = job_at(at)
  jobs[#jobs + 1] = job
  entry_ids[#entry_ids + 1] = job.entry_id
end
local journal = redis.call('HMGET', KEYS[1], unpack(entry_ids))

-- As `passes_fence`, with the journal's values at hand.
local function passes(i, job)
  if job.attempt == '' then return owner_of(job.stream, job.entry) == job.worker end
  return is_attempt(journal[i], job.attempt)
end

-- What would have a second effect comes last: a job whose keys were damaged by hand is settled again.
local function end_job(i, job)
  if job.dead_letter ~= '' then add_dead_letter(job.entry_id, job.dead_letter_id, job.dead_letter) end
  if job.outcome ~= '' then
    redis.call('SET', NS .. ':result:' .. job.id, job.outcome, 'EX', job.ttl)
    if job.reply ~= '' then push_reply(job.id, job.reply, job.outcome, job.ttl, job.owns_id and 'job') end
  end
  consume_journaled(job.entry_id, journal[i], job.attempt, job.usage)
  local is_kept = job.kept == 'kept' or job.attempt == ''
  if is_kept then forget_entry(job.entry_id) end
  if job.outcome ~= '' and (is_kept or job.owns_id) then end_own_id(job) end
end

-- A step that spawned jobs ends with the last of them; the jobs that any other job spawned are independent.
local function spawn(job, id, instance)
  local children = cjson.decode(job.children)
  if not id then
    for _, child in ipairs(children) do enqueue(base_queue(job.queue), child[1], {'job', child[2]}) end
    return
  end
  local key = chain_key(id)
  redis.call('HSET', key, 't:' .. instance, #children)
  for i, child in ipairs(children) do
    local name = instance .. '/' .. (i - 1)
    put_item(key, name, child[1], child[2])
    redis.call('RPUSH', key .. ':ready', name)
  end
end

-- Spawns the job's children and ends its instance; returns the id of its chain, or nil.
local function advance_chain(job)
  local id, instance, outcome, spent = string.match(job.step, '^(%S+) (%S+) (%a+) ([%d ]+)$')
  -- What an item or a batch's task spawns is independent too.
  if job.children ~= '' then spawn(job, instance and instance == step_name(instance) and id, instance) end
  if not id then return end
  if job.is_kept == '1' then redis.call('HSET', chain_key(id) .. ':contexts', instance, job.outcome) end
  advance(id, instance, job.id, outcome, spent)
  return id
end

-- The text of an error that pcall caught: of a command it is a table.
local function error_text(caught) return type(caught) == 'table' and caught.err or tostring(caught) end

local answers, settled, entries, settled_ids, ended, events = {}, {}, {}, {}, {}, {}
for i, job in ipairs(jobs) do
  if settled[job.entry_id] or not passes(i, job) then
    if job.attempt ~= '' then emit_duplicate(job.event) end
    answers[i] = 'gone'
  else
    local is_settled, caught = pcall(end_job, i, job)
    if is_settled then
      settled[job.entry_id] = true
      add_to_group(entries, job.stream, job.entry)
      settled_ids[#settled_ids + 1] = job.entry_id
      events[#events + 1] = job.event
      if job.outcome ~= '' then ended[#ended + 1] = job.id end
      answers[i] = 'ok'
    else
      answers[i] = 'error ' .. error_text(caught)
    end
  end
end
emit_all(events)
for stream, group in pairs(entries) do remove_entries(stream, group) end
if #settled_ids > 0 then redis.call('HDEL', KEYS[1], unpack(settled_ids)) end
-- A request to cancel must not reach the next job of the same id.
if #ended > 0 then redis.call('ZREM', NS .. ':cancelled', unpack(ended)) end
local chains, by_key = {}, {}
for i, job in ipairs(jobs) do
  if answers[i] == 'ok' then
    if job.key ~= '' then add_to_group(by_key, job.key, job.entry_id) end
    if job.step ~= '' or job.children ~= '' then
      local has_advanced, id = pcall(advance_chain, job)
      if not has_advanced then
        answers[i] = 'ok ' .. error_text(id)
      elseif id then
        chains[id] = i
      end
    end
  end
end
for key, group in pairs(by_key) do free_key_slots(key, group) end
for id, i in pairs(chains) do
  local has_proceeded, caught = pcall(proceed, id)
  if not has_proceeded then answers[i] = 'ok ' .. error_text(caught) end
end
return answers
