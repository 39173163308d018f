-- SPDX-License-Identifier: MIT
--
-- The objects of require "socket": LuaSocket's TCP and unix stream sockets, with its answers. One is first a socket
-- that is only open (bind_open.c), or nothing yet, and once it is connected one of moongate's, which does what waits.

local _, core = ...
local moongate = require "moongate"
local names = require "moongate.luasocket.names"
local options = require "moongate.luasocket.options"

local tcp = {} -- the methods
local sockets = {}

-- What LuaSocket calls a class: what an object is at present. Its methods are the same.
local classes = {}
for _, kind in ipairs { "tcp", "unixstream" } do
  for _, state in ipairs { "master", "client" } do
    local class = ("%s{%s}"):format(kind, state)
    classes[class] = {
      __index = setmetatable({ class = class }, { __index = tcp }),
      __tostring = function(self)
        return class .. ": " .. tostring(self.inner or self.opened or self.address):match "[^ ]+$"
      end,
    }
  end
end

-- By descriptor: what select() is given may be known by that alone.
local by_descriptor = setmetatable({}, { __mode = "v" })

local function set_class(self, state)
  setmetatable(self, classes[("%s{%s}"):format(self.kind, state)])
end

local function check_class(self, state, name)
  local wanted = ("%s{%s}"):format(type(self) == "table" and self.kind or "tcp", state)
  if type(self) ~= "table" or self.class ~= wanted then
    error(("calling '%s' on bad self (%s expected)"):format(name, wanted), 3)
  end
end

-- A string, or a number as one.
local function check_string(value, place, name)
  if type(value) ~= "string" and type(value) ~= "number" then
    local got = value == nil and "no value" or type(value)
    error(("bad argument #%d to '%s' (string expected, got %s)"):format(place, name, got), 3)
  end
  return tostring(value)
end

-- The same as far as C reads it.
local function check_text(value, place, name)
  return check_string(value, place, name):match "^[^%z]*"
end

---@param kind "tcp"|"unixstream"
---@param family? "inet"|"inet6"
function sockets.new(kind, family)
  local self = { kind = kind, family = family, block = -1, total = -1, stored = {}, address = tostring {} }
  set_class(self, "master")
  if kind == "unixstream" or family then
    local err = sockets.open(self, family or "unix")
    if err then
      return nil, err
    end
  end
  return self
end

-- Gives it a descriptor; what is wrong, or nil.
function sockets.open(self, family)
  local opened, err = core.open_socket(family)
  if not opened then
    return err
  end
  self.opened = opened
  by_descriptor[opened:getfd()] = self
  for name, value in pairs(self.stored) do
    options.apply(opened, name, value)
  end
end

-- The timeout of the whole call, and of each step of it. A step's alone is the whole call's, too.
local function timeouts(self)
  local block, total = self.block >= 0 and self.block or nil, self.total >= 0 and self.total or nil
  if block and total then
    return total, block
  end
  return total or block, block == 0 and 0 or nil
end

local function set_timeouts(self)
  if self.inner then
    local call, step = timeouts(self)
    self.inner:settimeout(call)
    self.inner:settimeout(step, "b")
  end
end

-- From now on `inner` is what it stands for.
local function become(self, inner)
  self.inner, self.opened, self.connecting, self.failed, self.reads_on = inner, nil, nil, nil, true
  by_descriptor[inner:getfd()] = self
  core.connected_state(inner, true)
  self.before = self.before or { 0, 0, 0 }
  if self.kind == "tcp" then
    self.family = select(3, inner:getsockname()) or self.family
  end
  for name, value in pairs(self.stored) do
    options.apply(inner, name, value)
  end
  set_timeouts(self)
  return 1
end

local function adopt_opened(self)
  local inner, err = self.opened:become()
  if not inner then
    return nil, err
  end
  return become(self, inner)
end

-- One that may be used: connected, or about to be. Else nil and why not.
local function connected(self)
  if self.connecting then
    adopt_opened(self)
  end
  if self.inner then
    return self.inner
  end
  return nil, (self.opened or self.failed) and "Transport endpoint is not connected" or "closed"
end

local function wait_for_connection(self)
  local seconds = timeouts(self)
  local _, writable = core.select({}, { self.opened }, seconds)
  if not writable or #writable == 0 then
    return nil, "timeout"
  end
  return self.opened:connected()
end

-- One address, on a descriptor that there is.
local function connect_to(self, address, port)
  local ok, err = self.opened:connect(address, port)
  if ok == false then
    self.connecting = true
    if self.block == 0 then
      return nil, "timeout"
    end
    ok, err = wait_for_connection(self)
    self.connecting = err == "timeout" or nil
  end
  if ok then
    return adopt_opened(self)
  end
  return nil, err
end

