-- SPDX-License-Identifier: MIT
--
-- Who goes on writing after the other side has closed learns it as it would without a proxy in between, as soon as the
-- end has reached it; and no sooner, since a reset in front of the end would take with it what had not been read.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local LONG = "timeouts = { linger = '30s' }," -- what nobody here waits for
local SOON = 3 -- seconds: before that, and before the 5 that a handler's own sockets have

describe("who goes on writing after the other side has closed", function()
  after_each(moongate.finish)

  local function expect_told(writer)
    local since, how = process.now(), nil
    process.wait_for(function()
      how = select(2, writer:send("more\n", 0))
      return how ~= nil
    end, 20, "the writer to be told")
    assert.are.equal("reset", how)
    local took = process.now() - since
    assert.is_true(took < SOON, ("it took %s s"):format(took))
  end

  it("is told, where a target has closed", function()
    local target = net.listen()
    local m = moongate.start { config = LONG, routes = moongate.front(target:port()) }
    local client = assert(net.connect(m:port "front"))
    local served = assert(target:accept())
    served:send "goodbye"
    served:close()
    expect_told(client)
    m:await_idle()
    assert.are.equal(1, m:metric 'connection_terminations_total{side="client",reason="closed"}')
    assert.are.equal(1, m:metric 'connection_terminations_total{side="target",reason="ended"}')
    assert.are.same({ "goodbye", "end" }, { client:receive_all() })
  end)

  it("is told, where a handler has returned", function()
    local m = moongate.start {
      config = LONG,
      routes = moongate.front "handler = function(socket) socket:send 'goodbye' end",
    }
    local client = assert(net.connect(m:port "front"))
    expect_told(client)
    assert.are.same({ "goodbye", "end" }, { client:receive_all() })
    m:await_idle()
  end)

  it("is told, where a handler has closed what it had connected to", function()
    local target = net.listen()
    local m = moongate.start {
      config = LONG,
      routes = moongate.front(([[handler = function(socket)
        local other = assert(moongate.connect("127.0.0.1", %d))
        other:send "goodbye"
        other:close()
        socket:receive(1)
      end]]):format(target:port())),
    }
    local client = assert(net.connect(m:port "front"))
    local served = assert(target:accept())
    expect_told(served)
    assert.are.same({ "goodbye", "end" }, { served:receive_all() })
    client:close()
  end)

  it("is told under TLS, and has had close_notify", function()
    local m = moongate.start {
      config = LONG,
      routes = [[
        local clients = {}
        return {
          { name = "server", match = { ports = 0 }, action = { handler = function(socket)
            assert(socket:starttls())
            assert(socket:send "goodbye")
          end } },
          { name = "client", match = { ports = 0 }, action = { handler = function(socket)
            local port = tonumber(socket:receive())
            local other = assert(moongate.connect("127.0.0.1", port, { tls = { verify = false } }))
            local since, ok, message = moongate.now(), nil, nil
            repeat
              ok, message = other:send "more"
              moongate.sleep(0.01)
            until not ok
            local took = moongate.now() - since
            local bytes, how = other:receive "*a"
            socket:send(("%s %s %s %s\n"):format(took < ]] .. SOON .. [[, message, bytes, how))
          end } },
        }]],
    }
    local client = assert(net.connect(m:port "client"))
    assert.are.equal("true closed goodbye nil", net.ask(client, tostring(m:port "server")))
  end)

  it("loses nothing of an answer that it reads slowly, however much it writes", function()
    local size = 3 * 1000 * 1000
    local m = moongate.start {
      config = LONG,
      routes = moongate.front(("handler = function(socket) socket:send(('x'):rep(%d)) end"):format(size)),
    }
    local client = assert(net.connect(m:port "front", { receive_buffer = 16384 }))
    local received = 0
    local bytes, how
    repeat
      client:send("more\n", 0)
      bytes, how = client:receive(8192, 5)
      received = received + #bytes
    until how ~= "whole"
    assert.are.same({ size, "end" }, { received, how })
    expect_told(client)
    m:await_idle()
  end)
end)
