-- Retries of lanes: jobs that are parked for the limit of one platform are tried again when another one may have room.
--
-- A job is parked in one lane, that of the candidate that had room first by what was known then. `{ns}:lanes:retry` is
-- a sorted set of reasons to look again, by time (ms): a circuit that closed, a hold of an account or a window that
-- ends, a lane that ran empty, a configuration that a worker applied. release_lanes.lua then releases the first job of
-- each lane, then 2, 4, … until one comes back to its lane.
--
-- Provides  RECONFIGURED, retry_lanes

-- The reason that is one for the lanes of all limits, and not only of accounts.
local RECONFIGURED = 'configuration'

-- Has lanes tried again at `at` (ms) for this reason, at the latest.
local function retry_lanes(reason, at)
  if redis.call('EXISTS', NS .. ':lanes:due') == 0 then return end
  if redis.call('ZADD', NS .. ':lanes:retry', 'LT', 'CH', string.format('%.0f', at), reason) == 1 then
    wake_scheduler()
  end
end