local function connect_each(self, host, port)
  local addresses, err = names.addresses(host, self.family)
  if not addresses then
    return nil, err
  end
  for _, one in ipairs(addresses) do
    err = not self.opened and sockets.open(self, one.family) or nil
    if not err then
      local ok
      ok, err = connect_to(self, one.addr, port)
      if ok then
        return 1
      elseif self.block == 0 then
        break
      end
    end
  end
  return nil, err
end

local function connect_tcp(self, host, port)
  local number, err = names.port(port)
  if not number then
    return nil, err
  end
  if self.opened or self.family or self.block == 0 or number == 0 then
    return connect_each(self, host, number)
  end
  if not names.is_host(host) then
    return nil, names.NONE
  end
  local inner
  inner, err = moongate.connect(host, number, { timeout = (timeouts(self)) })
  if not inner then
    self.failed = true
    return nil, err
  end
  return become(self, inner)
end

local function connect_unix(self, path)
  if #path > 107 then
    return nil, "path too long"
  elseif not self.opened then
    return nil, "closed"
  end
  local ok, err = self.opened:connect(path)
  if ok then
    ok, err = adopt_opened(self)
  elseif err == "Resource temporarily unavailable" then -- its queue is full
    local inner
    inner, err = moongate.connect("unix:" .. path, { timeout = (timeouts(self)) })
    ok = inner and become(self, inner)
  end
  if not ok then
    self:close()
    return nil, err
  end
  set_class(self, "client")
  return 1
end

function tcp:connect(host, port)
  host = check_text(host, 1, "connect")
  if self.kind == "unixstream" then
    check_class(self, "master", "connect")
    return connect_unix(self, host)
  end
  port = check_text(port, 2, "connect")
  set_class(self, "client")
  if self.inner then
    return nil, "already connected"
  end
  return connect_tcp(self, host, port)
end
tcp.setpeername = tcp.connect

function tcp:bind(host, port)
  check_class(self, "master", "bind")
  host = check_text(host, 1, "bind")
  if self.kind == "unixstream" then
    return self.opened:bind(host)
  end
  local number, err = names.port(check_text(port, 2, "bind"))
  if not number then
    return nil, err
  end
  if host == "*" then
    host = self.family == "inet6" and "::" or "0.0.0.0"
  end
  local addresses
  addresses, err = names.addresses(host, self.family)
  for _, one in ipairs(addresses or {}) do
    err = not self.opened and sockets.open(self, one.family) or nil
    if not err then
      local ok
      ok, err = self.opened:bind(one.addr, number)
      if ok then
        self.family = one.family
        return 1
      end
    end
  end
  return nil, err
end
tcp.setsockname = tcp.bind

-- Data, or nil, why and what there is of it: three values in any case, as there.
local function three(data, err, partial)
  if data then
    return data, nil, nil
  end
  return nil, err, partial
end

local function check_pattern(pattern)
  local number = type(pattern) ~= "table" and tonumber(pattern)
  if number then
    pattern = number >= 0 and math.floor(number) or nil
  elseif pattern == nil then
    pattern = "*l"
  else
    pattern = check_text(pattern, 1, "receive"):match "^%*[la]"
  end
  if not pattern then
    error("bad argument #1 to 'receive' (invalid receive pattern)", 3)
  end
  return pattern
end

-- What has come, and then the end.
local function receive_rest(self, inner, pattern, prefix)
  inner:settimeout(0, "receive")
  local data, err, partial = inner:receive(pattern, prefix)
  set_timeouts(self)
  if err ~= "timeout" then
    return data, err, partial
  elseif pattern == "*a" and partial ~= prefix then
    return partial
  end
  return nil, "closed", partial
end

-- Nothing, but only when there is something.
local function receive_nothing(self, inner)
  if not self.reads_on then
    inner:settimeout(0, "receive")
  end
  local ok, err = inner:peek(1)
  set_timeouts(self)
  if ok then
    return ""
  end
  return nil, not self.reads_on and err == "timeout" and "closed" or err, ""
end

function tcp:receive(pattern, prefix)
  check_class(self, "client", "receive")
  pattern = check_pattern(pattern)
  prefix = prefix ~= nil and check_string(prefix, 2, "receive") or ""
  if prefix ~= "" and type(pattern) == "number" and pattern <= #prefix then
    return prefix, nil, nil
  end
  local inner, err = connected(self)
  if not inner then
    return nil, err, prefix
  elseif pattern == 0 then
    return three(receive_nothing(self, inner))
  elseif not self.reads_on then
    return three(receive_rest(self, inner, pattern, prefix))
  end
  return three(inner:receive(pattern, prefix))
end

