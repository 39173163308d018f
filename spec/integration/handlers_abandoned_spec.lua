-- SPDX-License-Identifier: MIT
--
-- Clients that leave while a handler, or another function of the route, waits for something else: a reset ends what
-- runs for them at once, a mere end does not.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("a client that leaves while its handler waits elsewhere", function()
  after_each(moongate.finish)

  local function handler(body)
    return ("handler = function(s, context) %s end"):format(body)
  end

  local function start(action, more)
    local m = moongate.start { routes = moongate.front(action, nil, more) }
    return m, assert(net.connect(m:port "front"))
  end

  local function expect_reset(m)
    m:await_idle(10)
    assert.are.equal(1, m:metric 'connection_terminations_total{side="client",reason="reset"}')
    assert.are.equal(0, m:metric 'handler_errors_total{route="front"}')
  end

  it("with a reset ends a handler that sleeps", function()
    local m, client = start(handler "s:receive(1) moongate.sleep(3600)")
    client:send "xy"
    m:await_metric('route_bytes_total{route="front",direction="in"}', function(bytes)
      return bytes > 0
    end)
    client:reset()
    expect_reset(m)
  end)

  it("with a reset ends a handler that reads another socket, and closes that", function()
    local target = net.listen()
    local m, client = start(handler(("local o = moongate.connect('127.0.0.1', %d) o:receive(1)"):format(target:port())))
    local other = assert(target:accept())
    client:reset()
    expect_reset(m)
    assert.are.same({ "", "end" }, { other:receive_all() })
  end)

  it("with a reset ends what the handler has spawned, too", function()
    local target = net.listen()
    local body = "moongate.spawn(function() moongate.connect('127.0.0.1', %d):receive(1) end) moongate.sleep(99)"
    local m, client = start(handler(body:format(target:port())))
    local other = assert(target:accept())
    client:reset()
    expect_reset(m)
    assert.are.same({ "", "end" }, { other:receive_all() })
  end)

  it("with a reset tells a handler that waits to read from it, which may go on", function()
    local target = net.listen()
    local body = "local _, e = s:receive(1) local o = moongate.connect('127.0.0.1', %d) o:send(e)"
    local m, client = start(handler(body:format(target:port())))
    m:await_metric('connections_by_state{state="handling"}', 1)
    client:reset()
    local other = assert(target:accept())
    assert.are.same({ "closed", "end" }, { other:receive_all() })
    expect_reset(m)
  end)

  it("with an end leaves the handler alone", function()
    local target = net.listen()
    local body = "moongate.sleep(1) local o = moongate.connect('127.0.0.1', %d) o:send('done')"
    local m, client = start(handler(body:format(target:port())))
    m:await_metric('connections_by_state{state="handling"}', 1)
    client:close()
    local other = assert(target:accept())
    assert.are.same({ "done", "end" }, { other:receive_all() })
    m:await_idle()
  end)

  it("with an end leaves the handler alone also when that has ended its side", function()
    local target = net.listen()
    local body = "s:shutdown('send') moongate.sleep(1) local o = moongate.connect('127.0.0.1', %d) o:send('done')"
    local m, client = start(handler(body:format(target:port())))
    assert.are.same({ "", "end" }, { client:receive_all() })
    client:close()
    local other = assert(target:accept())
    assert.are.same({ "done", "end" }, { other:receive_all() })
    m:await_idle()
  end)

  it("with a reset ends a function that is being asked for the target", function()
    local m, client = start "target = function() moongate.sleep(20) return '127.0.0.1', 9 end"
    m:await_metric('connections_by_state{state="connecting"}', 1)
    client:reset()
    expect_reset(m)
  end)

  it("with a reset ends a function that is being asked whether it may", function()
    local m, client = start("target = '127.0.0.1:9'",
      "security = { authorize = function() moongate.sleep(20) return true end }")
    m:await_metric('connections_by_state{state="routing"}', 1)
    client:reset()
    expect_reset(m)
  end)

  it("without reading its answer is waited for once, for timeouts.linger", function()
    local m = moongate.start {
      config = "timeouts = { linger = '3s' },",
      routes = moongate.front(handler "s:send(('x'):rep(100000))"),
    }
    local client = assert(net.connect(m:port "front", { receive_buffer = 4096 }))
    m:await_metric("active_connections", 1)
    m:await_idle(20)
    assert.are.equal(1, m:metric 'connection_terminations_total{side="client",reason="linger"}')
    local closing = m:metric 'connection_state_seconds_sum{state="closing"}'
    assert.is_true(closing > 2.9 and closing < 5.9, ("it took %s s"):format(closing))
    client:close()
  end)
end)
