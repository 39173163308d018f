-- SPDX-License-Identifier: MIT
--
-- A whole moongate in this process, on ports of its own: starting it, reaching it, asking what it has counted and
-- logged, stopping it.

local _, core = ...
local exposition = require "moongate.metrics.exposition"
local http = require "moongate.testing.http"
local moongate = require "moongate"
local route_rows = require "moongate.route_rows"
local routes = require "moongate.testing.routes"
local testing = require("moongate.native").testing()

local instance = {}

local LOOPBACK = "127.0.0.1"
local OPTIONS = { routes = true, config = true, quiet = true }

local running = {} -- those that are not stopped

---@class moongate.testing.Moongate
local Moongate = {}
Moongate.__index = Moongate

local function check_options(options)
  if type(options) ~= "table" then
    error("bad argument #1 to 'testing.start' (a table expected: { routes = { … }, config = { … } })", 3)
  end
  for name in pairs(options) do
    if not OPTIONS[name] then
      local message = "bad argument #1 to 'testing.start' (there is no option '%s': routes, config, quiet)"
      error(message:format(tostring(name)), 3)
    end
  end
end

---Starts a moongate. `routes`: a table as a route file returns it, the path of such a file, or of a directory;
---functions in tables are called in this state, with their upvalues. `config`: as moongate.lua returns it.
---@param options { routes: table|string, config?: table, quiet?: boolean }
---@return moongate.testing.Moongate
function instance.start(options)
  check_options(options)
  local given, directory, path = routes.given(options.routes)
  local answer = testing.start({
    routes = given,
    directory = directory,
    path = path,
    config = options.config or {},
  })
  if not answer.id then
    error(routes.describe(answer.faults), 2)
  end
  local self = setmetatable({ id = answer.id, ports = answer.ports, quiet = options.quiet }, Moongate)
  running[self.id] = self
  return self
end

---The port that stands for one of a route's: its first, or the one that the route calls `wanted`.
---@param name string of the route
---@param wanted? integer
---@return integer
function Moongate:port(name, wanted)
  local is_known = false
  for _, port in ipairs(self.ports) do
    if port.route == name then
      is_known = true
      if not wanted or port.wanted == wanted then
        return port.port
      end
    end
  end
  error(
    is_known and ("route '%s' has no port %d"):format(name, wanted)
      or ("there is no route '%s' that listens"):format(tostring(name)),
    2
  )
end

-- The port that stands for the one of a URL.
function Moongate:_port_of(number)
  local first
  for _, port in ipairs(self.ports) do
    if port.wanted == number or port.port == number then
      return port.port
    end
    if first and first ~= port.port then
      first = false
    elseif first == nil then
      first = port.port
    end
  end
  return first or nil
end

-- The port that stands for `port`, as the route says it.
function Moongate:_wanted_of(port)
  for _, known in ipairs(self.ports) do
    if known.port == port then
      return known.wanted
    end
  end
end

---Connects to a route, by its name or by the port that it says; with client_ip as a client from there, over a socket
---pair.
---@param route string|integer
---@param options? { timeout?: number|string, wanted?: integer, client_ip?: string, client_port?: integer }
---@return moongate.Socket
function Moongate:connect(route, options)
  options = options or {}
  local port
  if type(route) == "number" then
    port = self:_port_of(route) or error(("no route listens on port %d"):format(route), 2)
  else
    port = self:port(route, options.wanted)
  end
  if options.client_ip then
    local client = { client_ip = options.client_ip, client_port = options.client_port, port = self:_wanted_of(port) }
    local fine, socket = pcall(testing.pair, self.id, client)
    return fine and socket or error(socket, 2)
  end
  local socket, failure = moongate.connect(LOOPBACK, port, options.timeout and { timeout = options.timeout } or nil)
  if not socket then
    error(("route '%s' can't be connected to: %s"):format(route, failure), 2)
  end
  return socket
end

---An HTTP request; the host is sent, not resolved, and the port is the one that a route says (the only one there is,
---when none says it). Returns the answer, or nil and what went wrong.
---@param url string
---@param options? { method?: string, headers?: table, body?: string, timeout?: number|string }
---@return { status: integer, reason: string, headers: table<string, string>, body: string }? answer
---@return string? err
function Moongate:get(url, options)
  local target = http.parse_url(url)
  if not target then
    error(('"%s" is no URL that can be asked for: http://host:port/path'):format(tostring(url)), 2)
  elseif target.scheme == "https" then
    error("https is not there in this version: routes can't terminate TLS yet", 2)
  end
  local port = self:_port_of(target.port)
  if not port then
    error(("no route listens on port %d"):format(target.port), 2)
  end
  options = options or {}
  local socket, failure = moongate.connect(LOOPBACK, port)
  if not socket then
    return nil, failure
  end
  socket:settimeout(options.timeout or 10)
  local answer, why = http.request(socket, target, options)
  socket:close()
  return answer, why
end

local function parse_samples(text)
  local samples = {}
  for line in text:gmatch "[^\n]+" do
    local name, value = line:match "^([^#].*) (%S+)$"
    if name then
      samples[name] = tonumber(value)
    end
  end
  return samples
end

---What it has counted, as /metrics says it: ["moongate_route_bytes_total{route=\"x\",direction=\"in\"}"] = 12.
---@return table<string, number>
function Moongate:metrics()
  return parse_samples(exposition.render({ snapshot = testing.snapshot(self.id), status = testing.status(self.id) }))
end

---What `moongate status` says of a running one.
---@return table
function Moongate:status()
  local status = testing.status(self.id)
  status.routes = route_rows.brief(status.routes)
  return status
end

---How many connections it has now.
---@return integer
function Moongate:connections()
  return testing.connections(self.id) or 0
end

---Its lines of log so far.
---@return string[]
function Moongate:log()
  self.log_seen = true
  local lines = {}
  local text = self.last_log or testing.log(self.id).text or ""
  for line in text:gmatch "[^\n]+" do
    lines[#lines + 1] = line
  end
  return lines
end

-- Errors that nobody has looked at: the reason, perhaps, why the test fails.
local function show_errors(self)
  if self.quiet or self.log_seen then
    return
  end
  for line in self.last_log:gmatch "[^\n]+" do
    if line:find(" level=error ", 1, true) or line:find('"level":"error"', 1, true) then
      io.stderr:write("moongate.testing: ", line, "\n")
    end
  end
end

---Stops it, and waits for that. Connections are closed at once, or may finish for so many seconds. Its log can still be
---read.
---@param drain? number|string
function Moongate:stop(drain)
  if running[self.id] == nil then
    return
  end
  running[self.id] = nil
  local seconds = 0
  if drain ~= nil then
    seconds = core.duration(drain) or error("bad argument #1 to 'stop' (a duration expected)", 2)
  end
  testing.stop(self.id, seconds)
  self.last_log = testing.log(self.id).text or ""
  show_errors(self)
end

---Stops all that still run: at the end of a file of specs.
function instance.stop_all()
  for _, each in pairs(running) do
    each:stop()
  end
end

return instance
