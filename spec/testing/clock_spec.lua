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

  it("calls no timer that is cancelled in the moment when it is due, and says which were set", function()
    local calls, timers, was_set = 0, {}, {}
    local function make()
      for _, repeated in ipairs({ moongate.after, moongate.every }) do
        timers[#timers + 1] = repeated(10, function()
          calls = calls + 1
        end)
      end
    end
    make()
    moongate.spawn(function()
      moongate.sleep(10)
      for i, timer in ipairs(timers) do
        was_set[i] = { timer:cancel(), timer:cancel() }
      end
    end)
    moongate.sleep(0)
    make() -- some before the sleep, and some behind it
    testing.clock.advance(50)
    local once = { true, false }
    assert.same({ 0, { once, once, once, once } }, { calls, was_set })
  end)

  it("knows a timer that is cancelled in its own call as set only where it repeats", function()
    local was_set = {}
    for i, make in ipairs({ moongate.after, moongate.every }) do
      local timer
      timer = make(10, function()
        was_set[i] = { timer:cancel(), timer:cancel() }
      end)
    end
    testing.clock.advance(50)
    assert.same({ { false, false }, { true, false } }, was_set)
  end)

  it("says what a duration is", function()
    assert.has_error(function()
      testing.clock.advance("soon")
    end)
  end)
end)
