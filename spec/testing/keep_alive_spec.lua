-- SPDX-License-Identifier: MIT
--
-- keep_alive: how quiet and old connections are treated, globally, by a route and by its function. Hours pass in
-- milliseconds. Run by moongate test.

local testing = require "moongate.testing"

describe("keep_alive", function()
  local back, m

  -- A moongate whose route "front" forwards to a server that echoes, and has no bounds of its own.
  local function start(route, config)
    back = testing.start({
      routes = {
        { name = "echo", match = { ports = 1 }, action = { handler = moongate.handlers.echo() } },
      },
      config = { timeouts = { idle = 0, lifetime = 0 } },
    })
    route.name, route.match = "front", { ports = 2 }
    route.action = { target = "127.0.0.1:" .. back:port "echo" }
    m = testing.start({ routes = { route }, config = config })
    return m
  end

  after_each(function()
    m:stop()
    back:stop()
  end)

  local function terminations(reason)
    return m:metrics()[('moongate_connection_terminations_total{side="client",reason="%s"}'):format(reason)]
  end

  -- The kernel keeps to real time: what was said is acknowledged a little later.
  local function exchange(c)
    c:send "hello"
    assert.equal("hello", c:receive(5))
    moongate.sleep(0.1)
  end

  -- A connection whose target has answered.
  local function connect()
    local c = m:connect "front"
    c:settimeout(5)
    exchange(c)
    return c
  end

  -- It is there after `before`, and gone for that reason once `more` has passed as well.
  local function expect_end(before, more, reason)
    testing.clock.advance(before)
    assert.equal(1, m:connections())
    testing.clock.advance(more)
    assert.equal(0, m:connections())
    assert.equal(1, terminations(reason))
  end

  local function warnings()
    local found = {}
    for _, line in ipairs(m:log()) do
      if line:find("a kept connection is going to be ended", 1, true) then
        found[#found + 1] = line
      end
    end
    return found
  end

  it("standard leaves idle as it is", function()
    start({ keep_alive = "standard", timeouts = { idle = "4h", lifetime = 0 } })
    connect()
    expect_end("239m", "2m", "idle")
    assert.same({}, warnings())
  end)

  it("extended multiplies idle by 6", function()
    start({ keep_alive = "extended", timeouts = { idle = "4h", lifetime = 0 } })
    connect()
    expect_end("1439m", "2m", "idle")
  end)

  it("extended multiplies the lifetime as well, whatever moves", function()
    start({ keep_alive = { treatment = "extended", multiplier = 3 }, timeouts = { idle = 0, lifetime = "1h" } })
    local c = connect()
    testing.clock.advance("2h")
    exchange(c)
    expect_end("58m", "3m", "lifetime")
  end)

  it("warns a minute before a kept connection is ended, again when it was used since", function()
    start({ keep_alive = "extended", timeouts = { idle = "1h", lifetime = 0 } })
    local c = connect()
    testing.clock.advance("358m")
    assert.equal(0, #warnings())
    testing.clock.advance(90)
    assert.equal(1, #warnings())
    assert.matches("route=front reason=idle seconds=%d+", warnings()[1])
    exchange(c)
    expect_end("5h", "61m", "idle")
    assert.equal(2, #warnings())
  end)

  it("warns of the lifetime though it has just warned of the idle time", function()
    start({ keep_alive = "extended", timeouts = { idle = "1h", lifetime = "3605s" } })
    local c = connect()
    testing.clock.advance(359 * 60 + 30)
    assert.equal(1, #warnings())
    exchange(c)
    testing.clock.advance(35)
    assert.equal(2, #warnings())
    assert.matches("route=front reason=lifetime seconds=%d+", warnings()[2])
    expect_end(10, "1m", "lifetime")
  end)

  it("immortal lifts idle and lifetime", function()
    start({ keep_alive = "immortal", timeouts = { idle = "1h", lifetime = "2h" } })
    local c = connect()
    testing.clock.advance("100d")
    exchange(c)
    assert.equal(1, m:connections())
  end)

  it("of the config holds for routes that say nothing", function()
    start({ timeouts = { idle = "1h", lifetime = 0 } }, { keep_alive = { treatment = "extended", multiplier = 2 } })
    connect()
    expect_end("119m", "2m", "idle")
  end)

  it("of a route takes the place of the config's, whose multiplier it keeps", function()
    start({ keep_alive = "extended", timeouts = { idle = "1h", lifetime = 0 } },
      { keep_alive = { treatment = "immortal", multiplier = 4 } })
    connect()
    expect_end("239m", "2m", "idle")
  end)

  it("may be a function of the connection, which is asked once", function()
    local asked = {}
    start({
      keep_alive = function(context)
        asked[#asked + 1] = context.client_ip
        return "extended", 2
      end,
      timeouts = { idle = "1h", lifetime = 0 },
    })
    connect()
    expect_end("119m", "2m", "idle")
    assert.same({ "127.0.0.1" }, asked)
  end)

  it("may be a function that leaves it as it is", function()
    start({ keep_alive = function() end, timeouts = { idle = "1h", lifetime = 0 } })
    connect()
    expect_end("59m", "2m", "idle")
  end)

  for _, wrong in ipairs({ { "forever" }, { 10 }, { "extended", 0 }, { "extended", 1.5 }, { "extended", "ten" } }) do
    it(("closes, counts and says it when a function answers %s, %s"):format(unpack(wrong, 1, 2)), function()
      start({
        keep_alive = function()
          return unpack(wrong)
        end,
      })
      local c = m:connect "front"
      c:settimeout(5)
      assert.is_nil((c:receive(1)))
      assert.equal(1, m:metrics()['moongate_handler_errors_total{route="front"}'])
      assert.equal(1, terminations "handler_error")
      local log = table.concat(m:log(), "\n")
      assert.matches("keep_alive", log)
      assert.matches("returned=", log)
    end)
  end
end)
