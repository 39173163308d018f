-- SPDX-License-Identifier: MIT
--
-- Targets that can't be reached and clients that don't wait: the connection ends in time, its reason is counted, and
-- nothing of it is left.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

describe("forwarding", function()
  after_each(moongate.finish)

  local function start(target, config)
    return moongate.start { workers = 1, config = config, routes = moongate.front(("target = %q"):format(target)) }
  end

  local function expect_ended(client, seconds)
    local bytes, how = client:receive_all(seconds)
    assert.are.equal("", bytes)
    assert.are_not.equal("timeout", how)
    client:close()
  end

  local function expect_reason(m, side, reason)
    m:await_metric(('connection_terminations_total{side="%s",reason="%s"}'):format(side, reason), 1)
    m:await_idle()
  end

  it("to a target that refuses ends the client's connection", function()
    local m = start("127.0.0.1:" .. net.refusing_port())
    expect_ended(net.connect(m:port "front"))
    expect_reason(m, "target", "refused")
    assert.are.equal(1, m:metric 'errors_total{type="connect_refused"}')
    assert.truthy(m:log():find(" target=127%.0%.0%.1:%d+ error=") and not m:log():find(" port=", 1, true), m:log())
  end)

  it("to a unix socket that is not there ends the client's connection", function()
    local m = start "unix:/nowhere/at/all"
    expect_ended(net.connect(m:port "front"))
    m:await_idle()
    local metrics = m:metrics()
    assert.are.equal(1, metrics['moongate_errors_total{type="connect_refused"}'])
    local line = m:await_log "[^\n]*no target could be reached[^\n]*"
    assert.truthy(line:find('error="no such socket"', 1, true), line)
    assert.falsy(line:find("port=", 1, true), line)
    assert.truthy(line:find("target=unix:/nowhere/at/all ", 1, true), line)
  end)

  it("is told for each route, however often another one fails, with the outcome", function()
    local refusing = net.refusing_port()
    local m = moongate.start {
      workers = 1,
      routes = ([[return {
        { name = "one", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "two", match = { ports = 0 }, action = { targets = { "127.0.0.1:%d", "127.0.0.1:%d" } } },
      }]]):format(refusing, refusing, refusing),
    }
    for _, name in ipairs { "one", "one", "one", "two" } do
      expect_ended(net.connect(m:port(name)))
    end
    m:await_idle()
    assert.truthy(m:await_log "no target could be reached[^\n]* route=one [^\n]* attempts=1 ")
    assert.truthy(m:await_log "a target could not be reached[^\n]* route=two [^\n]* attempts=1 ")
    assert.truthy(m:await_log "no target could be reached[^\n]* route=two [^\n]* attempts=2 ")
  end)

  it("to a target that never answers the SYN ends after timeouts.connect", function()
    local m = start("127.0.0.1:" .. net.blackhole(), "timeouts = { connect = '500ms' }")
    local client, began = net.connect(m:port "front"), process.now()
    expect_ended(client)
    local took = process.now() - began
    assert.truthy(took > 0.3 and took < 5, took)
    expect_reason(m, "target", "connect_timeout")
    assert.are.equal(1, m:metric 'errors_total{type="connect_timeout"}')
  end)

  it("to a name without an address ends in time", function()
    local m = start("nowhere.invalid:80", "timeouts = { connect = '2s' }")
    expect_ended(net.connect(m:port "front"))
    m:await_idle()
    assert.are.equal(1, m:metric 'errors_total{type="resolve"}' + m:metric 'errors_total{type="connect_timeout"}')
  end)

  it("does not hold up others while a target does not answer", function()
    local target = net.listen()
    local m = moongate.start {
      workers = 1,
      routes = ([[return {
        { name = "lost", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "nameless", match = { ports = 0 }, action = { target = "nowhere.invalid:80" } },
        { name = "fine", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
      }]]):format(net.blackhole(), target:port()),
      config = "timeouts = { connect = '3s', shutdown = '1s' }",
    }
    for _ = 1, 20 do
      assert(net.connect(m:port "lost"))
      assert(net.connect(m:port "nameless"))
    end
    local client = net.connect(m:port "fine")
    client:send "now"
    assert.are.equal("now", (assert(target:accept(2)):receive(3)))
  end)

  it("to a target that closes at once passes the end on", function()
    local server = peers.server "close"
    local m = start("127.0.0.1:" .. server.port)
    expect_ended(net.connect(m:port "front"))
    local client = net.connect(m:port "front")
    client:send(("x"):rep(1000))
    expect_ended(client)
    m:await_idle()
  end)

  it("to a target that resets at once passes the reset on", function()
    local server = peers.server "reset"
    local m = start("127.0.0.1:" .. server.port)
    assert.are.same({ "", "reset" }, { net.connect(m:port "front"):receive_all() })
    m:await_idle()
  end)

  for _, way in ipairs { "close", "reset" } do
    it(("leaves nothing behind when the client goes (%s) while connecting"):format(way), function()
      local m = start("127.0.0.1:" .. net.blackhole(), "timeouts = { connect = '1s' }")
      local before = m:fds()
      for _ = 1, 10 do
        local client = net.connect(m:port "front")
        client:send "anyone?"
        client[way](client)
      end
      m:await_metric("connections_total", 10)
      m:await_idle()
      process.wait_for(function()
        return m:fds() <= before
      end, 5, "descriptors to be closed")
    end)
  end

  it("ends a connection on which nothing moves for timeouts.idle", function()
    local target = net.listen()
    local m = start("127.0.0.1:" .. target:port(), "timeouts = { idle = '1s' }")
    local client = net.connect(m:port "front")
    client:send "x"
    local served = target:accept()
    served:receive(1)
    expect_ended(client, 10)
    expect_ended(served)
    m:await_idle()
    local metrics = m:metrics()
    assert.truthy(metrics['moongate_connection_terminations_total{side="client",reason="idle"}'] == 1
      or metrics['moongate_connection_terminations_total{side="target",reason="idle"}'] == 1)
  end)

  it("ends a connection that is older than timeouts.lifetime, busy or not", function()
    local target = net.listen()
    local m = start("127.0.0.1:" .. target:port(), "timeouts = { lifetime = '1s' }")
    local client = net.connect(m:port "front")
    client:send "x"
    local served = target:accept()
    process.wait_for(function()
      client:send "x"
      local _, how = served:receive(100, 0.02)
      return how ~= "timeout" and how ~= "whole"
    end, 10, "the end")
    client:close()
    m:await_idle()
  end)

  it("ends when one side has ended and nothing moves for timeouts.half_dead", function()
    local target = net.listen()
    local m = start("127.0.0.1:" .. target:port(), "timeouts = { half_dead = '1s' }")
    local client = net.connect(m:port "front")
    client:send "x"
    client:shutdown()
    local served = target:accept()
    assert.are.same({ "x", "end" }, { served:receive_all() })
    expect_ended(client, 10)
    m:await_idle()
    local metrics = m:metrics()
    assert.truthy(metrics['moongate_connection_terminations_total{side="client",reason="half_dead"}'] == 1
      or metrics['moongate_connection_terminations_total{side="target",reason="half_dead"}'] == 1)
  end)
end)
