-- SPDX-License-Identifier: MIT
--
-- Moongate as specs see it: the real binary, in a directory of its own, watched through its control socket. finish()
-- belongs in every after_each: it ends what was started, and fails when a moongate did not end as it should.

local cjson = require "cjson"
local net = require "spec.support.net"
local process = require "spec.support.process"

local moongate = {}
moongate.__index = moongate

local binary = os.getenv "MOONGATE_BINARY" or "build/moongate"
if binary:sub(1, 1) ~= "/" then
  binary = require("posix.unistd").getcwd() .. "/" .. binary
end
moongate.binary = binary

local running = {}

-- Whether the binary is an instrumented one: slower, and with a memory of its own.
moongate.sanitized = process.read(binary):find("__asan_init", 1, true) ~= nil

-- A directory with a config and route files, and nothing running. options.config: what stands in the config's table, as
-- text; options.config_text: the whole file; options.routes: text of one file, or texts by file name; options.workers;
-- options.admin: true for an admin interface on the TCP port `admin`, beside the control socket.
function moongate.workspace(options)
  local directory = process.directory()
  assert(os.execute(("mkdir %s/routes %s/state"):format(directory, directory)) == 0)
  local self = {
    directory = directory,
    control = directory .. "/control.sock",
    config_path = directory .. "/moongate.lua",
    admin = options.admin and net.free_ports(1, "127.0.0.1"),
  }
  local base = ([[return {
  workers = %d, control = %q, state = %q, admin = { listen = %s },
  timeouts = { shutdown = "2s", linger = "2s" },
  %s
}
]]):format(
    options.workers or 1,
    self.control,
    options.state or directory .. "/state",
    self.admin and ('"127.0.0.1:%d"'):format(self.admin) or "false",
    options.config or ""
  )
  process.write(self.config_path, options.config_text or base)
  local routes = options.routes or {}
  if type(routes) == "string" then
    routes = { ["routes.lua"] = routes }
  end
  for name, text in pairs(routes) do
    process.write(directory .. "/routes/" .. name, text)
  end
  return self
end

-- The text of a file with one route, "front", on a port given by the kernel: what stands in its action, as text or as
-- the port of a target on 127.0.0.1; more of its match, and more of the route.
function moongate.front(action, match, more)
  if type(action) == "number" then
    action = ("target = '127.0.0.1:%d'"):format(action)
  end
  return ([[return {
    name = "front", match = { ports = 0, %s }, action = { %s }, %s
  }]]):format(match or "", action, more or "")
end

-- Runs `moongate WORDS…` to its end: { status =, out =, err = }.
function moongate.command(words, options)
  return process.run({ binary, unpack(words) }, options)
end

-- The words that follow a command to name a workspace's files.
function moongate.files_of(space)
  return "--config", space.config_path, "--routes", space.directory .. "/routes"
end

-- Starts `moongate run` on a workspace, which is made from `options` unless options.space has it, and waits until it is
-- ready. Also options.flags (more words), nofile, env, and ready = false: not to wait.
function moongate.start(options)
  local self = setmetatable(options.space or moongate.workspace(options), moongate)
  local line = { binary, "run", moongate.files_of(self) }
  for _, word in ipairs(options.flags or {}) do
    line[#line + 1] = word
  end
  self.process = process.start(line, { nofile = options.nofile, env = options.env, cwd = self.directory })
  running[#running + 1] = self
  if options.ready ~= false then
    process.wait_for(function()
      if not self.process:alive() then
        error(("moongate ended (%s) instead of getting ready:\n%s"):format(self.process.status, self:log()), 0)
      end
      local status = self:get "/readyz"
      return status == 200
    end, 20, "moongate to get ready")
  end
  return self
end

-- Asks the control socket: status, body, headers as text. nil when nobody listens there.
function moongate:get(path)
  local connection = net.connect_unix(self.control)
  if not connection then
    return nil
  end
  connection:send(("GET %s HTTP/1.1\r\nHost: moongate\r\nConnection: close\r\n\r\n"):format(path))
  local answer = connection:receive_all()
  connection:close()
  local head, body = answer:match "^(.-\r\n)\r\n(.*)$"
  return head and tonumber(head:match "^HTTP/1%.%d (%d%d%d)"), body, head
end

function moongate:status()
  local status, body = self:get "/api/v1/status"
  assert(status == 200, "no status")
  return cjson.decode(body)
end

-- The ports that a route listens on.
function moongate:ports(name)
  for _, route in ipairs(self:status().routes) do
    if route.name == name then
      return route.ports
    end
  end
  error(("moongate knows no route %q"):format(name), 2)
end

function moongate:port(name)
  return self:ports(name)[1]
end

-- All samples of /metrics, by name with labels as they stand there; nil when they can't be had.
local function read_metrics(self)
  local status, body = self:get "/metrics"
  if status ~= 200 then
    return nil
  end
  local samples = {}
  for line in body:gmatch "[^\n]+" do
    local name, value = line:match "^([^#].-) (%S+)$"
    if name then
      samples[name] = tonumber(value)
    end
  end
  return samples
end

function moongate:metrics()
  return assert(read_metrics(self), "no metrics")
end

-- One sample, `moongate_` left out; 0 when it is not there.
function moongate:metric(name)
  return self:metrics()["moongate_" .. name] or 0
end

-- Waits until a sample has (or, with a function, satisfies) a value, and returns it.
function moongate:await_metric(name, wanted, seconds)
  local value
  local fine, message = pcall(process.wait_for, function()
    local samples = read_metrics(self)
    value = samples and (samples["moongate_" .. name] or 0)
    if value and type(wanted) == "function" then
      return wanted(value)
    end
    return value == wanted
  end, seconds)
  if not fine then
    error(("%s is %s, not %s (%s)"):format(name, value, tostring(wanted), message), 2)
  end
  return value
end

-- Waits until every connection has gone.
function moongate:await_idle(seconds)
  self:await_metric("active_connections", 0, seconds)
end

-- What it has logged.
function moongate:log()
  return self.process:out() .. self.process:err()
end

-- Waits until the log has a pattern; the first capture.
function moongate:await_log(pattern, seconds)
  local fine, found = pcall(process.wait_for, function()
    return self:log():match(pattern)
  end, seconds)
  if not fine then
    error(("the log has no %q:\n%s"):format(pattern, self:log()), 2)
  end
  return found
end

function moongate:fds()
  return self.process:fds()
end

function moongate:rss()
  return self.process:rss()
end

-- Ends it: its exit status.
function moongate:stop(signal)
  self.process:signal(signal or "SIGTERM")
  self.stopped = true
  return self.process:wait(15) or "still running"
end

function moongate.finish()
  local faults = {}
  net.close_all()
  for _, self in ipairs(running) do
    local status = self.stopped and 0 or self.process:alive() and self:stop() or self.process.status
    local report = self:log():match "[^\n]*AddressSanitizer.*" or self:log():match "[^\n]*runtime error:.*"
    if report or (status ~= 0 and not self.may_fail) then
      faults[#faults + 1] = ("a moongate ended with %s:\n%s"):format(status, report or self:log():sub(-3000))
    end
  end
  running = {}
  process.finish()
  if #faults > 0 then
    error(table.concat(faults, "\n"), 0)
  end
end

return moongate
