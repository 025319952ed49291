-- Stores dead letters of earlier versions, which stored them by job id, by entry id. A dead letter says its entry id in
-- its member `place`.
--
-- KEYS[1]  `{ns}:dead`
-- ARGV     1 namespace, 2 the most to scan
-- Returns  how many were stored anew
-- Writes   `{ns}:dead`, `{ns}:dead:jobs`, `{ns}:dead:ids`
-- Repeat   safe: they are stored by entry id
-- Bound    a few commands for each of the oldest ARGV 2; two when all are stored by entry id
local index, rekeyed = NS .. ':dead:ids', 0
if redis.call('ZCARD', KEYS[1]) == redis.call('ZCARD', index) then return 0 end
local oldest = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
for i = 1, #oldest, 2 do
  local key, died = oldest[i], oldest[i + 1]
  local text = redis.call('HGET', NS .. ':dead:jobs', key)
  local id, entry_id = string.match(text or '', '^{"id":"([^"]+)","place":"([^"]+)"')
  if id == key and not redis.call('ZSCORE', index, id .. ' ' .. entry_id) then
    redis.call('ZREM', KEYS[1], key)
    redis.call('HDEL', NS .. ':dead:jobs', key)
    redis.call('ZADD', KEYS[1], died, entry_id)
    redis.call('HSET', NS .. ':dead:jobs', entry_id, text)
    index_entry(index, id, entry_id)
    rekeyed = rekeyed + 1
  end
end
return rekeyed
