-- Recovers entries of a dead worker for the next one: attempts that had begun are recorded as lost and count as crashes
-- of their jobs. Of the other entries `{ns}:unbegun` counts how many workers died with them: a message may be so large
-- that a worker dies before it begins the job.
--
-- A worker is dead when its heartbeat was missing at every check for some time, by the server's clock. One missing
-- heartbeat proves nothing: while Redis stalls or restarts, the keys of all workers expire, and none could renew its own.
-- `{ns}:workers:missing` has, by worker, the times (ms) of the first and of the last check that missed it, and the run
-- of the server; a heartbeat deletes the field. After a restart of the server, or a long time without a check, which
-- may have been a stall, the time starts again.
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 worker, 4 the most entries, 5 how long its heartbeat must be missing (ms)
-- Returns  {entries recovered, attempts lost}, or {-1, 0}: the worker is alive, or not known to be dead yet
-- Writes   the stream's pending list, the journal, meters, events, `{ns}:crashes`, `{ns}:unbegun`,
--          `{ns}:workers:missing`; deletes the consumer once it has nothing left
-- Repeat   safe, also from two leaders: the heartbeat is checked here, and what was recovered is no longer the
--          worker's
-- Bound    a few commands an entry and meter
-- The longest time between two checks (ms); schedulers check every 2 s.
local MOST_BETWEEN = 5000
local queue, worker, count, least = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local function is_dead()
  if redis.call('EXISTS', NS .. ':worker:' .. worker) == 1 then return false end
  if least == 0 then return true end
  local missing, now = NS .. ':workers:missing', now_ms()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local first, last, seen_run = string.match(redis.call('HGET', missing, worker) or '', '^(%d+) (%d+) (%S+)$')
  first, last = tonumber(first or now), tonumber(last or now)
  -- 0: the worker said that it ends.
  if first > 0 and (now - last > MOST_BETWEEN or seen_run ~= run) then first = now end
  redis.call('HSET', missing, worker, string.format('%.0f %.0f %s', first, now, run))
  redis.call('EXPIRE', missing, 3600)
  return now - first >= least
end

if not is_dead() then return {-1, 0} end
local recovered, lost = 0, 0
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], GROUP, '-', '+', count, worker)) do
  local entry = pending[1]
  local entry_id = entry_id_of(queue, entry)
  local value = redis.call('HGET', NS .. ':inflight', entry_id)
  if value then
    local attempt, _, _, reservation, event = parse_journal_value(value)
    if attempt ~= '-' then
      consume(reservation, entry_id, '')
      emit(event)
      redis.call('HINCRBY', NS .. ':crashes', entry_id, 1)
      lost = lost + 1
    end
    redis.call('HDEL', NS .. ':inflight', entry_id)
  else
    redis.call('HINCRBY', NS .. ':unbegun', entry_id, 1)
  end
  redis.call('XCLAIM', KEYS[1], GROUP, RETURNED, 0, entry, 'JUSTID')
  recovered = recovered + 1
end
if recovered == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], GROUP, worker) end
return {recovered, lost}
