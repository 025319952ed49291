-- Hands an entry back at once for the next worker; it keeps its entry id and its slot. A caller without an attempt that
-- finds one in the journal has settled it, and the server lost that step: the attempt is recorded as lost, as if the
-- worker had died.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 entry, 4 worker, 5 attempt id ('' = none began), 6 event ('' = none),
--          7 checkpoint ('' = leave what is stored), 8 usage (see consumption.lua)
-- Returns  'ok', or 'gone': another worker has the job, an attempt is recorded as a duplicate
-- Writes   the event, meters, the journal, `{ns}:checkpoints`, the stream's pending list; a returned slot of a limit
--          releases a job
-- Repeat   safe: the entry is no longer the worker's ('gone'); the ledger keeps the first record of the attempt
-- Bound    a few commands a meter
local queue, entry, worker, attempt, event, checkpoint, usage =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local stream, entry_id = KEYS[1], entry_id_of(queue, entry)
if not passes_fence(stream, entry, entry_id, attempt, worker) then
  if attempt ~= '' then emit_duplicate(event) end
  return 'gone'
end
local journaled = redis.call('HGET', NS .. ':inflight', entry_id)
if journaled and attempt == '' then
  local begun, _, _, _, lost = parse_journal_value(journaled)
  if begun ~= '-' then event = lost end
end
emit(event)
consume_journaled(entry_id, journaled, attempt, usage)
redis.call('HDEL', NS .. ':inflight', entry_id)
if checkpoint ~= '' then redis.call('HSET', NS .. ':checkpoints', entry_id, checkpoint) end
redis.call('XCLAIM', stream, GROUP, RETURNED, 0, entry, 'JUSTID')
return 'ok'
