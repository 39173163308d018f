-- SPDX-License-Identifier: MIT
--
-- "socket.core", on which LuaSocket's socket.lua stands: its TCP client interface on moongate's sockets, so that client
-- libraries written for LuaSocket run as they are, and wait without holding up their worker. Listening is a route's
-- business, and UDP is not there: both raise, and say so.

local _, core = ...
local moongate = require "moongate"
local sockets = require "moongate.luasocket.tcp"

local socket = {
  _VERSION = "LuaSocket 3.1.0 (moongate " .. core.version .. ")",
  _DEBUG = false,
  _SETSIZE = 1024,
  _DATAGRAMSIZE = 8192,
  dns = {},
}

socket.gettime = moongate.now

function socket.sleep(seconds)
  moongate.sleep(math.max(seconds, 0))
end

for _, name in ipairs { "udp", "udp4", "udp6" } do
  socket[name] = function()
    error("socket." .. name .. " is not offered in moongate: there are TCP and unix sockets", 2)
  end
end

function socket.tcp()
  return sockets.new "tcp"
end
socket.tcp4, socket.tcp6 = socket.tcp, socket.tcp

-- For require "socket.unix".
function socket._unix()
  return sockets.new "unix"
end

function socket.connect(host, port)
  local self = sockets.new "tcp"
  local ok, err = self:connect(host, port)
  if not ok then
    return nil, err
  end
  return self
end
socket.connect4, socket.connect6 = socket.connect, socket.connect

local STEP = 0.01

-- Looks at the sockets in turn until one of them can be read; those to be written are taken to be ready, because
-- send() waits without holding anybody up.
function socket.select(readers, writers, timeout)
  local due = timeout and timeout >= 0 and moongate.now() + timeout
  local writable = {}
  for i, one in ipairs(writers or {}) do
    writable[i], writable[one] = one, true
  end
  while true do
    local readable = {}
    for _, one in ipairs(readers or {}) do
      if sockets.is_readable(one) then
        readable[#readable + 1], readable[one] = one, true
      end
    end
    if #readable > 0 or #writable > 0 then
      return readable, writable
    end
    local left = due and due - moongate.now() or STEP
    if left <= 0 then
      return readable, writable, "timeout"
    end
    moongate.sleep(math.min(left, STEP))
  end
end

local function family_of(address)
  return address:find(":", 1, true) and "inet6" or "inet"
end

function socket.dns.getaddrinfo(name)
  local addresses, err = moongate.resolve(name)
  if not addresses then
    return nil, err
  end
  local list = {}
  for i, address in ipairs(addresses) do
    list[i] = { addr = address, family = family_of(address) }
  end
  return list
end

function socket.dns.toip(name)
  local addresses, err = moongate.resolve(name)
  if not addresses then
    return nil, err
  end
  local first = addresses[1]
  for _, address in ipairs(addresses) do
    if family_of(address) == "inet" then
      first = address -- LuaSocket's toip is of IPv4
      break
    end
  end
  return first, { name = name, alias = {}, ip = addresses }
end

function socket.dns.tohostname()
  return nil, "names of addresses are not looked up"
end

socket.dns.getnameinfo = socket.dns.tohostname

function socket.dns.gethostname()
  local file = io.open "/proc/sys/kernel/hostname"
  local name = file and file:read "*l"
  if file then
    file:close()
  end
  return name or "localhost"
end

-- What try() raises and protect() takes for a result; a table of this kind and no other.
local exception = {}

function exception:__tostring()
  return tostring(self[1])
end

function socket.newtry(finalizer)
  return function(...)
    if (...) then
      return ...
    end
    if finalizer then
      pcall(finalizer)
    end
    error(setmetatable({ (select(2, ...)) }, exception), 0)
  end
end

local function unprotect(ok, ...)
  if ok then
    return ...
  end
  local err = ...
  if getmetatable(err) == exception then
    return nil, err[1]
  end
  error(err, 0)
end

function socket.protect(fn)
  return function(...)
    return unprotect(pcall(fn, ...))
  end
end

function socket.skip(count, ...)
  return select(count + 1, ...)
end

return socket
