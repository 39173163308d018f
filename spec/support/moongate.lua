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

local support = os.getenv "MOONGATE_SUPPORT" or "build/support"
if support:sub(1, 1) ~= "/" then
  support = require("posix.unistd").getcwd() .. "/" .. support
end
moongate.support = support

local running = {}

-- Which sanitizer is in the binary, and whether one is: then it is slower, and with a memory of its own.
local code = process.read(binary)
moongate.sanitizer = code:find("__asan_init", 1, true) and "address" or code:find("__tsan_init", 1, true) and "thread"
moongate.sanitized = not not moongate.sanitizer

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

-- The words that follow a command to name a workspace's files. space.routes: another way to say where they are.
function moongate.files_of(space)
  return "--config", space.config_path, "--routes", space.routes or space.directory .. "/routes"
end

-- What spec/support/clock_preload.c reads: eight bytes, the lowest first, in one write.
local function write_clock(self)
  local bytes, left = {}, self.moved_ns
  for i = 1, 8 do
    bytes[i], left = string.char(left % 256), math.floor(left / 256)
  end
  local file = io.open(self.clock_path, "r+b") or assert(io.open(self.clock_path, "wb"))
  file:write(table.concat(bytes))
  file:close()
end

-- Starts `moongate run` on a workspace, which is made from `options` unless options.space has it, and waits until it is
-- ready. Also options.flags (more words), options.within (words of a command that runs it), nofile, env, ready = false:
-- not to wait, and clock = true: with a clock that advance() moves.
function moongate.start(options)
  local self = setmetatable(options.space or moongate.workspace(options), moongate)
  local env = options.env
  if options.clock then
    self.clock_path, self.moved_ns = self.directory .. "/clock", 0
    write_clock(self)
    env = { LD_PRELOAD = support .. "/clock_preload.so", MOONGATE_SPEC_CLOCK = self.clock_path }
    for name, value in pairs(options.env or {}) do
      env[name] = value
    end
  end
  local line = { unpack(options.within or {}) }
  for _, word in ipairs { binary, "run", moongate.files_of(self) } do
    line[#line + 1] = word
  end
  for _, word in ipairs(options.flags or {}) do
    line[#line + 1] = word
  end
  self.process = process.start(line, { nofile = options.nofile, env = env, cwd = self.directory })
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

-- Asks the control socket, or with options.tcp the admin listener: status, body, headers as text. nil when nobody
-- listens there. Also options.body, and options.headers, a list of lines.
function moongate:request(method, path, options)
  options = options or {}
  local connection
  if options.tcp then
    connection = net.connect(self.admin)
  else
    connection = net.connect_unix(self.control)
  end
  if not connection then
    return nil
  end
  local lines = { ("%s %s HTTP/1.1"):format(method, path), "Host: localhost", "Connection: close" }
  for _, line in ipairs(options.headers or {}) do
    lines[#lines + 1] = line
  end
  if options.body or method ~= "GET" then
    lines[#lines + 1] = ("Content-Length: %d"):format(#(options.body or ""))
  end
  connection:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.body or ""))
  local answer = connection:receive_all()
  connection:close()
  local head, body = answer:match "^(.-\r\n)\r\n(.*)$"
  return head and tonumber(head:match "^HTTP/1%.%d (%d%d%d)"), body, head
end

function moongate:get(path)
  return self:request("GET", path)
end

function moongate:status()
  local status, body = self:get "/api/v1/status"
  assert(status == 200, "no status")
  return cjson.decode(body)
end

-- The answer of a reading call as a table, with `values` as its query.
function moongate:ask(path, values)
  local parts = {}
  for name, value in pairs(values or {}) do
    parts[#parts + 1] = name .. "=" .. tostring(value):gsub("[^%w]", function(byte)
      return ("%%%02X"):format(byte:byte())
    end)
  end
  local status, body = self:get(path .. (#parts > 0 and "?" .. table.concat(parts, "&") or ""))
  return cjson.decode(body), status
end

-- What /api/v1/routes and /api/v1/connections say.
function moongate:live_routes(values)
  return self:ask("/api/v1/routes", values)
end

function moongate:live_connections(values)
  return self:ask("/api/v1/connections", values)
end

-- The ports that a route listens on.
function moongate:ports(name)
  local route = self:live_routes({ route = name }).routes[1]
  return route and route.ports or error(("moongate knows no route %q"):format(name), 2)
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

-- Lets time pass for a moongate that was started with clock = true, and for nobody else: what comes due is done when
-- this returns. The clock goes on by itself as well.
function moongate:advance(seconds)
  self.moved_ns = self.moved_ns + seconds * 1e9
  write_clock(self)
  for _ = 1, 2 do -- it asks every thread, which sees to its timers after the question
    self:get "/metrics"
  end
end

-- Waits until every connection has gone.
function moongate:await_idle(seconds)
  self:await_metric("active_connections", 0, seconds)
end

-- Where a route file is, or with "../name" what stands beside the routes.
function moongate:path(name)
  return self.directory .. "/routes/" .. name
end

-- Saves a route file as editors do: written aside, then renamed into place.
function moongate:write(name, text)
  local aside = self:path(name) .. ".new~"
  process.write(aside, text)
  assert(os.rename(aside, self:path(name)))
end

-- Saves a route file as an open, a truncation and a write do.
function moongate:overwrite(name, text)
  process.write(self:path(name), text)
end

function moongate:append(name, text)
  local file = assert(io.open(self:path(name), "a"))
  file:write(text)
  file:close()
end

function moongate:delete(name)
  assert(os.remove(self:path(name)))
end

function moongate:rename(from, to)
  assert(os.rename(self:path(from), self:path(to)))
end

-- What /api/v1/files says, by the names of the files.
function moongate:files()
  local status, body = self:get "/api/v1/files"
  assert(status == 200, "no answer from /api/v1/files")
  local answer, by_name = cjson.decode(body), {}
  for _, file in ipairs(answer.files or answer) do
    by_name[file.file] = file
  end
  return by_name
end

-- Waits until a file has a fault whose message (with route and field before it) has all of the words: the fault.
function moongate:await_fault(name, ...)
  local words, faults = { ... }, nil
  local function wanted(fault)
    local text = ("%s: %s: %s: %s"):format(fault.file, fault.route or "", fault.field or "", fault.message)
    for _, word in ipairs(words) do
      if not text:find(word, 1, true) then
        return false
      end
    end
    return true
  end
  local fine, found = pcall(process.wait_for, function()
    local file = self:files()[name]
    faults = file and file.faults
    for _, fault in ipairs(faults or {}) do
      if wanted(fault) then
        return fault
      end
    end
  end)
  if not fine then
    local what = faults and cjson.encode(faults) or "the file is not known"
    error(("%s has no fault with %s: %s"):format(name, table.concat(words, ", "), what), 2)
  end
  return found
end

-- Waits until a file is told to be well.
function moongate:await_well(name)
  local file
  local fine = pcall(process.wait_for, function()
    file = self:files()[name]
    return file and file.ok and #file.faults == 0
  end)
  if not fine then
    error(("%s is not well: %s"):format(name, file and cjson.encode(file) or "it is not known"), 2)
  end
end

-- Runs `moongate reload`: { status =, out =, err = }.
function moongate:reload(...)
  return moongate.command { "reload", "--control", self.control, ... }
end

function moongate:generation()
  return self:status().generation
end

-- Waits until the live configuration is at least the n-th.
function moongate:await_generation(n)
  return self:await_metric("config_generation", function(value)
    return value >= n
  end)
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

-- What a sanitizer has found in it; nil: nothing. cmake/watch_reports sees to those whose process id is not known.
local function report_of(self)
  local reports = os.getenv "MOONGATE_REPORTS"
  local report = reports and process.read(("%s.%d"):format(reports, self.process.pid)) or ""
  return report ~= "" and report or nil
end

function moongate.finish()
  local faults = {}
  net.close_all()
  for _, self in ipairs(running) do
    local status = self.stopped and 0 or self.process:alive() and self:stop() or self.process.status
    local report = report_of(self)
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
