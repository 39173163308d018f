-- SPDX-License-Identifier: MIT
--
-- Sockets for specs, which are client and target of a proxy in one thread: every call has a bound, and an end is told
-- from a reset. close_all() closes whatever a spec has left open. Addresses are loopback ones.

local errno = require "posix.errno"
local fcntl = require "posix.fcntl"
local luasocket = require "socket"
local poll = require "posix.poll"
local posix = require "posix.sys.socket"
local process = require "spec.support.process"
local unistd = require "posix.unistd"

local net = {}

local PATIENCE = 10 -- seconds
local TCP_MAXSEG = 2 -- linux/tcp.h

local open = {} -- by descriptor

local connection = {}
connection.__index = connection

local function wrap(fd)
  fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
  fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.O_NONBLOCK)
  local self = setmetatable({ fd = fd }, connection)
  open[fd] = self
  return self
end

local function await(fd, event, due)
  while true do
    local left = due - process.now()
    if left <= 0 then
      return false
    end
    local fds = { [fd] = { events = { [event] = true } } }
    if (poll.poll(fds, math.ceil(left * 1000)) or 0) > 0 then
      return true
    end
  end
end

local how_of = { [errno.ECONNRESET] = "reset", [errno.EPIPE] = "reset", [errno.ECONNREFUSED] = "refused" }

-- All of it: true; or nil and "timeout", "reset", …, and how many bytes went.
function connection:send(bytes, seconds)
  local due, sent = process.now() + (seconds or PATIENCE), 0
  while sent < #bytes do
    local count, message, code = posix.send(self.fd, bytes:sub(sent + 1, sent + 65536))
    if count then
      sent = sent + count
    elseif code ~= errno.EAGAIN then
      return nil, how_of[code] or message, sent
    elseif not await(self.fd, "OUT", due) then
      return nil, "timeout", sent
    end
  end
  return true
end

