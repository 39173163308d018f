-- SPDX-License-Identifier: MIT
--
-- Targets that do not answer: the next one is tried beside them, the first that connects has the client, and the others
-- never hear of it.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("racing targets", function()
  after_each(moongate.finish)

  local function start(ports, options)
    local texts = {}
    for i, port in ipairs(ports) do
      texts[i] = ('"127.0.0.1:%d"'):format(port)
    end
    local action = ("targets = { %s }, balance = %s, %s"):format(
      table.concat(texts, ", "),
      options.balance or '"round-robin"',
      options.action or ""
    )
    return moongate.start { workers = options.workers or 1, config = options.config, routes = moongate.front(action) }
  end

  -- A client that is served by the listener, and how long that took.
  local function expect_served(m, listener)
    local began = process.now()
    local client = assert(net.connect(m:port "front"))
    client:send "x"
    local served = assert(listener:accept(20))
    assert.are.equal("x", (served:receive(1)))
    local took = process.now() - began
    client:close()
    served:close()
    return took
  end

  for _, balance in ipairs { "round-robin", "least-connections" } do
    it(("by %s goes to the next one when one does not answer"):format(balance), function()
      local dead, target = net.blackhole(), net.listen()
      local m = start({ dead, target:port() }, {
        balance = ("%q"):format(balance),
        config = "log = { access = true },",
      })
      for _ = 1, 4 do
        local took = expect_served(m, target)
        assert.truthy(took < 5, took)
      end
      m:await_idle()
      local metrics = m:metrics()
      assert.are.equal(0, metrics['moongate_errors_total{type="connect_timeout"}'] or 0)
      assert.are.equal(0, metrics['moongate_errors_total{type="connect_failed"}'] or 0)
      assert.falsy(m:log():find("could not be reached", 1, true))
      assert.truthy(m:await_log(("target=127%%.0%%.0%%.1:%d attempts=2 "):format(target:port())))
      assert.falsy(m:log():find(("target=127.0.0.1:%d "):format(dead), 1, true))
    end)
  end

  it("counts those that have lost no longer", function()
    local dead, target = net.blackhole(), net.listen()
    local m = moongate.start {
      workers = 1,
      config = "log = { access = true },",
      routes = moongate.front(([[targets = { "127.0.0.1:%d", "127.0.0.1:%d" }, balance = "least-connections"]]):format(
        dead,
        target:port()
      )),
    }
    local held = {}
    for i = 1, 4 do -- of two that are equal the one whose turn it is: the dead one is asked first each time it has less
      held[i] = assert(net.connect(m:port "front"))
      held[i]:send "x"
      assert(target:accept(20))
    end
    m:await_metric("connections_by_state{state=\"forwarding\"}", 4)
    assert.falsy(m:log():find("could not be reached", 1, true))
    for _, client in ipairs(held) do
      client:reset()
    end
    m:await_idle()
    local _, asked_both = m:log():gsub(" attempts=2 ", "")
    assert.are.equal(4, asked_both)
  end)

  it("leaves the choice to the client's address until its target has failed", function()
    local dead, target = net.blackhole(), net.listen()
    local m = start({ dead, target:port() }, {
      balance = '"source-hash"',
      config = 'timeouts = { connect = "3s" }, proxy_protocol = { trusted = { "127.0.0.1" } },',
    })
    local slow = 0
    for i = 1, 12 do
      local began, client = process.now(), assert(net.connect(m:port "front"))
      client:send(("PROXY TCP4 192.0.2.%d 127.0.0.1 1 2\r\nx"):format(i))
      assert.are.equal("x", (assert(target:accept(20)):receive(1)))
      local took = process.now() - began
      slow = slow + (took >= 1 and 1 or 0)
      assert.truthy(took < 1 or took > 1.4, took) -- half of `connect`, not 250 ms
    end
    assert.are.equal(1, slow) -- the first; then it is tried last
    assert.are.equal(1, m:metric 'errors_total{type="connect_timeout"}')
  end)

  it("ends with timeouts.connect, for all of them together", function()
    local first, second = net.blackhole(), net.blackhole()
    local m = start({ first, second }, { config = 'timeouts = { connect = "1s" },' })
    local began, client = process.now(), assert(net.connect(m:port "front"))
    assert.are.equal("", (client:receive_all(10)))
    local took = process.now() - began
    assert.truthy(took > 0.8 and took < 6, took)
    m:await_idle()
    assert.are.equal(1, m:metric 'connection_terminations_total{side="target",reason="connect_timeout"}')
    assert.are.equal(2, m:metric 'errors_total{type="connect_timeout"}')
  end)

  it("resets the one that connects a moment later, and no byte has gone to it", function()
    local first_port, first = net.blackhole()
    local second_port, second = net.blackhole()
    local m = start({ first_port, second_port }, { action = "send_proxy_protocol = true," })
    local client = assert(net.connect(m:port "front"))
    client:send "hello"
    process.nap(0.6) -- both are under way
    m.process:signal "SIGSTOP"
    local listeners = { first:lift(), second:lift() }
    local accepted = {} -- by the kernel: the process knows nothing of it
    for i, listener in ipairs(listeners) do
      accepted[i] = assert(listener:accept(10))
    end
    m.process:signal "SIGCONT"
    local got = {}
    for i = 1, 2 do
      local bytes, how = accepted[i]:receive(6)
      got[#got + 1] = how == "whole" and bytes or how .. bytes
    end
    table.sort(got)
    assert.are.same({ "PROXY ", "reset" }, got)
    client:close()
    accepted[1]:close()
    accepted[2]:close()
    m:await_idle()
  end)

  it("gives one that has taken long before twice that time", function()
    local slow_port, slow = net.blackhole()
    local target_port, target = net.blackhole()
    local m = start({ slow_port, target_port }, {})
    local client = assert(net.connect(m:port "front"))
    client:send "x"
    process.nap(0.3)
    local listener = slow:lift()
    assert.are.equal("x", (assert(listener:accept(10)):receive(1))) -- when the SYN was sent again, after a second
    listener = target:lift()
    slow:fill()
    local took = expect_served(m, listener) -- a round later, its turn again
    assert.truthy(took > 1.5, took)
  end)

  -- How many descriptors it has open when nothing is going on.
  local function quiet_fds(m)
    return process.wait_for(function()
      local count = m:fds()
      process.nap(0.1)
      return m:fds() == count and count
    end, 10, "the control connections to be closed")
  end

  for _, how in ipairs { "close", "reset" } do
    it(("leaves nothing when the client goes (%s) meanwhile"):format(how), function()
      local m = start({ net.blackhole(), net.blackhole(), (net.blackhole()) }, {})
      local before = quiet_fds(m)
      for _ = 1, 10 do
        local client = assert(net.connect(m:port "front"))
        process.nap(0.06)
        client[how](client)
      end
      local held = assert(net.connect(m:port "front"))
      process.wait_for(function()
        return m:fds() >= before + 4
      end, 10, "all three to be tried")
      held:reset()
      if how == "reset" then
        process.wait_for(function()
          return m:fds() <= before
        end, 10, "descriptors to be closed")
        m:await_idle()
      end
    end)
  end

  it("ends at once when it is killed, or when moongate stops", function()
    local m = start({ net.blackhole(), (net.blackhole()) }, {})
    local before = quiet_fds(m)
    local client = assert(net.connect(m:port "front"))
    process.wait_for(function()
      return m:fds() >= before + 3
    end, 10, "both to be tried")
    assert.are.equal(200, (m:request("DELETE", "/api/v1/connections/" .. m:live_connections().connections[1].id)))
    assert.are.equal("", (client:receive_all(5)))
    m:await_idle()
    assert.truthy(quiet_fds(m) <= before)
    assert(net.connect(m:port "front"))
    process.wait_for(function()
      return m:fds() >= before + 3
    end, 10, "both to be tried")
  end)

  it("ends with its route, where that says so", function()
    local function text(more)
      return moongate.front(
        ('targets = { "127.0.0.1:%d", "127.0.0.1:%d" }'):format((net.blackhole()), (net.blackhole())),
        nil,
        'on_change = "close", ' .. more
      )
    end
    local m = moongate.start { workers = 1, routes = text "" }
    local before = quiet_fds(m)
    local client = assert(net.connect(m:port "front"))
    process.wait_for(function()
      return m:fds() >= before + 3
    end, 10, "both to be tried")
    m:write("routes.lua", text 'tags = { "other" }')
    assert.are.equal("", (client:receive_all(10)))
    m:await_idle()
    assert.truthy(quiet_fds(m) <= before)
  end)

  it("makes 200 clients wait a quarter of a second for a dead one, not half of timeouts.connect", function()
    local dead, target = net.blackhole(), net.listen { backlog = 512 }
    local m = start({ dead, target:port() }, {
      workers = 2,
      config = "limits = { connection_rate = false, connections_per_ip = 0 },",
    })
    local began = process.now()
    for _ = 1, 200 do
      assert(net.connect(m:port "front"))
    end
    for _ = 1, 200 do
      assert(target:accept(20))
    end
    local took = process.now() - began
    assert.truthy(took < 8, took)
    assert.are.equal(0, m:metric 'errors_total{type="connect_timeout"}')
  end)

  it("asks a function where its target is only when nothing else is under way", function()
    local target = net.listen()
    local m = moongate.start {
      workers = 1,
      config = 'timeouts = { connect = "2s" },',
      routes = moongate.front(([[targets = { "127.0.0.1:%d", { host = function()
        moongate.log.info "asked"
        return "127.0.0.1"
      end, port = %d } }]]):format(net.refusing_port(), target:port())),
    }
    expect_served(m, target)
    m:await_log "asked"
  end)
end)

describe("what has failed lately", function()
  after_each(moongate.finish)

  it("is told by the status, explain, routes, diagnose and a metric, and forgotten by a success", function()
    local port, target = net.refusing_port(), net.listen()
    local m = moongate.start {
      workers = 1,
      routes = moongate.front(('targets = { "127.0.0.1:%d", "127.0.0.1:%d" }'):format(port, target:port())),
    }
    assert.are.equal(0, m:status().failed_targets.count)
    assert.are.equal(0, m:metric "failed_targets")
    assert(net.connect(m:port "front"))
    assert(target:accept(5))
    local name = "127.0.0.1:" .. port
    m:await_metric("failed_targets", 1)
    local failed = m:status().failed_targets
    assert.are.same({ 1, name, 1 }, { failed.count, failed.list[1].target, failed.list[1].failures })
    assert.truthy(failed.list[1].left > 0 and failed.list[1].left <= 5)
    local targets = m:live_routes({ route = "front" }).routes[1].action.targets
    assert.are.equal("Connection refused", targets[1].failed.error)
    assert.falsy(targets[2].failed)
    local function told(...)
      return moongate.command({ ... }).out
    end
    assert.truthy(told("status", "--control", m.control):find("1 failed lately: " .. name, 1, true))
    local explained = told("explain", tostring(m:port "front"), "--control", m.control)
    assert.truthy(explained:gsub("%s+", " "):find(name .. " has failed (Connection refused", 1, true), explained)
    local diagnosed = told("diagnose", "--control", m.control)
    assert.truthy(diagnosed:gsub("%s+", " "):find("target " .. name .. " has failed lately", 1, true), diagnosed)

    local back = net.listen { port = port }
    target:close()
    assert(net.connect(m:port "front")) -- the other one refuses now
    assert(back:accept(5))
    m:await_metric("failed_targets", 1)
    assert.are_not.equal(name, m:status().failed_targets.list[1].target)
  end)

  it("is not what a connection is waiting for, which conns and explain tell", function()
    local first, second = net.blackhole(), (net.blackhole())
    local m = moongate.start {
      workers = 1,
      routes = moongate.front(('targets = { "127.0.0.1:%d", "127.0.0.1:%d" }'):format(first, second)),
    }
    assert(net.connect(m:port "front"))
    local both = ("127.0.0.1:%d, 127.0.0.1:%d"):format(first, second)
    local row = process.wait_for(function()
      local found = m:live_connections().connections[1]
      return found and found.trying == both and found
    end, 10, "both to be tried")
    local out = moongate.command({ "explain", row.id, "--control", m.control }).out
    assert.truthy(out:find("trying%s+" .. both:gsub("%p", "%%%0")), out)
    assert.are.equal(0, m:status().failed_targets.count)
  end)
end)

describe("moongate.connect", function()
  after_each(moongate.finish)

  it("remembers what has failed as routes do", function()
    local port = net.refusing_port()
    local target = net.listen()
    local m = moongate.start {
      workers = 1,
      routes = ([[return {
        { name = "asks", match = { ports = 0 }, action = { handler = function(socket)
          local _, err = moongate.connect("127.0.0.1", %d)
          socket:send(err .. "\n")
        end } },
        { name = "front", match = { ports = 0 }, action = { targets = { "127.0.0.1:%d", "127.0.0.1:%d" } } },
      }]]):format(port, port, target:port()),
    }
    assert.are.equal("connection refused", (net.connect(m:port "asks"):receive_line()))
    for _ = 1, 4 do
      assert(net.connect(m:port "front"))
      assert(target:accept(5))
    end
    assert.are.equal(0, m:metric 'errors_total{type="connect_refused"}')
  end)
end)
