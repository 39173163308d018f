-- SPDX-License-Identifier: MIT
--
-- A socket of require "socket": LuaSocket's TCP client object around one of moongate's. What waits is that one's.

local moongate = require "moongate"

-- A socket is a table before it is connected and after: what LuaSocket calls master, client and closed.
local tcp = {} -- its methods
tcp.__index = tcp
tcp.__name = "tcp"

local sockets = {}

---@param kind "tcp"|"unix"
function sockets.new(kind)
  return setmetatable({ kind = kind, timeouts = {} }, tcp)
end

function tcp:__tostring()
  return ("tcp{%s}: %s"):format(self.inner and "client" or self.closed and "closed" or "master", tostring(self.inner))
end

-- What connect() may take: the smaller of the timeouts that are set.
local function connect_timeout(self)
  local least
  for _, seconds in pairs(self.timeouts) do
    if seconds and seconds > 0 and (not least or seconds < least) then
      least = seconds
    end
  end
  return least
end

local function adopt(self, inner)
  self.inner = inner
  for mode, seconds in pairs(self.timeouts) do
    inner:settimeout(seconds or nil, mode)
  end
  for name, value in pairs(self.options or {}) do
    inner:setoption(name, value)
  end
end

function tcp:connect(host, port)
  if self.inner then
    return nil, "already connected"
  end
  if self.closed then
    return nil, "closed"
  end
  if self.kind == "unix" then
    host, port = "unix:" .. host, nil
  else
    port = tonumber(port) or port
  end
  local inner, err = moongate.connect(host, port, { timeout = connect_timeout(self) })
  if not inner then
    return nil, err
  end
  adopt(self, inner)
  return 1
end

local MODES = { b = "b", block = "b", t = "t", total = "t", r = "t" }

function tcp:settimeout(seconds, mode)
  local word = MODES[mode or "b"]
  if not word then
    error("bad argument #2 to 'settimeout' (invalid timeout mode)", 2)
  end
  seconds = seconds and seconds >= 0 and seconds or false
  self.timeouts[word] = seconds
  if self.inner then
    self.inner:settimeout(seconds or nil, word)
  end
  return 1
end

function tcp:gettimeout()
  return self.timeouts.b or nil, self.timeouts.t or nil
end

-- Options of a socket that is not connected yet are kept for then.
function tcp:setoption(name, ...)
  if name == "linger" or name == "reuseport" or name == "ipv6-v6only" then
    return 1 -- what was sent goes out in any case; the others are a listener's
  end
  if self.inner then
    return self.inner:setoption(name, ...)
  end
  self.options = self.options or {}
  self.options[name] = select("#", ...) == 0 or ...
  return 1
end

function tcp:getoption(name)
  if self.inner then
    return self.inner:getoption(name)
  end
  return self.options and self.options[name]
end

-- LuaSocket closes once; again is no error.
function tcp:close()
  self.closed = true
  if self.inner then
    self.inner:close()
  end
  return 1
end

function tcp:getfd()
  return -1 -- the event loop's own
end

-- Whether something has been read that the script has not taken.
function tcp:dirty()
  return false
end

tcp.setpeername = tcp.connect

for _, name in ipairs { "send", "receive", "getpeername", "getsockname", "shutdown", "getstats", "starttls", "peek" } do
  tcp[name] = function(self, ...)
    local inner = self.inner
    if not inner then
      return nil, self.closed and "closed" or "Transport endpoint is not connected"
    end
    return inner[name](inner, ...)
  end
end

function tcp:setstats()
  return nil, "setstats is not offered"
end

--- Whether receive() would not wait, for select().
function sockets.is_readable(self)
  local inner = self.inner
  if not inner then
    return self.closed
  end
  inner:settimeout(0)
  local _, err = inner:peek(1)
  inner:settimeout(nil)
  for mode, seconds in pairs(self.timeouts) do
    inner:settimeout(seconds or nil, mode)
  end
  return err ~= "timeout"
end

--- A function that raises: what is a listener's.
function sockets.refuse(what)
  return function()
    error(what .. " is not offered in moongate: a route listens (match.ports), and its handler gets the socket", 2)
  end
end

for _, name in ipairs { "bind", "listen", "accept" } do
  tcp[name] = sockets.refuse("socket:" .. name)
end

return sockets