-- Up to `size` bytes, and how that ended: "whole", "end", "reset", "timeout".
function connection:receive(size, seconds)
  local due, parts, received = process.now() + (seconds or PATIENCE), {}, 0
  local function answer(how)
    return table.concat(parts), how
  end
  while received < size do
    local bytes, message, code = posix.recv(self.fd, math.min(size - received, 65536))
    if bytes == "" then
      return answer "end"
    elseif bytes then
      parts[#parts + 1] = bytes
      received = received + #bytes
    elseif code ~= errno.EAGAIN then
      return answer(how_of[code] or message)
    elseif not await(self.fd, "IN", due) then
      return answer "timeout"
    end
  end
  return answer "whole"
end

-- Everything up to the end, and how it came to it: "end", "reset", "timeout".
function connection:receive_all(seconds)
  return self:receive(math.huge, seconds)
end

-- Up to the end of a line, without it; nil and how it ended.
function connection:receive_line(seconds)
  local due, line = process.now() + (seconds or PATIENCE), {}
  while true do
    local byte, how = self:receive(1, due - process.now())
    if how ~= "whole" then
      return nil, how, table.concat(line)
    elseif byte == "\n" then
      return (table.concat(line):gsub("\r$", ""))
    end
    line[#line + 1] = byte
  end
end

-- Ends this side; the other may go on.
function connection:shutdown()
  posix.shutdown(self.fd, posix.SHUT_WR)
end

function connection:close()
  if open[self.fd] == self then
    open[self.fd] = nil
    unistd.close(self.fd)
  end
end

-- Closes with a reset.
function connection:reset()
  posix.setsockopt(self.fd, posix.SOL_SOCKET, posix.SO_LINGER, 1, 0)
  self:close()
end

-- The port it is bound to. LuaSocket's word: lua-posix's getsockname() reads an uninitialised length.
function connection:port()
  local lens = luasocket.tcp()
  lens:setfd(self.fd)
  local _, port = lens:getsockname()
  lens:setfd(-1)
  return tonumber(port)
end

-- Of a listener: the next connection.
function connection:accept(seconds)
  local due = process.now() + (seconds or PATIENCE)
  while await(self.fd, "IN", due) do
    local fd = posix.accept(self.fd)
    if fd then
      return wrap(fd)
    end
  end
  return nil, "timeout"
end

-- A socket of that family, also options.receive_buffer and options.send_buffer in bytes, and options.segment: the most
-- that a segment to it carries (where that is little, the kernel's buffers at the other end are small too).
local function make(family, options)
  local self = wrap(assert(posix.socket(family, posix.SOCK_STREAM, 0)))
  if options and options.segment then
    assert(posix.setsockopt(self.fd, posix.IPPROTO_TCP, TCP_MAXSEG, options.segment))
  end
  for name, option in pairs { receive_buffer = posix.SO_RCVBUF, send_buffer = posix.SO_SNDBUF } do
    if options and options[name] then
      assert(posix.setsockopt(self.fd, posix.SOL_SOCKET, option, options[name]))
    end
  end
  return self
end

local function endpoint(host, port)
  return { family = host:find(":", 1, true) and posix.AF_INET6 or posix.AF_INET, addr = host, port = port }
end

-- Begins to connect and does not wait. options: host (127.0.0.1), receive_buffer, send_buffer.
function net.start_connecting(port, options)
  local to = endpoint(options and options.host or "127.0.0.1", port)
  local self = make(to.family, options)
  local ok, message, code = posix.connect(self.fd, to)
  if ok or code == errno.EINPROGRESS then
    return self
  end
  self:close()
  return nil, how_of[code] or message
end

-- Whether the connection is there: true; false while it is not; nil and "refused", … when it failed.
function connection:connected(seconds)
  if not await(self.fd, "OUT", process.now() + (seconds or PATIENCE)) then
    return false
  end
  local ok, message, code = posix.send(self.fd, "")
  return ok and true or nil, how_of[code] or message
end

-- A connection to a port: it, or nil and "refused", "timeout", … options: host (127.0.0.1), from (an address of ours),
-- receive_buffer, send_buffer.
function net.connect(port, options)
  local to = endpoint(options and options.host or "127.0.0.1", port)
  local self = make(to.family, options)
  if options and options.from then
    assert(posix.bind(self.fd, endpoint(options.from, 0)))
  end
  -- The only call here that blocks, bounded by the option: what becomes of the connection later must stay to be read.
  fcntl.fcntl(self.fd, fcntl.F_SETFL, 0)
  posix.setsockopt(self.fd, posix.SOL_SOCKET, posix.SO_SNDTIMEO, PATIENCE, 0)
  local ok, message, code = posix.connect(self.fd, to)
  fcntl.fcntl(self.fd, fcntl.F_SETFL, fcntl.O_NONBLOCK)
  if ok then
    return self
  end
  self:close()
  return nil, how_of[code] or code == errno.EINPROGRESS and "timeout" or message
end

-- Sends a line: the line that answers, or nil and how the connection ended.
function net.ask(client, line)
  local sent, message = client:send(line .. "\n")
  if not sent then
    return nil, message
  end
  return client:receive_line()
end

-- A listener on a port given by the kernel. options: host, port, backlog, receive_buffer (its connections inherit it).
function net.listen(options)
  options = options or {}
  local at = endpoint(options.host or "127.0.0.1", options.port or 0)
  local self = make(at.family, options)
  assert(posix.setsockopt(self.fd, posix.SOL_SOCKET, posix.SO_REUSEADDR, 1))
  assert(posix.bind(self.fd, at))
  assert(posix.listen(self.fd, options.backlog or 128))
  return self
end

-- A connection to a unix socket.
-- Waits until one of the listeners has a client: its index; nil after `seconds`.
function net.await_any(listeners, seconds)
  local fds = {}
  for i, listener in ipairs(listeners) do
    fds[listener.fd] = { events = { IN = true }, index = i }
  end
  if (poll.poll(fds, (seconds or PATIENCE) * 1000) or 0) > 0 then
    for _, watched in pairs(fds) do
      if watched.revents and watched.revents.IN then
        return watched.index
      end
    end
  end
end

function net.connect_unix(path)
  local self = make(posix.AF_UNIX)
  local ok, message = posix.connect(self.fd, { family = posix.AF_UNIX, path = path })
  if ok then
    return self
  end
  self:close()
  return nil, message
end

-- A listener on a unix socket.
function net.listen_unix(path)
  local self = make(posix.AF_UNIX)
  assert(posix.bind(self.fd, { family = posix.AF_UNIX, path = path }))
  assert(posix.listen(self.fd, 128))
  return self
end

local hole = {}
hole.__index = hole

-- Until the queue of its listener is full, so that a SYN more is dropped.
function hole:fill()
  for _ = 1, 10 do
    local filler = net.start_connecting(self.listener:port())
    self.fillers[#self.fillers + 1] = filler
    if not filler:connected(0.2) then
      return self
    end
  end
  error "the queue of a listener does not fill"
end

-- From now on SYNs that are sent again are answered: its listener accepts what comes.
function hole:lift()
  for _, filler in ipairs(self.fillers) do
    filler:reset()
  end
  self.fillers = {}
  while true do
    local accepted = self.listener:accept(0.05)
    if not accepted then
      return self.listener
    end
    accepted:close()
  end
end

-- A port that nobody answers, and what fills it.
function net.blackhole()
  local made = setmetatable({ listener = net.listen { backlog = 0 }, fillers = {} }, hole)
  made:fill()
  return made.listener:port(), made
end

-- Ports that are to be free are looked for below those that the kernel gives to others: no listener of a spec, no
-- connection and no other program is given one of them meanwhile. Among the specs that run at the same time each is one
-- process's to its end: who has it holds the UDP port of that number on an address that nobody else uses.
local FIRST_FREE, FREE_PORTS = 12000, 7900
local HOLDING = "127.77.77.77"
local next_free = unistd.getpid() * 97
local held_fds = {}

local function hold(port)
  local fd = assert(posix.socket(posix.AF_INET, posix.SOCK_DGRAM, 0))
  if posix.bind(fd, { family = posix.AF_INET, addr = HOLDING, port = port }) then
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    held_fds[#held_fds + 1] = fd
    return true
  end
  unistd.close(fd)
end

-- Whether all of a row are free, and held from now on.
local function take_row(first, count, host)
  local listeners = {}
  local fine = pcall(function()
    for i = 1, count do
      listeners[i] = net.listen { host = host or "::", port = first + i - 1 }
      assert(hold(first + i - 1))
    end
  end)
  for _, listener in ipairs(listeners) do
    listener:close()
  end
  return fine
end

-- `count` ports one after the other that are free, of the address or of all, and stay so until the process ends; the
-- first of them. It does not matter who listens elsewhere before or after.
function net.free_ports(count, host)
  for _ = 1, 500 do
    local first = FIRST_FREE + next_free % FREE_PORTS
    next_free = next_free + count
    if take_row(first, count, host) then
      return first
    end
  end
  error(("no %d free ports in a row"):format(count))
end

-- A port of 127.0.0.1 that refuses connections.
function net.refusing_port()
  return net.free_ports(1)
end

function net.close_all()
  for _, self in pairs(open) do
    unistd.close(self.fd)
  end
  open = {}
end

return net
