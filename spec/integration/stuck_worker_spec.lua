-- SPDX-License-Identifier: MIT
--
-- A worker that is blocked in the kernel: said in the log with its route and file, told by /readyz, /metrics and the
-- commands, and not waited for by them.

local cjson = require "cjson"
local fcntl = require "posix.fcntl"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local unistd = require "posix.unistd"

-- Opening a FIFO that nobody writes to: no hook of Lua's runs, and no signal reaches the thread.
local HANGING = [[
local function hang(socket)
  socket:send "hanging\n"
  io.open(%q):close()
  socket:send "back\n"
end
return { name = "slow-disk", match = { ports = 0 }, action = { handler = hang } }
]]

local PLAIN = [[
return {
  name = "plain",
  match = { ports = 0 },
  action = { handler = function(socket) socket:send "hello\n" end },
}
]]

describe("a worker that is blocked in the kernel", function()
  local fifo

  local function start(workers)
    local space = moongate.workspace { workers = workers }
    fifo = space.directory .. "/fifo"
    assert(os.execute("mkfifo " .. fifo) == 0)
    process.write(space.directory .. "/routes/hanging.lua", HANGING:format(fifo))
    process.write(space.directory .. "/routes/plain.lua", PLAIN)
    return moongate.start { space = space }
  end

  -- Lets the openings of the FIFO return.
  local function release()
    process.wait_for(function()
      local fd = fcntl.open(fifo, fcntl.O_WRONLY + fcntl.O_NONBLOCK)
      return fd and unistd.close(fd)
    end)
  end

  local function block(m)
    local client = assert(net.connect(m:port "slow-disk"))
    assert.are.equal("hanging", client:receive_line())
    return client
  end

  after_each(moongate.finish)

  it("is told by the log, /readyz, metrics and commands, with its route and file, until it goes on", function()
    local m = start(1)
    assert.are.equal(0, m:metric "stuck_workers")
    local client = block(m)
    m:await_log "a worker is stuck"
    local line = m:log():match "[^\n]*a worker is stuck[^\n]*"
    for _, words in ipairs { "level=error", "worker=1", "route=slow-disk", "file=hanging.lua" } do
      assert.truthy(line:find(words, 1, true), line)
    end
    local seconds = tonumber(line:match "seconds=([%d.]+)")
    assert.is_true(seconds >= 2 and seconds < 10, line)

    local status, body = m:get "/readyz"
    assert.are.equal(503, status)
    assert.truthy(body:find("worker 1 is stuck for %d+s in route slow%-disk %(hanging%.lua%)"), body)
    assert.are.equal(1, m:metric "stuck_workers")

    for _, words in ipairs { { "status" }, { "conns" }, { "routes" }, { "explain", "1-1" } } do
      local result = moongate.command { words[1], "--control", m.control, words[2] }
      assert.are.equal(1, result.status, words[1] .. result.err)
      assert.truthy(result.out:find("not known: worker 1 is stuck for ", 1, true), result.out)
      assert.are.equal("", result.err)
    end
    local json = moongate.command { "conns", "--json", "--control", m.control }
    assert.are.equal(1, json.status)
    assert.truthy(json.out:find('"complete":false', 1, true), json.out)

    local snapshot = moongate.command { "diagnose", "--json", "--control", m.control }
    local worker = cjson.decode(snapshot.out).workers[1]
    assert.is_false(worker.answered)
    assert.is_true(worker.lag >= 2 and worker.worst_lag >= worker.lag, worker.lag)

    release()
    assert.are.equal("back\n", client:receive_all())
    m:await_log "a worker that was stuck goes on"
    assert.are.equal(200, (m:get "/readyz"))
    assert.are.equal(0, moongate.command({ "status", "--control", m.control }).status)
  end)

  it("has others accept for it, until it goes on", function()
    local m = start(3)
    local before = m:fds()
    local clients = { block(m) }
    m:await_log "another worker accepts for one that is stuck"
    local port = m:port "plain"
    local function ask(count)
      for _ = 1, count do
        local client = assert(net.connect(port))
        assert.are.equal("hello\n", client:receive_all())
        client:close()
      end
    end
    ask(60)
    local status, body = m:get "/readyz"
    assert.are.equal(200, status)
    local told = "^ready\nworker %d is stuck for %d+s in route slow%-disk %(hanging%.lua%); worker %d accepts"
    assert.truthy(body:find(told), body)

    -- A second one, perhaps the one that has taken over: the third has it all then.
    clients[2] = block(m)
    process.wait_for(function()
      local stuck = m:status().stuck
      return #stuck == 2 and stuck[1].accepted_by and stuck[1].accepted_by == stuck[2].accepted_by
    end)
    ask(60)

    release()
    for _, client in ipairs(clients) do
      assert.are.equal("back\n", client:receive_all())
      client:close()
    end
    process.wait_for(function()
      return #m:status().stuck == 0 and m:fds() <= before
    end)
    ask(60)
    -- What was taken over is not in the way of a swap.
    m:delete "plain.lua"
    m:await_generation(2)
    assert.are.same({ nil, "refused" }, { net.connect(port) })
  end)

  it("has others accept for it once there are descriptors for that", function()
    local m = start(2)
    local client = block(m)
    local function limit(count)
      assert(os.execute(("prlimit --pid %d --nofile=%d:"):format(m.process.pid, count)) == 0)
    end
    local before = tonumber(process.read(("/proc/%d/limits"):format(m.process.pid)):match "Max open files%s+(%d+)")
    process.nap(1) -- it is in the kernel, and not taken for stuck yet
    limit(4)
    m:await_log "another worker can't accept on all ports of one that is stuck"
    process.nap(1.5) -- beats, of which each tries again, and is not told
    limit(before)
    m:await_log "another worker accepts for one that is stuck"
    assert.are.equal(2, select(2, m:log():gsub("another worker ", "")))
    assert.is_number(m:status().stuck[1].accepted_by)
    release()
    assert.are.equal("back\n", client:receive_all())
  end)

  it("is asked no more questions than it can answer at once when it is back", function()
    local m = start(1)
    block(m)
    m:await_log "a worker is stuck"
    for _ = 1, 40 do -- more than may be under way
      assert.is_false(m:live_connections().complete)
    end
    release()
    m:await_log "a worker that was stuck goes on"
    assert.is_true(m:live_connections().complete)
  end)

  it("is not what a process is taken for that was frozen", function()
    local m = start(2)
    m.process:signal "SIGSTOP"
    process.nap(4)
    m.process:signal "SIGCONT"
    local before = m:status().uptime
    process.wait_for(function()
      return m:status().uptime > before + 3
    end)
    assert.is_nil(m:log():find("stuck", 1, true))
    assert.are.equal(200, (m:get "/readyz"))
  end)
end)
