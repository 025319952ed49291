-- Decides an open review, or withdraws it, and releases the job that waits for it. The first decision counts.
--
-- KEYS[1]  `{ns}:reviews`
-- ARGV     1 namespace, 2 review id (the id of its job), 3 when it was asked (ms), 4 its new state, 5 the decision (JSON),
--          6 event, 7 seconds that the decision is kept
-- Returns  {'ok'}; {'decided', decision}: an earlier decision counts, nothing is done; {'cancelled'}: the cancellation of
--          the job is requested, nothing is done; {'gone'}: no such review is open, nothing is done
-- Writes   `{ns}:reviews`, `{ns}:reviews:parked`, `{ns}:review:ID`, `{ns}:alerts`, `{ns}:alerts:due`, event; of a parked
--          job: lane, parked job, stream, checkpoint
-- Repeat   safe: the second call gets the decision of the first ('decided')
-- Bound    constant
local id, asked, state = ARGV[2], ARGV[3], ARGV[4]
local key = NS .. ':review:' .. id
local last = redis.call('HMGET', key, 'asked', 'decision')
if last[1] == asked then return {'decided', last[2]} end
local open_asked, entry_id = open_review(id)
if open_asked ~= asked then return {'gone'} end
if state ~= 'withdrawn' and redis.call('ZSCORE', NS .. ':cancelled', id) then return {'cancelled'} end
redis.call('HDEL', KEYS[1], id)
redis.call('HDEL', NS .. ':reviews:parked', id)
redis.call('HSET', key, 'asked', asked, 'decision', ARGV[5])
redis.call('EXPIRE', key, ARGV[7])
-- Nobody is waited for any more.
local alert = review_alert_id(id, asked)
redis.call('HDEL', NS .. ':alerts', alert)
redis.call('ZREM', NS .. ':alerts:due', alert)
emit(ARGV[6])
redis.call('ZREM', NS .. ':lane:time', entry_id)
release(entry_id)
return {'ok'}
