-- SPDX-License-Identifier: MIT
--
-- Connections that get nowhere: stuck, half dead, half closed; each is found by its timer and ended with a reason of
-- its own, and what is merely slow is left alone. Run by moongate test.

local await = require "spec.support.awaiting"
local hellos = require "spec.support.hellos"
local testing = require "moongate.testing"

local size = 500 * 1000 -- more than a reader that does not read has room for, and the kernel takes it all the same

describe("a connection that gets nowhere", function()
  local back, m, serve, client

  local function swallow(socket)
    while socket:receive(1) do
    end
  end

  -- A moongate whose route "front" forwards to a server that does what `serve` says: nothing, by default.
  local function start(options)
    options = options or {}
    back = testing.start({
      routes = {
        {
          name = "server",
          match = { ports = 1 },
          action = {
            handler = function(socket)
              return (serve or swallow)(socket)
            end,
          },
        },
      },
      config = { timeouts = { idle = 0, lifetime = 0 } },
    })
    local target = "127.0.0.1:" .. back:port "server"
    local action = options.action or { target = target }
    if options.handler then
      action = {
        handler = function(socket, context)
          return options.handler(socket, context, target)
        end,
      }
    elseif options.tls or options.half_open then
      action = { target = target, tls = options.tls, half_open = options.half_open }
    end
    m = testing.start({
      routes = {
        {
          name = "front",
          match = { ports = 2 },
          action = action,
          timeouts = options.timeouts,
          keep_alive = options.keep_alive,
        },
      },
    })
    client = m:connect "front" -- held: one that is collected is closed
    client:settimeout(5)
    return client
  end

  after_each(function()
    serve = nil
    m:stop()
    back:stop()
  end)

  local function metric(name, ...)
    return m:metrics()["moongate_" .. name:format(...)]
  end

  local function await_state(state)
    await(state, function()
      return metric('connections_by_state{state="%s"}', state) == 1
    end)
  end

  local function await_server()
    await("the server's connection", function()
      return back:connections() == 1
    end)
    moongate.sleep(0.1) -- the kernel keeps to real time: what was said is acknowledged a little later
  end

  local function expect_end(before, more, side, reason)
    testing.clock.advance(before)
    assert.equal(1, metric "active_connections")
    assert.equal(0, metric('connection_terminations_total{side="%s",reason="%s"}', side, reason))
    testing.clock.advance(more)
    await("the end", function()
      return metric "active_connections" == 0
    end)
    assert.equal(1, metric('connection_terminations_total{side="%s",reason="%s"}', side, reason))
  end

  it("is stuck a minute after nothing has moved, when the target has never answered", function()
    local c = start()
    c:send "question"
    await_state "forwarding"
    await_server()
    expect_end(58, 10, "target", "stuck")
    assert.same({ nil, "closed", "" }, { c:receive(1) })
    assert.matches("level=warn [^\n]*a target has never answered[^\n]* reason=stuck side=target client=[^\n]* target=",
      table.concat(m:log(), "\n"))
  end)

  -- A pool that connects ahead of need (Redis, databases).
  it("is not stuck as long as nobody has said anything", function()
    start({ timeouts = { idle = "4h" } })
    await_state "forwarding"
    expect_end("239m", "2m", "client", "idle")
  end)

  it("is stuck a minute after the first word, however long both have been silent before", function()
    for index, silence in ipairs { 5, 20, 65, 90, "1h" } do
      if index > 1 then
        m:stop()
        back:stop()
      end
      local c = start()
      await_state "forwarding"
      testing.clock.advance(silence)
      c:send "question"
      await_server()
      expect_end(58, 8, "target", "stuck") -- 5 of them are `linger`
    end
  end)

  it("is not stuck when what the client has said was for a handler, and stuck by what it has left", function()
    local function handler(socket, context, target)
      socket:receive()
      context:forward(target)
    end
    local c = start({ handler = handler })
    c:send "knock\n"
    await_state "forwarding"
    testing.clock.advance "1h"
    assert.equal(1, m:connections())
    m:stop()
    back:stop()
    c = start({ handler = handler })
    c:send "knock\nquestion"
    await_state "forwarding"
    await_server()
    expect_end(58, 10, "target", "stuck")
  end)

  it("is stuck, and not idle, where both times are the same", function()
    local c = start({ timeouts = { idle = "60s" } })
    c:send "question"
    await_state "forwarding"
    await_server()
    expect_end(58, 10, "target", "stuck")
  end)

  it("is stuck after five minutes with TLS", function()
    local c = start({ tls = { mode = "passthrough" } })
    c:send(hellos.make("a.example.com"))
    await_state "forwarding"
    await_server()
    expect_end(290, 20, "target", "stuck")
  end)

  -- What nobody takes; moongate has all of it, and its kernel too.
  local function send_much(c)
    c:send(("x"):rep(size))
    await("the bytes", function()
      return metric 'bytes_total{direction="in"}' == size
    end)
    moongate.sleep(0.1)
  end

  it("has up to an eighth more where the target takes nothing of what it was sent", function()
    serve = function(socket)
      moongate.sleep("10h")
      socket:receive(1)
    end
    send_much(start())
    expect_end(58, 12, "target", "stuck") -- it may have been looked at for another reason before
    m:stop()
    back:stop()
    send_much(start({ timeouts = { stuck = 0, idle = "4h" } }))
    expect_end("239m", "2m", "client", "idle") -- it was looked at after half a minute
  end)

  it("has an eighth more when half of it is left and the other takes nothing", function()
    serve = function(socket)
      socket:send "."
      moongate.sleep("10h")
    end
    local c = start()
    assert.equal(".", c:receive(1))
    send_much(c)
    c:shutdown "send"
    moongate.sleep(0.1)
    expect_end(32, 3, "target", "half_dead")
  end)

  it("is not stuck while the client still sends", function()
    local c = start()
    await_state "forwarding"
    for _ = 1, 5 do
      testing.clock.advance(40)
      c:send "x"
      moongate.sleep(0.1)
    end
    expect_end(30, 40, "target", "stuck")
  end)

  it("is not stuck once the target has answered, however slow it is then", function()
    serve = function(socket)
      socket:send "."
      moongate.sleep("3h")
      socket:send "!"
      socket:receive(1)
    end
    local c = start()
    assert.equal(".", c:receive(1))
    testing.clock.advance("2h")
    assert.equal(1, m:connections())
    testing.clock.advance("61m")
    assert.equal("!", c:receive(1))
  end)

  it("may take longer by the route's own time, and for ever with 0", function()
    start({ timeouts = { stuck = { "10m", tls = "20m" } } }):send "question"
    await_state "forwarding"
    await_server()
    expect_end(590, 20, "target", "stuck")
    m:stop()
    back:stop()
    start({ timeouts = { stuck = 0, idle = "4h" } }):send "question"
    await_state "forwarding"
    await_server()
    expect_end("230m", "20m", "client", "idle")
  end)

  it("is not stuck when it is immortal; extended does not change it", function()
    start({ keep_alive = "immortal" }):send "question"
    await_state "forwarding"
    await_server()
    testing.clock.advance("30d")
    assert.equal(1, m:connections())
    m:stop()
    back:stop()
    start({ keep_alive = "extended" }):send "question"
    await_state "forwarding"
    await_server()
    expect_end(58, 10, "target", "stuck")
  end)

  it("is stuck also when a handler has spoken before it forwarded", function()
    local c = start({
      handler = function(socket, context, target)
        socket:send "wait…\n"
        context:forward(target)
      end,
    })
    assert.equal("wait…", c:receive "*l")
    c:send "question"
    await_state "forwarding"
    await_server()
    expect_end(58, 10, "target", "stuck")
  end)

  it("is half dead when one side has ended and nothing moves for 30 s, or 5 min with TLS", function()
    serve = function(socket)
      socket:send "."
      moongate.sleep("1h")
    end
    local c = start()
    assert.equal(".", c:receive(1))
    c:shutdown "send"
    moongate.sleep(0.1)
    expect_end(28, 10, "target", "half_dead")
    m:stop()
    back:stop()
    c = start({ tls = { mode = "passthrough" } })
    c:send(hellos.make("a.example.com"))
    assert.equal(".", c:receive(1))
    c:shutdown "send"
    moongate.sleep(0.1)
    expect_end(290, 20, "target", "half_dead")
  end)

  it("is half closed with half_open: either side may go on alone, for so long", function()
    serve = function(socket)
      socket:send "."
      moongate.sleep("10m")
      socket:send "+"
      moongate.sleep("10h")
    end
    local c = start({ half_open = true })
    assert.equal(".", c:receive(1))
    c:shutdown "send"
    moongate.sleep(0.1)
    testing.clock.advance("11m")
    assert.equal("+", c:receive(1))
    expect_end("28m", "5m", "target", "half_closed")
  end)

  it("is half closed with half_open also when it is immortal", function()
    serve = function(socket)
      socket:send "."
      moongate.sleep("10h")
      socket:receive(1)
    end
    local c = start({ half_open = true, keep_alive = "immortal" })
    assert.equal(".", c:receive(1))
    testing.clock.advance("2h")
    c:shutdown "send"
    moongate.sleep(0.1)
    expect_end("28m", "5m", "target", "half_closed")
  end)

  it("is half closed with half_open when the target has ended", function()
    local got = {}
    serve = function(socket)
      socket:send "."
      socket:shutdown "send"
      while true do
        got[#got + 1] = socket:receive(1)
        if #got == 0 then
          return
        end
      end
    end
    local c = start({ half_open = true })
    assert.equal(".", c:receive(1))
    assert.same({ nil, "closed", "" }, { c:receive(1) })
    testing.clock.advance("20m")
    c:send "x"
    await("the byte", function()
      return got[1] == "x"
    end)
    moongate.sleep(0.1)
    expect_end("28m", "5m", "client", "half_closed")
  end)

  it("is counted with the time that it has spent in each state", function()
    local c = start()
    c:send "question"
    await_state "forwarding"
    await_server()
    assert.equal(1, metric 'connection_state_seconds_count{state="routing"}')
    assert.equal(0, metric 'connection_state_seconds_count{state="forwarding"}')
    expect_end(58, 10, "target", "stuck")
    assert.equal(1, metric 'connection_state_seconds_count{state="forwarding"}')
    assert.near(60, metric 'connection_state_seconds_sum{state="forwarding"}', 5)
    assert.is_true(metric 'connection_state_seconds_sum{state="connecting"}' < 5)
  end)
end)
