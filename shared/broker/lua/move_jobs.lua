-- Moves jobs that no worker has to another queue: entries that were never delivered, and jobs that wait for the turn of
-- their tenant. An entry that was handed back stays, because it may hold a slot under its entry id.
--
-- KEYS[1]  `{ns}:parked`
-- ARGV     1 namespace, 2 the other queue, then of each job: its queue (`NAME` or `~NAME`), entry, the checkpoint of a job
--          that has none yet
-- Returns  of each job: 'moved'; 'gone': it is no longer there, or a worker has or had it
-- Writes   streams, parked jobs, `{ns}:lane:tenant:QUEUE:TENANT`, checkpoints
-- Repeat   safe: a moved job is 'gone'
-- Bound    a few commands a job, at most 100
local FIRST, ARITY = 3, 3
local target = ARGV[2]

local function move_undelivered(queue, entry, fresh)
  if owner_of(NS .. ':queue:' .. queue, entry) then return false end
  local ready = base_queue(queue) ~= queue and '~' or ''
  return move_entry(queue, entry, fresh, ready .. target)
end

local answers = {}
for at = FIRST, #ARGV, ARITY do
  local queue, entry = ARGV[at], ARGV[at + 1]
  local is_moved = move_from_tenant(entry_id_of(queue, entry), target) or move_undelivered(queue, entry, ARGV[at + 2])
  answers[#answers + 1] = is_moved and 'moved' or 'gone'
end
return answers
