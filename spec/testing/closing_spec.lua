-- SPDX-License-Identifier: MIT
--
-- A client that is closing, and takes what was sent a little at a time: it may, but not for ever. Run by moongate test.

local await = require "spec.support.awaiting"
local net = require "spec.support.net"
local testing = require "moongate.testing"

local size = 1000 * 1000 -- the kernel takes it from the handler at once, and the client does not
local bit = 30 * 1000 -- more than its receive buffer has: taking so much always makes room

describe("a client that takes its last bytes slowly", function()
  local m, client

  local function start(timeouts, keep_alive)
    local function handler(socket)
      socket:send(("x"):rep(size))
    end
    m = testing.start {
      routes = {
        {
          name = "front",
          match = { ports = 1 },
          action = { handler = handler },
          timeouts = timeouts,
          keep_alive = keep_alive,
        },
      },
    }
    client = net.connect(m:port "front", { receive_buffer = 16384 })
    await("closing", function()
      return m:metrics()['moongate_connections_by_state{state="closing"}'] == 1
    end)
  end

  after_each(function()
    net.close_all()
    m:stop()
  end)

  local function ended(reason)
    return m:metrics()[('moongate_connection_terminations_total{side="client",reason="%s"}'):format(reason)]
  end

  -- A little of it: how much, and how it went on: "whole", "timeout", "reset", "end".
  local function take()
    local bytes, how = client:receive(bit, 0)
    moongate.sleep(0.05) -- the kernel keeps to real time, and tells moongate
    return #bytes, how
  end

  -- How often the client has taken a bit, with so much time in between, when moongate is done with it.
  local function trickle(pause)
    local times = 0
    while m:connections() > 0 do
      times = times + 1
      assert.is_true(take() > 0)
      testing.clock.advance(pause)
      moongate.sleep(0.01)
    end
    return times
  end

  it("is reset once its lifetime has passed", function()
    start { linger = "5s", lifetime = "14s" }
    assert.equal(4, trickle(4))
    assert.same({ 1, 0 }, { ended "lifetime", ended "linger" })
    assert.equal("reset", select(2, client:receive_all(5)))
  end)

  it("is reset after a day where nothing bounds its lifetime", function()
    start({ linger = "8h", lifetime = "14s" }, "immortal")
    assert.equal(4, trickle "7h")
    assert.same({ 0, 1 }, { ended "lifetime", ended "linger" })
  end)

  it("has linger also when its lifetime has passed already", function()
    start { linger = "20s", lifetime = "1s" }
    testing.clock.advance(18)
    assert.equal(1, m:connections())
    testing.clock.advance(4)
    assert.equal(0, m:connections())
    assert.same({ 0, 1 }, { ended "lifetime", ended "linger" })
  end)

  it("gets all of it when it is done in time", function()
    start { linger = "5s", lifetime = "1m" }
    local taken, how = 0, nil
    for _ = 1, 5 do
      taken = taken + take()
      testing.clock.advance(4)
    end
    await("the end", function()
      local count
      count, how = take()
      taken = taken + count
      return how == "end" or how == "reset"
    end)
    assert.same({ size, "end" }, { taken, how })
    client:close()
    await("the end of the connection", function()
      return m:connections() == 0
    end)
    assert.same({ 0, 0 }, { ended "lifetime", ended "linger" })
  end)
end)
