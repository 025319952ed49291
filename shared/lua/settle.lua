-- Ends jobs: acks and deletes the entry, writes the event, stores the result, pushes the reply, buries a
-- dead letter, hands the slot on. All of it for a job, or nothing. Takes any number of jobs; what they
-- share is asked once for all.
--
-- KEYS[1]  the journal
-- ARGV     prefix, then of each job: queue, entry, worker, job id, attempt id ('' = none was begun),
--          event, result ('' = none), seconds that it is kept, reply ('1' or ''), concurrency key ('' =
--          none), 'kept' when something is remembered of the place, dead letter ('' = none), its id,
--          seconds that an own id is known from now, spent (see give_back; '-' = nothing was taken), the
--          step of a chain that it was ('' = none) as `CHAIN INSTANCE OUTCOME NANO-DOLLARS`, '1' when other
--          steps read its result, the jobs that it spawns ('' = none) as a JSON list of [memory, message]
-- Returns  of each job: 'ok', or 'gone': another worker has it, an attempt is recorded as a duplicate
local ARITY = 18

local function job_at(at)
  local queue, entry = ARGV[at], ARGV[at + 1]
  return {
    queue = queue, entry = entry, worker = ARGV[at + 2], id = ARGV[at + 3], attempt = ARGV[at + 4],
    event = ARGV[at + 5], result = ARGV[at + 6], ttl = ARGV[at + 7], reply = ARGV[at + 8],
    ckey = ARGV[at + 9], kept = ARGV[at + 10], letter = ARGV[at + 11], letter_id = ARGV[at + 12],
    id_ttl = ARGV[at + 13], spent = ARGV[at + 14], step = ARGV[at + 15], needed = ARGV[at + 16],
    children = ARGV[at + 17], stream = P .. ':queue:' .. queue, place = place_of(queue, entry),
  }
end

local jobs, places = {}, {}
for at = 2, #ARGV, ARITY do
  local job = job_at(at)
  jobs[#jobs + 1] = job
  places[#places + 1] = job.place
end
local journal = redis.call('HMGET', KEYS[1], unpack(places))

-- The fence of `is_mine`, with the journal's word already at hand.
local function is_held(i, job)
  if job.attempt == '' then return owner_of(job.stream, job.entry) == job.worker end
  return journal[i] and string.sub(journal[i], 1, #job.attempt) == job.attempt
end

local function end_job(i, job)
  give_back_journalled(job.place, journal[i], job.attempt, job.spent)
  if job.result ~= '' then
    redis.call('SET', P .. ':result:' .. job.id, job.result, 'EX', job.ttl)
    if job.reply == '1' then push_reply(job.id, job.result, job.ttl) end
  end
  if job.letter ~= '' then bury(job.letter_id, job.letter) end
  if job.kept == 'kept' or job.attempt == '' then
    forget(job.place)
    if job.result ~= '' then redis.call('EXPIRE', P .. ':id:' .. job.id, job.id_ttl) end
  end
end

-- A step that spawned jobs ends with the last of them; those of a plain job go their own way.
local function spawn(job, id, instance)
  local children = cjson.decode(job.children)
  if not id then
    for _, child in ipairs(children) do enqueue(queue_of(job.queue), child[1], {'job', child[2]}) end
    return
  end
  local key = chain_key(id)
  redis.call('HSET', key, 't:' .. instance, #children)
  for i, child in ipairs(children) do
    local name = instance .. '/' .. (i - 1)
    lay_item(key, name, child[1], child[2])
    redis.call('RPUSH', key .. ':ready', name)
  end
end

local function go_on(job)
  local id, instance, outcome, nanos = string.match(job.step, '^(%S+) (%S+) (%a+) (%d+)$')
  -- Those of an item, or of a batch's task, go their own way as well.
  if job.children ~= '' then spawn(job, instance and instance == step_of(instance) and id, instance) end
  if not id then return end
  if job.needed == '1' then redis.call('HSET', chain_key(id) .. ':contexts', instance, job.result) end
  advance(id, instance, outcome, nanos)
  return id
end

local answers, settled, entries, done, ended, events = {}, {}, {}, {}, {}, {}
for i, job in ipairs(jobs) do
  if settled[job.place] or not is_held(i, job) then
    if job.attempt ~= '' then emit_duplicate(job.event) end
    answers[i] = 'gone'
  else
    settled[job.place] = true
    add_to(entries, job.stream, job.entry)
    done[#done + 1] = job.place
    events[#events + 1] = job.event
    if job.result ~= '' then ended[#ended + 1] = job.id end
    end_job(i, job)
    answers[i] = 'ok'
  end
end
emit_all(events)
for stream, gone in pairs(entries) do remove(stream, gone) end
if #done > 0 then redis.call('HDEL', KEYS[1], unpack(done)) end
-- A request to cancel, heard or not, must not meet the next job of its id.
if #ended > 0 then redis.call('ZREM', P .. ':cancelled', unpack(ended)) end
local chains, slots = {}, {}
for i, job in ipairs(jobs) do
  if answers[i] == 'ok' then
    if job.ckey ~= '' then add_to(slots, job.ckey, job.place) end
    if job.step ~= '' or job.children ~= '' then
      local id = go_on(job)
      if id then chains[id] = true end
    end
  end
end
for ckey, some in pairs(slots) do release(ckey, some) end
for id in pairs(chains) do proceed(id) end
return answers
