-- SPDX-License-Identifier: MIT
--
-- testing.start: a whole moongate in the process of the spec. Run by moongate test.

local system = require "system"
local testing = require "moongate.testing"

local function greeter(text)
  return function(socket)
    socket:send(text .. "\n")
  end
end

local function route(name, ports, handler)
  return { name = name, match = { ports = ports }, action = { handler = handler } }
end

describe("testing.start", function()
  local m

  local function start(options)
    m = testing.start(options)
    return m
  end

  after_each(function()
    if m then
      m:stop()
      m = nil
    end
  end)

  it("starts and stops in under 100 ms", function()
    local shortest = math.huge
    for _ = 1, 5 do
      local began = system.monotime()
      testing.start({ routes = { route("one", 80, greeter "hi") } }):stop()
      shortest = math.min(shortest, system.monotime() - began)
    end
    assert.is_true(shortest < 0.1, ("it took %.1f ms"):format(shortest * 1000))
  end)

  it("serves on ports of its own, whatever the routes say", function()
    start({ routes = { route("web", { 80, 443 }, greeter "web"), route("range", "8000-8002", greeter "range") } })
    for _, number in ipairs({ 80, 443 }) do
      assert.equal("web", m:connect(number):receive "*l")
      assert.is_true(m:port("web", number) > 1023)
    end
    assert.equal("range", m:connect("range", { wanted = 8001 }):receive "*l")
    assert.has_error(function()
      m:port "moon"
    end, "there is no route 'moon' that listens")
  end)

  it("tells routes the port that they say", function()
    start({
      routes = {
        route("web", 443, function(socket, context)
          socket:send(context.port .. "\n")
        end),
      },
    })
    assert.equal("443", m:connect("web"):receive "*l")
  end)

  it("forwards between two of them", function()
    local target = testing.start({ routes = { route("echo", 7, moongate.handlers.echo()) } })
    start({
      routes = { name = "front", match = { ports = 80 }, action = { target = "127.0.0.1:" .. target:port "echo" } },
    })
    local c = m:connect "front"
    c:send(("x"):rep(300000))
    assert.equal(300000, #c:receive(300000))
    c:close()
    target:stop()
  end)

  it("is the one worker of its functions", function()
    start({
      routes = route("who", 7, function(socket)
        socket:send(("%d of %d\n"):format(moongate.worker.number, moongate.worker.count))
      end),
    })
    assert.equal("1 of 1", m:connect("who"):receive "*l")
  end)

  it("asks the functions of routes, with their upvalues", function()
    local wanted = "first"
    local function when(name)
      return function()
        return wanted == name
      end
    end
    local first, second = route("first", 80, greeter "first"), route("second", 80, greeter "second")
    first.match.when, second.match.when = when "first", when "second"
    start({ routes = { first, second } })
    assert.equal("first", m:connect(80):receive "*l")
    wanted = "second"
    assert.equal("second", m:connect(80):receive "*l")
  end)

  it("counts", function()
    start({ routes = { route("echo", 7, moongate.handlers.echo()) } })
    local c = m:connect "echo"
    c:send "12345"
    c:receive(5)
    local samples = m:metrics()
    assert.equal(5, samples['moongate_route_bytes_total{route="echo",direction="in"}'])
    assert.equal(1, samples["moongate_active_connections"])
    assert.equal(1, m:connections())
    assert.equal("echo", m:status().routes[1].name)
    c:close()
  end)

  it("tells its functions what it has measured, and no other one", function()
    local function measure(socket)
      socket:send(moongate.metrics.connections.active() .. " " .. moongate.metrics.totals.connections() .. "\n")
      socket:receive()
    end
    local other = testing.start({ routes = { route("other", 7, moongate.handlers.echo()) } })
    start({ routes = { route("measure", 7, measure) } })
    local clients = {}
    for i = 1, 3 do
      clients[-i], clients[i] = other:connect "other", m:connect "measure"
      assert.equal(("%d %d"):format(i, i), clients[i]:receive "*l")
    end
    assert.equal("1 1", testing.call(measure):receive "*l")
    other:stop()
  end)

  it("lets no one wait for what it will not measure any more", function()
    local path = os.tmpname()
    os.remove(path)
    assert(require("lfs").mkdir(path))
    local file = assert(io.open(path .. "/ask.lua", "w"))
    file:write([[
      local function ask()
        for _ = 1, 100 do moongate.spawn(moongate.metrics.connections.total) end
        return moongate.metrics.connections.total()
      end
      moongate.every(1, ask)
      local function handler(socket) socket:send(ask() .. "\n") end
      return { name = "ask", match = { ports = 7 }, action = { handler = handler } }
    ]])
    file:close()
    start({ routes = path })
    assert.equal("1", m:connect("ask"):receive "*l")
    m:connect "ask"
    moongate.sleep(0)
    m:stop()
    os.remove(path .. "/ask.lua")
    os.remove(path)
  end)

  it("keeps its log to itself, handlers' errors included", function()
    start({
      quiet = true,
      config = { log = { level = "warn" } },
      routes = {
        route("bad", 7, function()
          error "the moon is gone"
        end),
      },
    })
    m:connect("bad"):receive "*a"
    local lines = m:log()
    assert.equal(1, #lines)
    assert.matches("the moon is gone", lines[1], 1, true)
    assert.equal(1, m:metrics()['moongate_handler_errors_total{route="bad"}'])
  end)

  it("loads a directory as moongate run does", function()
    start({ routes = "routes" })
    local c = m:connect "line"
    assert.matches("welcome, 127.0.0.1", c:receive "*l", 1, true)
    c:close()
    assert.equal(200, m:get("http://localhost:8080/").status)
  end)

  it("speaks HTTP with a route", function()
    local handler = moongate.handlers.http_response({ status = 404, headers = { ["X-Moon"] = "full" }, body = "?" })
    start({ routes = route("page", 80, handler) })
    local answer = assert(m:get("http://a.example.com/x?y", { headers = { Accept = "*/*" } }))
    assert.same({ 404, "full", "?" }, { answer.status, answer.headers["x-moon"], answer.body })
    assert.has_error(function()
      m:get "moon"
    end)
  end)

  it("says what is wrong with routes and config", function()
    local fine, message = pcall(testing.start, { routes = { { name = "x", match = { port = 80 } } } })
    assert.is_false(fine)
    assert.matches('route "x": match.port', message, 1, true)
    fine, message = pcall(testing.start, { routes = {}, config = { time_outs = {} } })
    assert.is_false(fine)
    assert.matches("time_outs", message, 1, true)
    assert.has_error(function()
      testing.start({ route = {} })
    end)
  end)

  it("lets connections finish when it is asked to", function()
    start({
      routes = {
        route("slow", 7, function(socket)
          socket:receive "*l"
          moongate.sleep(0.05)
          socket:send "done\n"
        end),
      },
    })
    local c = m:connect "slow"
    c:send "go\n"
    local answer
    moongate.spawn(function()
      answer = c:receive "*l"
      c:close()
    end)
    moongate.sleep(0.01)
    m:stop(10)
    assert.equal("done", answer)
  end)

  it("leaves nothing behind", function()
    local lfs = require "lfs"
    local function descriptors()
      local count = 0
      for _ in lfs.dir "/proc/self/fd" do
        count = count + 1
      end
      return count
    end
    testing.start({ routes = { route("one", 80, greeter "hi") } }):stop()
    local before = descriptors()
    for _ in pairs({ 1, 2, 3 }) do
      testing.start({ routes = { route("one", 80, greeter "hi") } }):stop()
    end
    assert.equal(before, descriptors())
  end)
end)
