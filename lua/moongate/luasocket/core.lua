-- SPDX-License-Identifier: MIT
--
-- "socket.core", on which LuaSocket's socket.lua stands: its TCP client interface on moongate's sockets, so that client
-- libraries written for LuaSocket run as they are, and wait without holding up their worker. Listening is a route's
-- business, and UDP is not there: both raise, and say so.

local _, core = ...
local moongate = require "moongate"
local names = require "moongate.luasocket.names"
local sockets = require "moongate.luasocket.tcp"

local socket = {
  _VERSION = "LuaSocket 3.1.0 (moongate " .. core.version .. ")",
  _SETSIZE = 1024,
  _SOCKETINVALID = -1,
  _DATAGRAMSIZE = 8192,
  dns = {},
}

socket.gettime = moongate.now

function socket.sleep(seconds)
  if not tonumber(seconds) then
    local got = seconds == nil and "no value" or type(seconds)
    error(("bad argument #1 to 'sleep' (number expected, got %s)"):format(got), 2)
  end
  moongate.sleep(math.min(math.max(tonumber(seconds), 0), 1e9))
end

for _, name in ipairs { "udp", "udp4", "udp6" } do
  socket[name] = function()
    error("socket." .. name .. " is not offered in moongate: there are TCP and unix sockets", 2)
  end
end

function socket.tcp()
  return sockets.new "tcp"
end

function socket.tcp4()
  return sockets.new("tcp", "inet")
end

function socket.tcp6()
  return sockets.new("tcp", "inet6")
end

-- For require "socket.unix".
function socket._unix()
  return sockets.new "unixstream"
end

local FAMILIES = { unspec = false, inet = "inet", inet6 = "inet6" }

-- A local address and port come first, as the manual has it.
function socket.connect(host, port, local_host, local_port, family)
  local wanted = FAMILIES[family == nil and "unspec" or family]
  if wanted == nil then
    error(("bad argument #5 to 'connect' (invalid option '%s')"):format(tostring(family)), 2)
  end
  local self, err = sockets.new("tcp", wanted or nil)
  if self and local_host then
    local ok
    ok, err = self:bind(local_host, local_port or "0")
    self = ok and self or nil
  end
  if not self then
    return nil, err
  end
  local ok
  ok, err = self:connect(host, port)
  if not ok then
    self:close()
    return nil, err
  end
  return self
end

-- Those of a list that can be selected, and where in it they stand.
local function selectable(list, place)
  if list ~= nil and type(list) ~= "table" then
    error(("bad argument #%d to 'select' (table expected, got %s)"):format(place, type(list)), 3)
  end
  local found, given, seen = {}, {}, {}
  for _, one in ipairs(list or {}) do
    local socket_of = sockets.selectable(one)
    if socket_of and not seen[socket_of] then
      seen[socket_of] = true
      found[#found + 1], given[#given + 1] = socket_of, one
    end
  end
  return found, given
end

-- The ready ones in order, and by themselves where they stand.
local function chosen(given, places)
  local list = {}
  for i, place in ipairs(places) do
    list[i], list[given[place]] = given[place], i
  end
  return list
end

function socket.select(readers, writers, timeout)
  timeout = timeout and tonumber(timeout)
  local reading, read_as = selectable(readers, 1)
  local writing, written_as = selectable(writers, 2)
  local readable, writable = core.select(reading, writing, timeout and timeout >= 0 and timeout or nil)
  if not readable then
    error("select failed", 2)
  end
  readable, writable = chosen(read_as, readable), chosen(written_as, writable)
  if #readable == 0 and #writable == 0 then
    return readable, writable, "timeout"
  end
  return readable, writable
end

function socket.dns.getaddrinfo(name)
  return names.addresses(name)
end

-- The address asked for, and all that is known of it.
local function resolved(name, addresses)
  local list = {}
  for i, one in ipairs(addresses) do
    list[i] = one.addr
  end
  return { name = name, alias = {}, ip = list }
end

local function not_found(err)
  return err:find "not known" and "host not found" or err
end

function socket.dns.toip(name)
  local addresses, err = names.addresses(tostring(name), "inet")
  if not addresses then
    return nil, not_found(err)
  end
  return addresses[1].addr, resolved(name, addresses)
end

function socket.dns.tohostname(name)
  local addresses, err = names.addresses(tostring(name))
  if not addresses then
    return nil, not_found(err)
  end
  if addresses[1].addr == name then
    name, err = core.name_of(name)
  end
  if not name then
    return nil, not_found(err)
  end
  return name, resolved(name, addresses)
end

-- A list of names, one for each address, and the service's; numbers where there is no name.
function socket.dns.getnameinfo(host, service)
  if not host and not service then
    error("host and serv cannot be both nil", 2)
  end
  local addresses, port, err = {}, nil, nil
  if service then
    port, err = names.port(tostring(service))
  end
  if host and not err then
    addresses, err = names.addresses(tostring(host))
  end
  if err then
    return nil, err
  end
  local list = {}
  for i, one in ipairs(addresses) do
    list[i] = core.name_of(one.addr) or one.addr
  end
  if port then
    return list, core.service(port) or tostring(port)
  end
  return list
end

function socket.dns.gethostname()
  local file = io.open "/proc/sys/kernel/hostname"
  local name = file and file:read "*l"
  if file then
    file:close()
  end
  return name or "localhost"
end

-- What try() raises and protect() takes for a result; a table of this kind and no other.
local exception = { __metatable = false }
local exceptions = setmetatable({}, { __mode = "k" })

function socket.newtry(finalizer)
  return function(...)
    if (...) then
      return ...
    end
    if finalizer then
      finalizer()
    end
    local err = setmetatable({ (select(2, ...)) }, exception)
    exceptions[err] = true
    error(err, 0)
  end
end

local function unprotect(ok, ...)
  if ok then
    return ...
  end
  local err = ...
  if type(err) == "table" and exceptions[err] then
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
  return select(math.max(count, 0) + 1, ...)
end

return socket
