-- SPDX-License-Identifier: MIT
--
-- Waiting for a condition within the runtime, for the specs that `moongate test` runs.

local moongate = require("moongate")

local LOOKS, PAUSE = 5000, 0.001

---@param what string named by the error when it does not come within five seconds
---@param is_there fun(): any
return function(what, is_there)
  for _ = 1, LOOKS do
    if is_there() then
      return
    end
    moongate.sleep(PAUSE)
  end
  error("this did not come: " .. what, 2)
end
