-- SPDX-License-Identifier: MIT
--
-- Starting and stopping: what keeps moongate from starting is said with what, where and what to do, and it never shares
-- a port or a state directory with another one by accident.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("moongate run", function()
  after_each(moongate.finish)

  local function forward(port, address)
    return moongate.front(1, ("ports = %d, address = %s"):format(port, address and ("%q"):format(address) or "nil"))
  end

  -- Starts one that is to end by itself with status 1: what it said.
  local function failing(options)
    options.ready = false
    local m = moongate.start(options)
    m.may_fail = true
    local status = m.process:wait(20)
    assert.are.equal(1, status, m:log())
    return m:log()
  end

  local function expect(text, ...)
    for _, word in ipairs { ... } do
      assert.truthy(text:find(tostring(word), 1, true), ("no %q in: %s"):format(word, text))
    end
  end

  it("refuses a state directory that another one has, and names the lock", function()
    local m = moongate.start { routes = "return {}" }
    local state = m.directory .. "/state"
    expect(failing { routes = "return {}", state = state }, "lock", state)
    assert.are.equal(200, (m:get "/readyz"))
  end)

  it("starts again on the state directory of one that was killed", function()
    local m = moongate.start { routes = "return {}" }
    m.process:signal "SIGKILL"
    m.process:wait()
    m.stopped = true
    local again = moongate.start { space = m }
    assert.are.equal(0, again:stop())
  end)

  it("says what it listens on", function()
    local m = moongate.start {
      routes = [[return {
        { name = "all", match = { ports = 0 }, action = { target = "127.0.0.1:1" } },
        { name = "one", match = { ports = 0, address = "127.0.0.2" }, action = { target = "127.0.0.1:1" } },
      }]],
    }
    m:await_log(("listening[^\n]* route=all [^\n]*address=%%*:%d "):format(m:port "all"))
    m:await_log(("listening[^\n]* route=one [^\n]*address=127%%.0%%.0%%.2:%d "):format(m:port "one"))
  end)

  it("refuses a port that another moongate has, and names port and route", function()
    local m = moongate.start { workers = 2, routes = forward(0) }
    local port = m:port "front"
    expect(failing { workers = 2, routes = forward(port) }, port, "front", "in use")
    assert(net.connect(port))
  end)

  it("refuses a port that another program has, and names port and route", function()
    local taken = net.listen()
    expect(failing { routes = forward(taken:port()) }, taken:port(), "front", "in use", "ends and waits for nothing")
  end)

  it("refuses an address that this machine does not have", function()
    expect(failing { routes = forward(net.free_ports(1), "198.51.100.1") }, "198.51.100.1", "front")
  end)

  it("binds the admin port or, when it is strict, says that it can't", function()
    local taken = net.listen()
    local text = failing {
      config = ("admin = { listen = '127.0.0.1:%d' }"):format(taken:port()),
      routes = "return {}",
      flags = { "--strict" },
    }
    expect(text, taken:port(), "admin")
  end)

  it("does not start when none of its files can be served", function()
    local text = failing { routes = { ["bad.lua"] = "return {\n  name = = 1 }", ["worse.lua"] = "return 1" } }
    expect(text, "bad.lua:2:", "worse.lua", "no route file can be served")
  end)

  it("does not start with a faulty file when it is strict", function()
    local space = moongate.workspace {
      routes = { ["bad.lua"] = "return {\n  name = = 1 }", ["good.lua"] = forward(0) },
    }
    expect(failing { space = space, flags = { "--strict" } }, "bad.lua:2:")
  end)

  it("goes live with the other files when one is faulty", function()
    local m = moongate.start { routes = { ["bad.lua"] = "return {\n  name = = 1 }", ["good.lua"] = forward(0) } }
    assert(net.connect(m:port "front"))
    expect(m:log(), "bad.lua", "line=2")
  end)

  it("goes live without files of routes", function()
    local m = moongate.start {}
    assert.are.same({}, m:status().routes)
  end)

  for _, signal in ipairs { "SIGTERM", "SIGINT" } do
    it("ends with 0 and closed ports on " .. signal, function()
      local m = moongate.start { workers = 2, routes = forward(0) }
      local port = m:port "front"
      assert.are.equal(0, m:stop(signal))
      assert.are.same({ nil, "refused" }, { net.connect(port) })
      assert.is_nil(io.open(m.control), "the control socket is still there")
    end)
  end

  it("closes idle connections at once when told to stop", function()
    local target = net.listen()
    local m = moongate.start {
      config = "timeouts = { shutdown = '60s' }",
      routes = moongate.front(target:port()),
    }
    local client = net.connect(m:port "front")
    client:send "hello"
    assert.are.equal("hello", (target:accept():receive(5)))
    m.process:signal "SIGTERM"
    assert.are.same({ "", "end" }, { client:receive_all(5) })
    client:close()
    m.stopped = true
    assert.are.equal(0, m.process:wait(10))
  end)

  it("ends at once on a second signal, whatever a handler does", function()
    local m = moongate.start {
      config = "timeouts = { shutdown = '60s' }",
      routes = [[return { name = "busy", match = { ports = 0 }, action = { handler = function(socket)
        socket:send "!"
        moongate.sleep(60)
      end } }]],
    }
    local port = m:port "busy"
    local client = net.connect(port)
    assert.are.equal("!", (client:receive(1)))
    m.process:signal "SIGTERM"
    process.wait_for(function()
      return not net.connect(port)
    end, 10, "the first signal to be noticed")
    m.process:signal "SIGTERM"
    m.stopped = true
    assert.are.equal(0, m.process:wait(5))
  end)

  it("takes the number of workers from the command line", function()
    local m = moongate.start { workers = 1, routes = "return {}", flags = { "--workers", "3" } }
    local status = m:status()
    assert.are.equal(3, type(status.workers) == "table" and #status.workers or status.workers)
  end)
end)
