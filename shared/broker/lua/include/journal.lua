-- The journal `{ns}:inflight`: which attempt runs at an entry id. It is the fence of running attempts.
--
-- A value is `ATTEMPT WORKER KEY_BYTES RESERVATION_BYTES ` followed by, without separators, the concurrency key,
-- the reservation, and the event to write if the worker dies. ATTEMPT is `-` between two attempts; then the event
-- is replaced by the id of the attempt that failed. Workers send the value ready-made (`JournalEntry` in Rust):
-- building it here, for each attempt, is slow because Lua hashes every string that a script creates.
--
-- Beside it, also by entry id: `{ns}:checkpoints` (what is kept of a job between attempts), `{ns}:crashes` (how many
-- workers died while they ran it) and `{ns}:unbegun` (how many died before they began it).
--
-- Needs     entries
-- Provides  parse_journal_value, is_attempt, passes_fence, forget_entry

-- Attempt, worker, concurrency key, reservation, event.
local function parse_journal_value(value)
  local attempt, worker, key_length, reservation_length, rest =
    string.match(value, '^(%S+) (%S+) (%d+) (%d+) (.*)$')
  key_length, reservation_length = tonumber(key_length), tonumber(reservation_length)
  local reservation_end = key_length + reservation_length
  return attempt, worker, string.sub(rest, 1, key_length),
    string.sub(rest, key_length + 1, reservation_end), string.sub(rest, reservation_end + 1)
end

-- Whether a journal value (nil or false = none) is that of the attempt.
local function is_attempt(value, attempt)
  return value and string.sub(value, 1, #attempt) == attempt
end

-- Whether the caller still has the job: the journal holds its attempt, or, before an attempt (''), the entry is
-- pending for its worker.
local function passes_fence(stream, entry, entry_id, attempt, worker)
  if attempt == '' then return owner_of(stream, entry) == worker end
  return is_attempt(redis.call('HGET', NS .. ':inflight', entry_id), attempt)
end

-- Deletes all that is stored under an entry id.
local function forget_entry(entry_id)
  redis.call('HDEL', NS .. ':inflight', entry_id)
  redis.call('HDEL', NS .. ':checkpoints', entry_id)
  redis.call('HDEL', NS .. ':crashes', entry_id)
  redis.call('HDEL', NS .. ':unbegun', entry_id)
end
