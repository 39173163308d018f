-- SPDX-License-Identifier: MIT
--
-- Programs that a spec starts: what they print goes into files, every wait has a bound, and finish() ends by its
-- process id whatever still runs and removes the directories that were made. Knows nothing of what the programs are.

local fcntl = require "posix.fcntl"
local dirent = require "posix.dirent"
local lfs = require "lfs"
local signal = require "posix.signal"
local stdlib = require "posix.stdlib"
local time = require "posix.time"
local unistd = require "posix.unistd"
local wait = require "posix.sys.wait"

signal.signal(signal.SIGPIPE, signal.SIG_IGN)

local process = {}
process.__index = process

local children = {} -- in the order of their start
local directories = {}

function process.now()
  local now = time.clock_gettime(time.CLOCK_MONOTONIC)
  return now.tv_sec + now.tv_nsec / 1e9
end

function process.nap(seconds)
  time.nanosleep { tv_sec = math.floor(seconds), tv_nsec = math.floor(seconds % 1 * 1e9) }
end

-- Asks until `condition` answers something true, which is returned; fails when that takes too long.
function process.wait_for(condition, seconds, what)
  local due = process.now() + (seconds or 10)
  while true do
    local answer = condition()
    if answer then
      return answer
    end
    if process.now() > due then
      error(("waited %s seconds in vain for %s"):format(seconds or 10, what or "a condition"), 2)
    end
    process.nap(0.01)
  end
end

-- A new directory, gone after finish().
function process.directory()
  local path = assert(stdlib.mkdtemp "/tmp/moongate-spec-XXXXXX")
  directories[#directories + 1] = path
  return path
end

function process.write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

function process.read(path)
  local file = io.open(path)
  if not file then
    return ""
  end
  local text = file:read "*a"
  file:close()
  return text
end

local function open_as(path, flags, number)
  local fd = assert(fcntl.open(path, flags, 420))
  unistd.dup2(fd, number)
end

local function child_exec(argv, options, out, err)
  open_as(options.input or "/dev/null", fcntl.O_RDONLY, 0)
  open_as(out, fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND, 1)
  open_as(err, fcntl.O_WRONLY + fcntl.O_CREAT + fcntl.O_APPEND, 2)
  for _, name in ipairs(dirent.dir "/proc/self/fd") do
    if tonumber(name) and tonumber(name) > 2 then
      unistd.close(tonumber(name))
    end
  end
  signal.signal(signal.SIGPIPE, signal.SIG_DFL)
  if options.cwd then
    assert(unistd.chdir(options.cwd))
  end
  -- Should the spec itself be killed, the kernel ends what it had started.
  local line = { "--pdeathsig", "KILL" }
  if options.nofile then
    line[#line + 1], line[#line + 2] = "prlimit", ("--nofile=%d"):format(options.nofile)
  end
  if options.env then
    line[#line + 1] = "env"
    for name, value in pairs(options.env) do
      line[#line + 1] = name .. "=" .. value
    end
  end
  for _, word in ipairs(argv) do
    line[#line + 1] = tostring(word)
  end
  unistd.execp("setpriv", line)
end

-- Starts `argv`. options: input (a file), cwd, env, nofile (how many descriptors it may have).
function process.start(argv, options)
  options = options or {}
  local directory = process.directory()
  local out, err = directory .. "/out", directory .. "/err"
  local pid = assert(unistd.fork())
  if pid == 0 then
    pcall(child_exec, argv, options, out, err)
    unistd._exit(127)
  end
  local child = setmetatable({ pid = pid, name = argv[1], out_path = out, err_path = err }, process)
  children[#children + 1] = child
  return child
end

-- False once it has ended; `status` is its exit status then, or "signal N".
function process:alive()
  if self.status then
    return false
  end
  local pid, how, status = wait.wait(self.pid, wait.WNOHANG)
  if pid == self.pid and how ~= "running" then
    self.status = how == "exited" and status or ("signal %d"):format(status)
  end
  return self.status == nil
end

-- The exit status, or nil when it still runs after so many seconds.
function process:wait(seconds)
  local due = process.now() + (seconds or 10)
  while self:alive() do
    if process.now() > due then
      return nil
    end
    process.nap(0.002)
  end
  return self.status
end

-- Nothing, when it has ended already.
local LINUX = { SIGWINCH = 28, SIGPWR = 30 } -- which luaposix has no names of

function process:signal(name)
  if self:alive() then
    signal.kill(self.pid, assert(signal[name] or LINUX[name]))
  end
end

function process:out()
  return process.read(self.out_path)
end

function process:err()
  return process.read(self.err_path)
end

-- How many descriptors it has open.
function process:fds()
  return #dirent.dir(("/proc/%d/fd"):format(self.pid)) - 2
end

-- How many of them are ends of pipes.
function process:pipes()
  local count, directory = 0, ("/proc/%d/fd/"):format(self.pid)
  for _, name in ipairs(dirent.dir(directory)) do
    local target = lfs.symlinkattributes(directory .. name, "target")
    count = count + (target and target:find "^pipe:" and 1 or 0)
  end
  return count
end

-- Its resident memory, in bytes.
function process:rss()
  return tonumber(process.read(("/proc/%d/status"):format(self.pid)):match "VmRSS:%s*(%d+) kB") * 1024
end

-- How long its threads have run, in seconds.
function process:cpu()
  local directory, sum = ("/proc/%d/task/"):format(self.pid), 0
  for _, name in ipairs(dirent.dir(directory)) do
    if name:find "^%d" then
      sum = sum + tonumber(process.read(directory .. name .. "/schedstat"):match "%d+") / 1e9
    end
  end
  return sum
end

-- SIGTERM, and SIGKILL when that is not enough. Its status.
function process:stop()
  self:signal "SIGTERM"
  if not self:wait(5) then
    self:signal "SIGKILL"
    self:wait(5)
  end
  return self.status
end

-- Runs `argv` to its end: { status =, out =, err = }. The status is "timeout" after options.seconds (20).
function process.run(argv, options)
  local child = process.start(argv, options)
  local status = child:wait(options and options.seconds or 20)
  if not status then
    child:signal "SIGKILL"
    child:wait(5)
  end
  return { status = status or "timeout", out = child:out(), err = child:err() }
end

function process.finish()
  for i = #children, 1, -1 do
    children[i]:stop()
    children[i] = nil
  end
  for i = #directories, 1, -1 do
    assert(directories[i]:find("^/tmp/moongate%-spec%-"))
    os.execute(("rm -rf '%s'"):format(directories[i]))
    directories[i] = nil
  end
end

return process
