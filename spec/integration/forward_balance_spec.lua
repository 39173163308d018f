-- SPDX-License-Identifier: MIT
--
-- How one of several targets is chosen: by its connections, by the client's address, by a function.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("balancing", function()
  after_each(moongate.finish)

  local function start(balance, count)
    local targets, texts = {}, {}
    for i = 1, count do
      targets[i] = net.listen()
      texts[i] = ('"127.0.0.1:%d"'):format(targets[i]:port())
    end
    local m = moongate.start {
      workers = 2,
      config = 'proxy_protocol = { trusted = { "127.0.0.1" } },',
      routes = moongate.front(("targets = { %s }, balance = %s"):format(table.concat(texts, ", "), balance)),
    }
    return m, targets
  end

  -- A client from an address, and which of the targets has it.
  local function open(m, targets, address)
    local client = assert(net.connect(m:port "front"))
    client:send(("PROXY TCP4 %s 127.0.0.1 1 2\r\nx"):format(address or "192.0.2.1"))
    local index = assert(net.await_any(targets))
    local accepted = targets[index]:accept()
    assert.are.equal("x", (accepted:receive(1)))
    return { client = client, accepted = accepted, index = index }
  end

  local function close(held)
    held.client:close()
    held.accepted:close()
  end

  it("by connections goes to the target that has least", function()
    local m, targets = start('"least-connections"', 3)
    local held, counts = {}, { 0, 0, 0 }
    for i = 1, 9 do
      held[i] = open(m, targets)
      counts[held[i].index] = counts[held[i].index] + 1
    end
    assert.are.same({ 3, 3, 3 }, counts)
    local gone = 0
    for i = 1, 9 do
      if held[i].index == 2 then
        close(held[i])
        gone = gone + 1
      end
    end
    m:await_metric("active_connections", 9 - gone)
    for _ = 1, 3 do
      assert.are.equal(2, open(m, targets).index)
    end
  end)

  it("by source keeps a client at its target", function()
    local m, targets = start('"source-hash"', 4)
    local seen = {}
    for i = 1, 16 do
      local address = "192.0.2." .. i
      local first, again = open(m, targets, address), open(m, targets, address)
      assert.are.equal(first.index, again.index)
      seen[first.index] = true
    end
    assert.truthy(next(seen, next(seen)))
  end)

  it("by a function goes where that says, which may wait, and sees the targets", function()
    local m, targets = start(
      [[function(context, targets)
        moongate.sleep(0.01)
        assert(#targets == 3 and targets[1].host == "127.0.0.1" and targets[1].port > 0 and targets[1].weight == 1)
        if context.client_ip == "192.0.2.9" then return 7 end
        return targets[3].active < 2 and 3 or 1
      end]],
      3
    )
    assert.are.equal(3, open(m, targets).index)
    assert.are.equal(3, open(m, targets).index)
    assert.are.equal(1, open(m, targets).index)
    local client = assert(net.connect(m:port "front"))
    client:send "PROXY TCP4 192.0.2.9 127.0.0.1 1 2\r\nx"
    assert.are.equal("", (client:receive_all()))
    m:await_log 'must return the index of one of the targets[^\n]*returned=7'
    m:await_metric('handler_errors_total{route="front"}', 1)
  end)
end)