function tcp:send(data, from, to)
  check_class(self, "client", "send")
  data, from, to = check_string(data, 1, "send"), from and tonumber(from) or 1, to and tonumber(to) or -1
  from, to = from < 0 and #data + from + 1 or from, to < 0 and #data + to + 1 or to
  from, to = math.floor(math.max(from, 1)), math.floor(math.min(to, #data))
  if from > to then
    return from - 1, nil, nil
  end
  local inner, err = connected(self)
  if not inner then
    return nil, err, from - 1
  end
  return three(inner:send(data, from, to))
end

local SIDES = { send = true, receive = true, both = true }

function tcp:shutdown(side)
  check_class(self, "client", "shutdown")
  side = side == nil and "both" or check_text(side, 1, "shutdown")
  if not SIDES[side] then
    error(("bad argument #1 to 'shutdown' (invalid option '%s')"):format(side), 2)
  end
  if self.inner and side ~= "receive" then
    self.inner:shutdown "send"
  end
  self.reads_on = side == "send" and self.reads_on -- what has come can still be read, and nothing is waited for
  return 1
end

-- Bytes that were received and handed out, and sent, and seconds.
local function count(self)
  if self.inner then
    local received, sent, age = self.inner:getstats()
    self.counted = { received - core.connected_state(self.inner), sent, age }
  end
  return self.counted or { 0, 0, 0 }
end

function tcp:getstats()
  check_class(self, "client", "getstats")
  local now, before = count(self), self.before or { 0, 0, 0 }
  return now[1] + before[1], now[2] + before[2], now[3] + before[3]
end

function tcp:setstats(received, sent, age)
  check_class(self, "client", "setstats")
  local now, before = count(self), self.before or { 0, 0, 0 }
  self.before = {
    received and received - now[1] or before[1],
    sent and sent - now[2] or before[2],
    age and age - now[3] or before[3],
  }
  return 1
end

function tcp:settimeout(seconds, mode)
  seconds = seconds == nil and -1 or tonumber(seconds)
  if not seconds then
    error("bad argument #1 to 'settimeout' (number expected)", 2)
  end
  local letter = (mode == nil and "b" or check_text(mode, 2, "settimeout")):sub(1, 1)
  if seconds ~= seconds or seconds > 2147483 then -- more than poll(2) takes is for ever there
    seconds = -1
  end
  if letter == "b" then
    self.block = seconds
  elseif letter == "t" or letter == "r" then
    self.total = seconds
  else
    error("bad argument #2 to 'settimeout' (invalid timeout mode)", 2)
  end
  set_timeouts(self)
  return 1
end

function tcp:gettimeout()
  return self.block, self.total
end

function tcp:setoption(name, ...)
  return options.set(self, name, ...)
end

function tcp:getoption(name)
  return options.get(self, name)
end

-- It may be used again: connect() opens another.
function tcp:close()
  count(self)
  if self.inner then
    self.inner:close()
  end
  if self.opened then
    self.opened:close()
  end
  self.inner, self.opened, self.connecting, self.failed = nil, nil, nil, nil
  return 1
end

function tcp:getfd()
  local one = self.inner or self.opened
  return one and one:getfd() or -1
end

-- The descriptor is the event loop's: it can be let go, and that is all.
function tcp:setfd(descriptor)
  if descriptor == -1 then
    self.inner, self.opened, self.connecting = nil, nil, nil
  elseif descriptor ~= self:getfd() then
    error("socket:setfd is not offered in moongate, but for -1: descriptors are the event loop's", 2)
  end
end

function tcp:dirty()
  return self.inner ~= nil and core.connected_state(self.inner) > 0
end

function tcp:getfamily()
  return self.family == "inet6" and "inet6" or "inet4"
end

local function name_of(self, which)
  local one = self.inner or self.opened
  if not one then
    return nil, "Bad file descriptor"
  end
  local address, port = one[which](one)
  if not address then
    return nil, port
  elseif self.kind == "unixstream" then
    return (address:gsub("^unix:", ""))
  end
  return address, port, self.family or "unspec"
end

function tcp:getpeername()
  return name_of(self, "getpeername")
end

function tcp:getsockname()
  local address, port, family = name_of(self, "getsockname")
  if not address then
    return nil, port
  elseif not family then
    return address
  end
  return address, tostring(port), family
end

-- Beyond LuaSocket.
for _, name in ipairs { "starttls", "peek" } do
  tcp[name] = function(self, ...)
    local inner, err = connected(self)
    if not inner then
      return nil, err
    end
    return inner[name](inner, ...)
  end
end

--- What core.select() takes for it; nil for what is closed, or no socket. What stands for a socket (a sink, a source)
--- is known by its descriptor alone.
function sockets.selectable(one)
  local descriptor = one:getfd()
  if type(one) == "userdata" then
    return descriptor >= 0 and one or nil
  end
  local object = one.settimeout == tcp.settimeout and one or by_descriptor[descriptor]
  if object and object:getfd() == descriptor then
    return object.inner or object.opened
  end
end

--- A function that raises: what is a listener's.
function sockets.refuse(what)
  return function()
    error(what .. " is not offered in moongate: a route listens (match.ports), and its handler gets the socket", 2)
  end
end

for _, name in ipairs { "listen", "accept" } do
  tcp[name] = sockets.refuse("socket:" .. name)
end

return sockets
