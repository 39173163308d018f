-- SPDX-License-Identifier: MIT
--
-- Clients that are cut short (`on_change = "close"`), with bytes that they have not taken yet: each gets them, and then
-- the reset, soon; and those who take their time cost next to nothing meanwhile. And peers of handlers.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("a client that is cut short with bytes unsent", function()
  after_each(moongate.finish)

  -- A handler that sends so much and is still at work when its file changes, and so many clients with little room.
  local function start(size, count)
    local function text(version)
      local handler = ("handler = function(socket) socket:send(('x'):rep(%d)) moongate.sleep(3600) end, -- %s\n")
      return moongate.front(handler:format(size, version), nil, "on_change = 'close'")
    end
    local m = moongate.start { config = "timeouts = { linger = '20s' },", routes = text(1) }
    local port, clients = m:port "front", {}
    for i = 1, count do
      clients[i] = assert(net.connect(port, { receive_buffer = 4096 }))
    end
    m:await_metric('bytes_total{direction="out"}', size * count)
    m:write("routes.lua", text(2))
    m:await_metric('connections_by_state{state="closing"}', count)
    return m, clients
  end

  it("is reset soon after it has taken them, at whatever pace", function()
    local size = 60000
    local m, clients = start(size, 3)
    for pace, client in ipairs(clients) do
      local received = 0
      local bytes, how, since
      repeat
        since = process.now()
        bytes, how = client:receive(4000 * pace, 5)
        received = received + #bytes
        process.nap(0.02)
      until how ~= "whole"
      assert.are.same({ size, "reset" }, { received, how })
      assert.is_true(process.now() - since < 2.4, "the reset is late")
    end
    m:await_idle()
    assert.are.equal(3, m:metric 'connection_terminations_total{side="client",reason="changed"}')
  end)

  it("costs little while it takes nothing", function()
    local m, clients = start(20000, 300)
    local cpu, since = m.process:cpu(), process.now()
    process.nap(3)
    local spent = (m.process:cpu() - cpu) / (process.now() - since) / #clients
    assert.are.equal(300, m:metric 'connections_by_state{state="closing"}')
    local bound = os.getenv "MOONGATE_REPORTS" and 0.0001 or 0.00002 -- a sanitizer's own cost is many times ours
    assert.is_true(spent < bound, ("%.1f µs a second each"):format(spent * 1e6))
  end)

  it("is forgotten at once when it resets", function()
    local m, clients = start(20000, 20)
    for _, client in ipairs(clients) do
      client:reset()
    end
    m:await_idle(5)
  end)
end)

describe("a peer of a handler's that takes nothing of what was sent before its socket was closed", function()
  after_each(moongate.finish)

  it("is reset after a while", function()
    local target = net.listen { receive_buffer = 4096, segment = 536 }
    local m = moongate.start {
      routes = moongate.front(
        ("handler = function() local o = moongate.connect('127.0.0.1', %d) "
          .. "o:settimeout(0.5) o:send(('x'):rep(2^22)) o:close() end"):format(target:port())
      ),
    }
    local client = assert(net.connect(m:port "front"))
    local peer = assert(target:accept())
    assert.are.same({ "", "end" }, { client:receive_all() })
    process.nap(7) -- five, looks between included
    assert.are.equal("reset", select(2, peer:receive_all()))
  end)
end)
