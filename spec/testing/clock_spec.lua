-- SPDX-License-Identifier: MIT
--
-- testing.clock: time that passes without waiting, for Lua's timers and the C core's. Run by moongate test.

local testing = require "moongate.testing"
local system = require "system"

describe("testing.clock", function()
  local began

  before_each(function()
    began = system.monotime()
  end)

  after_each(function()
    assert.is_true(system.monotime() - began < 5, "it took as long as it says")
  end)

  it("lets a handler's timeout of a minute pass in milliseconds", function()
    local c = testing.call(function(socket)
      socket:settimeout(60)
      return socket:receive "*l"
    end)
    testing.clock.advance(59)
    assert.is_false(c.finished)
    testing.clock.advance("2s")
    assert.is_true(c.finished)
    assert.same({ nil, "timeout", "" }, { c:wait() })
  end)

  it("goes from timer to timer", function()
    local times = {}
    local first = moongate.now()
    moongate.spawn(function()
      for i = 1, 3 do
        moongate.sleep(10)
        times[i] = moongate.now() - first
      end
    end)
    testing.clock.advance(31)
    assert.equal(3, #times)
    for i, time in ipairs(times) do
      assert.near(i * 10, time, 0.5)
    end
  end)

  it("moves the time that Lua reads", function()
    local before = moongate.now()
    testing.clock.advance("1h")
    assert.near(3600, moongate.now() - before, 2)
  end)

  it("moves the C core's timeouts: idle", function()
    local m = testing.start({
      routes = {
        {
          name = "quiet",
          match = { ports = 1 },
          action = { handler = moongate.handlers.echo() },
          timeouts = { idle = "4h" },
        },
      },
    })
    local c = m:connect "quiet"
    c:send "x"
    assert.equal("x", c:receive(1))
    testing.clock.advance("3h")
    assert.equal(1, m:connections())
    testing.clock.advance("61m")
    assert.equal(0, m:connections())
    assert.equal(1, m:metrics()['moongate_connection_terminations_total{side="client",reason="idle"}'])
    m:stop()
  end)

  it("moves the C core's timeouts: connect", function()
    local m = testing.start({
      routes = {
        {
          name = "nowhere",
          match = { ports = 1 },
          action = {
            target = function()
              moongate.sleep("1h")
            end,
          },
          timeouts = { connect = "30s" },
        },
      },
    })
    local c = m:connect "nowhere"
    testing.clock.advance(29)
    assert.equal(1, m:connections())
    testing.clock.advance(2)
    assert.same({ nil, "closed", "" }, { c:receive(1) })
    m:stop()
  end)

  it("says what a duration is", function()
    assert.has_error(function()
      testing.clock.advance("soon")
    end)
  end)
end)
