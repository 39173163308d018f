-- SPDX-License-Identifier: MIT
--
-- The programs that a benchmark starts: pinned to a core, with a bound on every wait, and ended by their process ids
-- whatever happens. Knows nothing of what they are.

local fcntl = require "posix.fcntl"
local poll = require "posix.poll"
local signal = require "posix.signal"
local socket = require "posix.sys.socket"
local time = require "posix.time"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

local process = {}

local running = {} -- by pid
local interrupted = nil

-- A signal only leaves a note; the next wait turns it into an error, so that the way out is always the same.
for _, name in ipairs { "SIGINT", "SIGTERM", "SIGHUP" } do
  signal.signal(signal[name], function()
    interrupted = interrupted or name
  end)
end

local function interruption_check()
  if interrupted then
    error("ended by " .. interrupted, 0)
  end
end

function process.now()
  local now = time.clock_gettime(time.CLOCK_MONOTONIC)
  return now.tv_sec + now.tv_nsec / 1e9
end

local function nap(seconds)
  time.nanosleep { tv_sec = math.floor(seconds), tv_nsec = math.floor(seconds % 1 * 1e9) }
end

function process.sleep(seconds)
  local due = process.now() + seconds
  interruption_check()
  while process.now() < due do
    nap(math.min(0.1, math.max(0.001, due - process.now())))
    interruption_check()
  end
end

