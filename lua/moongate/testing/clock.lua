-- SPDX-License-Identifier: MIT
--
-- Moving the clock of this process: Lua's timers and those of the C core go by it, in every moongate that specs have
-- started.

local _, core = ...
local moongate = require "moongate"
local testing = require("moongate.native").testing()

local clock = {}

-- Rounds of events that what is due is given: for a byte that one side sends to be read, answered, and read again.
local BETWEEN, AT_THE_END, SMALLEST = 4, 16, 0.001

local function settle(rounds)
  for _ = 1, rounds do
    moongate.sleep(0)
  end
end

---Moves the clock on by a duration, from timer to timer, so that one that sets another finds the time that it expects,
---and gives what is due its turn. Waits.
---@param duration number|string seconds, or "500ms", "90s", "5m", "4h", "30d"
function clock.advance(duration)
  local left = core.duration(duration)
  if not left then
    error("bad argument #1 to 'testing.clock.advance' (a duration expected: seconds, or a text such as \"5m\")", 2)
  end
  settle(BETWEEN)
  while left > 0 do
    local step = math.max(testing.next_timer() or left, SMALLEST)
    step = math.min(step, left)
    testing.advance(step)
    left = left - step
    settle(BETWEEN)
  end
  settle(AT_THE_END)
end

---Seconds since the epoch, by this clock.
clock.now = moongate.now

return clock
