-- SPDX-License-Identifier: MIT
--
-- require "socket" in route files: LuaSocket's own socket.lua, on a socket.core of ours (luasocket/core.lua).

local _, core = ...
local sockets = require "moongate.luasocket.tcp"

local socket = core.search "socket" "socket"
socket.bind = sockets.refuse "socket.bind"

return socket