local function child_exec(argv, options, input, output)
  local null = fcntl.open("/dev/null", fcntl.O_RDWR)
  local log = options.log and fcntl.open(options.log, fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND, 420) or null
  unistd.dup2(input or null, 0)
  unistd.dup2(output or log, 1)
  unistd.dup2(log, 2)
  for fd = 3, 255 do
    unistd.close(fd)
  end
  -- Should this driver be killed outright, the kernel ends what it had started.
  local line = { "setpriv", "--pdeathsig", "KILL" }
  if options.core then
    line = { "taskset", "-c", tostring(options.core), unpack(line) }
  end
  for _, word in ipairs(argv) do
    line[#line + 1] = word
  end
  local program = table.remove(line, 1)
  local _, err = unistd.execp(program, line)
  io.stderr:write(program, ": ", err or "can't be run", "\n")
  unistd._exit(127)
end

-- Starts `argv`. options: core; log (a file that gets what it writes); input, output (true: a pipe, as child.input and
-- child.output; without `output` what it prints goes to the log as well).
function process.start(argv, options)
  local input_read, input_write, output_read, output_write
  interruption_check()
  if options.input then
    input_read, input_write = unistd.pipe()
  end
  if options.output then
    output_read, output_write = unistd.pipe()
  end
  local pid = assert(unistd.fork())
  if pid == 0 then
    child_exec(argv, options, input_read, output_write)
  end
  local child = { pid = pid, name = argv[1], log = options.log, input = input_write, output = output_read }
  running[pid] = child
  if input_read then
    unistd.close(input_read)
  end
  if output_write then
    unistd.close(output_write)
  end
  return child
end

-- True while it runs; else false, and how it ended: "exited" or "killed" with a number.
function process.alive(child)
  if not running[child.pid] then
    return false, child.how, child.status
  end
  local pid, how, status = wait.wait(child.pid, wait.WNOHANG)
  if pid == child.pid and how ~= "running" then
    running[child.pid] = nil
    child.how, child.status = how, status
    return false, how, status
  end
  return true
end

local function ended_within(child, seconds)
  local due = process.now() + seconds
  while process.alive(child) do
    if process.now() > due then
      return false
    end
    nap(0.005)
  end
  return true
end

-- Ends it, and returns when it is gone. Not interruptible: this is the way out.
function process.stop(child)
  for _, pipe in ipairs { "input", "output" } do
    if child[pipe] then
      unistd.close(child[pipe])
      child[pipe] = nil
    end
  end
  if process.alive(child) then
    signal.kill(child.pid, signal.SIGTERM)
    if not ended_within(child, 2) then
      signal.kill(child.pid, signal.SIGKILL)
      ended_within(child, 5)
    end
  end
end

function process.stop_all()
  for _, child in pairs(running) do
    signal.kill(child.pid, signal.SIGTERM)
  end
  local left = {}
  for _, child in pairs(running) do
    left[#left + 1] = child
  end
  for _, child in ipairs(left) do
    process.stop(child)
  end
end

-- What it prints, up to its end or (with `line`) the end of a line. nil and a message when that takes too long.
function process.read(child, seconds, line)
  local due, parts = process.now() + seconds, {}
  while true do
    interruption_check()
    local left = due - process.now()
    if left <= 0 then
      return nil, ("no answer from %s within %d s"):format(child.name, seconds)
    end
    local fds = { [child.output] = { events = { IN = true } } }
    if (poll.poll(fds, math.ceil(math.min(left, 0.2) * 1000)) or 0) > 0 then
      local bytes = unistd.read(child.output, 65536)
      if not bytes or bytes == "" then
        return table.concat(parts)
      end
      parts[#parts + 1] = bytes
      if line and bytes:find("\n", 1, true) then
        return table.concat(parts)
      end
    end
  end
end

-- Closes its input, and waits for its end: true when it exited with 0.
function process.finish(child, seconds)
  if child.input then
    unistd.close(child.input)
    child.input = nil
  end
  local ended = ended_within(child, seconds)
  process.stop(child)
  return ended and child.how == "exited" and child.status == 0
end

local given = {} -- ports that were handed out: who got one may not listen on it yet

-- So many ports of 127.0.0.1 that the kernel says are free, all different, and from those of earlier calls.
function process.free_ports(count)
  local held, ports = {}, {}
  while #ports < count do
    local fd = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    held[#held + 1] = fd
    assert(socket.bind(fd, { family = socket.AF_INET, addr = "127.0.0.1", port = 0 }))
    local port = socket.getsockname(fd).port
    if not given[port] then
      given[port] = true
      ports[#ports + 1] = port
    end
  end
  for _, fd in ipairs(held) do
    unistd.close(fd)
  end
  return ports
end

function process.free_port()
  return process.free_ports(1)[1]
end

-- Connects, sends, and reads to the end: what came; nil when nobody took it or it took longer than `seconds`.
function process.ask(port, request, seconds)
  local fd = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
  local parts, due = {}, process.now() + seconds
  assert(socket.setsockopt(fd, socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds, 0))
  local bytes = socket.connect(fd, { family = socket.AF_INET, addr = "127.0.0.1", port = port })
    and socket.send(fd, request)
    and ""
  while bytes do
    bytes = process.now() < due and socket.recv(fd, 65536) or nil
    parts[#parts + 1] = bytes
    if bytes == "" then
      break
    end
  end
  unistd.close(fd)
  return bytes and table.concat(parts)
end

-- Waits until the port takes a connection: true, or nil and why not.
function process.await_port(port, child, seconds)
  local due = process.now() + seconds
  while true do
    local fd = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
    local connected = socket.connect(fd, { family = socket.AF_INET, addr = "127.0.0.1", port = port })
    unistd.close(fd)
    if connected then
      return true
    end
    local alive, how, status = process.alive(child)
    if not alive then
      return nil, ("%s ended at once (%s %s)"):format(child.name, how, status)
    end
    if process.now() > due then
      return nil, ("%s took no connection on port %d within %d s"):format(child.name, port, seconds)
    end
    process.sleep(0.01)
  end
end

-- The bytes of memory that are the process's own: anonymous and shared pages, not the files mapped into it.
function process.memory(pid)
  local sum = 0
  for line in io.lines(("/proc/%d/smaps_rollup"):format(pid)) do
    local kilobytes = line:match "^Pss_Anon:%s*(%d+)" or line:match "^Pss_Shmem:%s*(%d+)"
    sum = sum + (tonumber(kilobytes) or 0) * 1024
  end
  return sum
end

return process
