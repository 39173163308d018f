-- SPDX-License-Identifier: MIT
--
-- The end has a bound: told to stop, moongate is gone within timeouts.shutdown and two seconds, whatever one of its
-- threads hangs in; at a second signal at once. What hangs here hangs in the kernel, where nothing can stop it.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"
local unistd = require "posix.unistd"

local SHUTDOWN, GRACE = 2, 2

-- What a machine that does other things meanwhile may take longer.
local SLACK = 1

describe("the end", function()
  after_each(moongate.finish)

  -- A handler that hangs in open(2) of a FIFO which nobody writes to, once its client has said something.
  local function hanging(fifo)
    return moongate.front(([[handler = function(s)
      s:send "ready\n"
      if s:receive "*l" == "hang" then
        s:send "hanging\n"
        io.open(%q)
      end
    end]]):format(fifo))
  end

  local function start(options)
    options = options or {}
    local space = moongate.workspace(options)
    space.fifo = space.directory .. "/fifo"
    assert(os.execute("mkfifo " .. space.fifo) == 0)
    process.write(space.directory .. "/routes/routes.lua", hanging(space.fifo))
    options.space = space
    return moongate.start(options)
  end

  local function hang(m)
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("ready", client:receive_line())
    client:send "hang\n"
    assert.are.equal("hanging", client:receive_line())
    return client
  end

  -- Seconds from the signal to the end, and how it ended.
  local function stop(m, signal)
    local began = process.now()
    m.process:signal(signal or "SIGTERM")
    local status = m.process:wait(SHUTDOWN + GRACE + SLACK + 10)
    m.stopped = true
    assert.is_truthy(status, "it is still there")
    return process.now() - began, status
  end

  local function expect_within(seconds, took)
    assert.is_true(took <= seconds + SLACK, ("it took %.2f s"):format(took))
  end

  it("comes in time although a worker hangs, which the log says", function()
    local m = start { workers = 2 }
    hang(m)
    local took, status = stop(m)
    expect_within(SHUTDOWN + GRACE, took)
    assert.are.equal(1, status)
    m:await_log "a thread does not answer; ending without it[^\n]* thread=worker worker=[12]"
    assert.is_nil(io.open(m.control), "the control socket is still there")
  end)

  it("comes at once at a second signal although a worker hangs", function()
    local m = start { config = "timeouts = { shutdown = '60s' }," }
    hang(m)
    m.process:signal "SIGTERM"
    process.wait_for(function()
      return m:get "/readyz" == 503
    end)
    expect_within(GRACE, (stop(m, "SIGINT")))
  end)

  it("comes in the time that a drain was given although a worker hangs", function()
    local m = start { config = "timeouts = { shutdown = '60s' }," }
    hang(m)
    local began = process.now()
    local child = process.start { moongate.binary, "--control", m.control, "drain", "--timeout", "1s" }
    assert.is_truthy(m.process:wait(20))
    m.stopped = true
    expect_within(1 + GRACE, process.now() - began)
    assert.are.equal(1, child:wait(20))
    assert.truthy(child:err():find("moongate has ended while it drained, before all was done: a thread hung", 1, true),
      child:err())
  end)

  it("is answered for by the admin interface until it comes", function()
    local m = start { workers = 2 }
    hang(m)
    m.process:signal "SIGTERM"
    process.wait_for(function()
      return m:get "/readyz" == 503
    end)
    local answers = 0
    while m:get "/healthz" == 200 do
      answers = answers + 1
      process.nap(0.1)
    end
    assert.is_true(answers > 10, ("%d answers"):format(answers))
    assert.is_truthy(m.process:wait(10))
    m.stopped = true
  end)

  for _, signal in ipairs { "SIGTERM", "SIGINT", "SIGQUIT", "SIGPWR" } do
    it("is asked for by " .. signal, function()
      local m = start()
      local took, status = stop(m, signal)
      assert.are.equal(0, status)
      expect_within(GRACE, took)
    end)
  end

  it("is not what SIGUSR2 asks for, which is logged", function()
    local m = start()
    m.process:signal "SIGUSR2"
    m:await_log "SIGUSR2 is kept for the upgrade"
    assert.are.equal(200, (m:get "/readyz"))
  end)

  it("is not what other signals of who manages processes ask for, at no time", function()
    local space = moongate.workspace { routes = moongate.front "handler = moongate.handlers.echo()" }
    local fifo = space.directory .. "/fifo"
    assert(os.execute("mkfifo " .. fifo) == 0)
    process.write(
      space.config_path,
      ("io.open(%q):close()\nreturn { control = %q, state = %q, admin = { listen = false }, workers = 1 }"):format(
        fifo,
        space.control,
        space.directory .. "/state"
      )
    )
    local m = moongate.start { space = space, ready = false }
    local writer = assert(io.open(fifo, "w")) -- it is there when somebody reads: the config is being read
    for _, name in ipairs { "SIGHUP", "SIGUSR1", "SIGUSR2" } do
      m.process:signal(name)
    end
    writer:close()
    m:await_log '"ready"'
    m:await_log "SIGUSR2 is kept for the upgrade"
    for _, name in ipairs { "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGXFSZ", "SIGWINCH", "SIGCHLD", "SIGURG" } do
      m.process:signal(name)
    end
    m:await_log "SIGUSR2 is kept for the upgrade[^\n]*\n.*SIGUSR2 is kept for the upgrade"
    assert.are.equal(200, (m:get "/readyz"))
  end)

  it("comes in time although a loader hangs", function()
    local m = start()
    m:write("loading.lua", ("io.open(%q) return {}"):format(m.fifo))
    m:await_log("a file takes long to load", 10)
    local took, status = stop(m)
    assert.are.equal(0, status)
    expect_within(GRACE, took)
  end)

  it("comes in time although a worker and two loaders hang", function()
    local m = start { workers = 2, config = "limits = { load_time = '1s' }," }
    hang(m)
    for i = 1, 2 do
      m:write(("loading%d.lua"):format(i), ("io.open(%q) return {}"):format(m.fifo))
    end
    m:await_log("lost_loaders=2", 20)
    local took, status = stop(m)
    assert.are.equal(1, status)
    expect_within(SHUTDOWN + GRACE, took)
  end)

  -- A handler that is in the middle of something, so that the whole of timeouts.shutdown is used up.
  local function keep_busy(m)
    local client = assert(net.connect(m:port "busy"))
    assert.are.equal("!", (client:receive(1)))
    return client
  end

  local BUSY = [[return { name = "busy", match = { ports = 0 }, action = { handler = function(s)
    s:send "!"
    moongate.sleep(600)
  end } }]]

  it("comes in time although the disk is full", function()
    local space = moongate.workspace { routes = BUSY }
    local mark = space.directory .. "/mark"
    local script = [[state=$1; mark=$2; shift 2; mount -t tmpfs -o size=64k,mode=700 tmpfs "$state" || exit 9
      (until [ -e "$mark" ]; do [ -d "$state" ] && sleep 0.05 || exit; done
        cat /dev/zero > "$state/full"; mv "$mark" "$mark.done") 2>&- &
      exec "$@" 2>>"$state/log"]]
    local namespaces = unistd.geteuid() == 0 and "-m" or "-rm"
    local within = { "unshare", namespaces, "sh", "-c", script, "sh", space.directory .. "/state", mark }
    local m = moongate.start { space = space, within = within }
    keep_busy(m)
    process.write(mark, "")
    process.wait_for(function()
      return process.read(mark) == "" and io.open(mark .. ".done")
    end)
    m:write("new.lua", swapping.counting("b", "v1"))
    swapping.await("b", "v1")
    local took, status = stop(m)
    assert.are.equal(0, status)
    expect_within(SHUTDOWN + GRACE, took)
  end)

  for number, name in ipairs { "stdout", "stderr" } do
    it(("comes in time although nobody reads its %s"):format(name), function()
      local fifo = process.directory() .. "/fifo"
      assert(os.execute("mkfifo " .. fifo) == 0)
      local script = ([[fifo=$1; shift; exec 9<>"$fifo"; exec "$@" %d>"$fifo"]]):format(number)
      local m = moongate.start {
        workers = 2,
        routes = {
          ["busy.lua"] = BUSY,
          ["loud.lua"] = [[local text = ("x"):rep(256 * 1024)
            print(text)
            io.stderr:write(text)
            return { name = "loud", match = { ports = 0 }, action = { handler = function(s)
              print(text) io.stderr:write(text) moongate.log.info(text:sub(1, 8000)) s:send "?" moongate.sleep(600)
            end } }]],
        },
        within = { "sh", "-c", script, "sh", fifo },
      }
      keep_busy(m)
      for _ = 1, 20 do
        assert(net.connect(m:port "loud"))
      end
      local took, status = stop(m)
      assert.are.equal(0, status)
      expect_within(SHUTDOWN + GRACE, took)
    end)
  end

  it("comes in time with 9,000 ports", function()
    local from = swapping.port "a"
    local m = moongate.start {
      nofile = 16384,
      routes = {
        ["busy.lua"] = BUSY,
        ["many.lua"] = ([[return { name = "many", match = { address = %q, ports = "%d-%d" },
          action = { target = "127.0.0.1:1" } }]]):format(swapping.host, from, from + 8999),
      },
    }
    keep_busy(m)
    local took, status = stop(m)
    assert.are.equal(0, status)
    expect_within(SHUTDOWN + GRACE, took)
  end)
end)
