-- Fans a step out: its items become ready. Of very many items, all but the last ones are stored before
-- (chain_prepare_items.lua).
--
-- KEYS[1]  the queue's stream
-- ARGV     1 namespace, 2 queue, 3 entry, 4 worker, 5 chain id, 6 step, 7 number of items, then of each
--          item that is not stored: instance (`STEP/INDEX`), checkpoint
-- Returns  'ok'; 'more': ready items are left to dispatch; 'gone': the entry is not the worker's, or the step has
--          fanned out
-- Writes   stream, the journal, checkpoints, crashes, `{ns}:chain:ID…`, of its end also events and results
-- Repeat   safe: the entry is no longer the worker's ('gone')
-- Bound    one command an item, chain_dispatch.lua's
local FIRST = 8
local queue, entry, worker, id, name, count = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
if owner_of(KEYS[1], entry) ~= worker then return 'gone' end
local key = chain_key(id)
remove_entries(KEYS[1], {entry})
forget_entry(entry_id_of(queue, entry))
if redis.call('HDEL', key .. ':running', name) == 0 then return 'gone' end
redis.call('HSET', key, 't:' .. name, count)
local record = step_record(key, name)
if record and record[6] == '1' then redis.call('HSET', key, 'e:' .. name, record[4]) end
-- A step that runs again after a failure may have ended before.
if count == 0 then end_step(id, name, 'completed', redis.call('HGET', key, 's:' .. name), record) end
put_items(key, FIRST)
for i = 0, count - 1 do redis.call('RPUSH', key .. ':ready', name .. '/' .. i) end
return proceed(id) and 'more' or 'ok'
