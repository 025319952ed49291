-- Bumps a job that no worker has: moves it to the end of its queue's stream `~NAME`, which workers read before the new
-- entries of the queue and before the jobs that wait for the turns of their tenants. It takes no turn from its tenant.
--
-- KEYS[1]  `{ns}:parked`
-- ARGV     1 namespace, 2 its queue (`NAME` or `~NAME`), 3 its entry, or the one that it was parked from, 4 the checkpoint
--          of a job that has none yet
-- Returns  'bumped'; 'first': it was released, handed back or bumped before, so workers take it before those already;
--          'gone': it is no longer there, or a worker has it
-- Writes   the streams of the queue, parked job, `{ns}:lane:tenant:QUEUE:TENANT`, checkpoints
-- Repeat   safe: a bumped job is 'first' under its new entry id, 'gone' under the one before
-- Bound    a few commands, one of them for each job in the lane of the tenant
local queue, entry = ARGV[2], ARGV[3]
local stream, ready = NS .. ':queue:' .. queue, '~' .. base_queue(queue)
if move_from_tenant(entry_id_of(queue, entry), ready) then return 'bumped' end
local owner = owner_of(stream, entry)
if owner and owner ~= RETURNED then return 'gone' end
if owner or queue == ready then
  return #redis.call('XRANGE', stream, entry, entry) > 0 and 'first' or 'gone'
end
return move_entry(queue, entry, ARGV[4], ready) and 'bumped' or 'gone'
