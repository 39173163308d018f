-- SPDX-License-Identifier: MIT
--
-- require "socket.unix": a function that makes a unix stream socket, and a table, as both are in use.

local socket = require "socket"

return setmetatable({ stream = socket._unix, tcp = socket._unix }, {
  __call = function()
    return socket._unix()
  end,
})
