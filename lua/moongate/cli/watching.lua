-- SPDX-License-Identifier: MIT
--
-- The option --watch: a command's answer again and again, on a terminal in its place, elsewhere one behind the other,
-- until it is interrupted or nobody answers any more.

local native = require("moongate.native")

local watching = {}

local EVERY = "2s"
local LEAST_ROWS, OTHER_ROWS = 5, 4 -- what else stands beside a table's rows: its head, and what is said below

function watching.define(command)
  local text = require("moongate.text")
  command:option("--watch", ("Again and again, every TIME (default: %s), until interrupted."):format(EVERY))
    :argname("TIME"):args("?")
    :convert(function(word)
      local ms = text.duration(tonumber(word) or word)
      if not ms or ms < 100 then
        return nil, ("--watch: expected a duration of 100ms or more, got '%s'"):format(word)
      end
      return ms / 1000
    end)
    :action(function(result, _, values)
      result.watch = type(values) == "table" and values[1] or type(values) == "number" and values or 2
    end)
end

---Shows for ever. `show` is told how many rows there is room for (nil: any), and returns the exit status, and whether
---to go on. Returns the exit status.
---@param seconds number
---@param plain boolean nothing but what is shown is written
---@param show fun(rows: integer|nil): integer, boolean
---@return integer
function watching.run(seconds, plain, show)
  local moongate, first = require("moongate"), true
  while true do
    local rows = native.defaults().rows -- of the terminal that it is now
    if not plain and rows then
      io.stdout:write("\27[H\27[2J")
    elseif not plain and not first then
      io.stdout:write("\n")
    end
    local status, goes_on = show(rows and not plain and math.max(LEAST_ROWS, rows - OTHER_ROWS) or nil)
    if not goes_on or not io.stdout:flush() then
      return status ~= 0 and status or goes_on and 1 or 0
    end
    first = false
    moongate.sleep(seconds)
  end
end

return watching
