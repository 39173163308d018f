-- SPDX-License-Identifier: MIT
--
-- require "socket.unix": a function that makes a unix stream socket, and a table, as both are in use.

local core = require "socket.core"

return setmetatable({ stream = core._unix, tcp = core._unix }, {
  __call = function()
    return core._unix()
  end,
})
