-- SPDX-License-Identifier: MIT
--
-- A server for clients to be tried on: `luajit luasocket_server.lua PORT`. The first line of a connection is a program,
-- which has the rest of the connection as `data`, in a process of its own; stay() is to do nothing until the server is
-- ended. Stands on Debian's LuaSocket.

local socket = require "socket"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

local server = assert(socket.bind("127.0.0.1", arg[1]))
server:settimeout(0.2)

local own = unistd.getpid()

local function stay()
  while unistd.getppid() == own do
    socket.sleep(0.1)
  end
end

local function serve(data)
  data:setoption("tcp-nodelay", true)
  local program = assert(loadstring(assert(data:receive())))
  setfenv(program, setmetatable({ data = data, socket = socket, stay = stay }, { __index = _G }))()
  data:close()
end

while true do
  local data = server:accept()
  if data then
    if unistd.fork() == 0 then
      server:close()
      pcall(serve, data)
      os.exit(0)
    end
    data:close()
  end
  repeat
    local pid = wait.wait(-1, wait.WNOHANG)
  until not pid or pid == 0
end
