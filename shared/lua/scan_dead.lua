-- Looks through a slice of the dead letters for those that fit, and gives as much of each as is asked for.
--
-- A letter's JSON is our own: its record stands first, then `message`, then `resume`. JSON escapes quotes
-- within texts, so `"name":"value"` stands there as a member or not at all, and no JSON needs to be read.
--
-- KEYS[1]  the set of dead letters
-- ARGV     prefix, which come first ('oldest' or 'newest'), the first and the last time of death that are
--          meant (ms), the letter to go on after: its time of death and its id ('' = none), the most
--          letters to look at, the most that may fit, bytes after which to stop, what is given of each
--          ('letter' or 'record'), the filter as JSON: `all`, texts that the record has; `any`, texts of
--          which it has one (if there are any); `none`, texts that it has not; `replays`, more than how often
--          it was replayed (if given)
-- Returns  how many were looked at; time of death and id of the last of them ('' = there are no others);
--          and of each that fits: id, time of death, JSON
local newest_first, first_died, last_died, died, id = ARGV[2] == 'newest', ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local most_looked, most_found, most_bytes = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local whole, filter = ARGV[10] == 'letter', cjson.decode(ARGV[11])

-- The most letters that are read at once, and how many before it is known how large they are.
local CHUNK, FIRST_CHUNK = 64, 8

-- As Redis sorts; Lua's own comparison depends on the locale.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- The rank of the letter to go on after, or of the first behind where it stood; and whether it is there.
local function find()
  local score = redis.call('ZSCORE', KEYS[1], id)
  if score and tonumber(score) == tonumber(died) then return redis.call('ZRANK', KEYS[1], id), true end
  local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. died)
  local high = redis.call('ZCOUNT', KEYS[1], '-inf', died)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(redis.call('ZRANGE', KEYS[1], middle, middle)[1], id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, false
end

-- The ranks that are left to look at, both ends included.
local function ranks_left()
  local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. first_died)
  local high = redis.call('ZCOUNT', KEYS[1], '-inf', last_died) - 1
  if died ~= '' then
    local rank, is_there = find()
    if newest_first then
      high = math.min(high, rank - 1)
    else
      low = math.max(low, is_there and rank + 1 or rank)
    end
  end
  return low, high
end

local function has(text, part) return string.find(text, part, 1, true) ~= nil end

local function fits(record, text)
  for _, part in ipairs(filter.all) do
    if not has(record, part) then return false end
  end
  for _, part in ipairs(filter.none) do
    if has(record, part) then return false end
  end
  local any = #filter.any == 0
  for _, part in ipairs(filter.any) do any = any or has(record, part) end
  if not any or not filter.replays then return any end
  local at = string.find(text, ',"resume":', #record, true)
  local replays = at and string.match(text, '"replays":(%d+)', at)
  return tonumber(replays or 0) < filter.replays
end

local bottom, top = ranks_left()
local total = math.max(top - bottom + 1, 0)
local rank, step = newest_first and top or bottom, newest_first and -1 or 1
local looked, rest, bytes, answer = 0, math.min(total, most_looked), 0, {0, '', ''}

while rest > 0 and bytes < most_bytes and #answer < 3 + 3 * most_found do
  local count = FIRST_CHUNK
  if looked > 0 then count = math.floor((most_bytes - bytes) / math.max(bytes / looked, 1)) end
  count = math.max(1, math.min(count, CHUNK, rest))
  local till = rank + step * (count - 1)
  local some = redis.call('ZRANGE', KEYS[1], math.min(rank, till), math.max(rank, till), 'WITHSCORES')
  local ids = {}
  for i = 1, count do ids[i] = some[2 * i - 1] end
  local texts = redis.call('HMGET', P .. ':dead:jobs', unpack(ids))
  for n = 1, count do
    local i = newest_first and count - n + 1 or n
    local text = texts[i]
    looked, rest, rank = looked + 1, rest - 1, rank + step
    answer[2], answer[3] = some[2 * i], ids[i]
    if text then
      bytes = bytes + #text
      local cut = string.find(text, ',"message":', 1, true)
      local record = cut and string.sub(text, 1, cut - 1) .. '}' or text
      if fits(record, text) then
        local at = #answer
        answer[at + 1], answer[at + 2], answer[at + 3] = ids[i], some[2 * i], whole and text or record
        if #answer >= 3 + 3 * most_found then break end
      end
    end
  end
end
answer[1] = looked
if looked == total then answer[2], answer[3] = '', '' end
return answer
