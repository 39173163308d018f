-- SPDX-License-Identifier: MIT
--
-- How many connections an address, a route and the whole may have, and how fast new ones may come: exactly so many,
-- also when clients race and workers share the count, and as a reload says.

local clients = require "spec.support.clients"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local CLIENT, OTHER = "192.0.2.7", "192.0.2.8"

describe("limits", function()
  after_each(moongate.finish)

  it("let in exactly as many of one address as connections_per_ip says, of 50 that race", function()
    local m = clients.start("limits = { connections_per_ip = 20, connection_rate = false },", nil, { workers = 2 })
    local count, admitted = clients.race(m, CLIENT, 50)
    assert.are.equal(20, count)
    clients.await_refusals(m, "limit_ip", 30)
    m:await_log('client was refused[^\n]*reason=limit_ip[^\n]*option=limits%.connections_per_ip[^\n]*limit=20[^\n]*'
      .. "client=192%.0%.2%.7[^\n]*route=front")
    -- Others are let in meanwhile, and each that goes makes room for one.
    assert.is_true(clients.enter(m, OTHER))
    for i = 1, 5 do
      admitted[i]:close()
    end
    m:await_metric("active_connections", 16)
    assert.are.equal(5, (clients.race(m, CLIENT, 50)))
  end)

  it("hold for a loopback address that a proxy names, and not for the proxy itself", function()
    local m = clients.start "limits = { connections_per_ip = 2, connection_rate = false },"
    for _, ip in ipairs { "127.0.0.9", "::1" } do
      local count, admitted = clients.race(m, ip, 5)
      assert.are.equal(2, count, ip)
      for _, client in ipairs(admitted) do
        client:close()
      end
      m:await_idle()
    end
    for _ = 1, 5 do
      assert.is_true(clients.enter(m, "127.0.0.1"))
    end
  end)

  it("let in exactly as many in all as limits.connections says, of 50 that race", function()
    local m = clients.start("limits = { connections = 20, connections_per_ip = 0 },", nil, { workers = 2 })
    for round = 1, 3 do
      local count, admitted = clients.race(m, CLIENT, 50)
      assert.are.equal(20, count)
      clients.await_refusals(m, "limit_connections", 30 * round)
      for _, client in ipairs(admitted) do
        client:close()
      end
      m:await_idle()
    end
    m:await_log "reason=limit_connections[^\n]*option=limits%.connections[^\n]*limit=20"
  end)

  it("let in exactly as many of a route as its max_connections says, of 50 that race", function()
    local security = "security = { max_connections = 20 }"
    local m = clients.start("limits = { connections_per_ip = 0 },", security, { workers = 2 })
    local count, admitted = clients.race(m, CLIENT, 50)
    assert.are.equal(20, count)
    clients.await_refusals(m, "limit_route", 30)
    admitted[1]:close()
    m:await_metric("active_connections", 19)
    assert.are.equal(1, (clients.race(m, OTHER, 50)))
    m:await_log "reason=limit_route[^\n]*option=security%.max_connections[^\n]*limit=20"
  end)

  it("hold for an address whose connections have no route yet, because a `when` takes its time", function()
    local config = "limits = { connections_per_ip = 5 }, timeouts = { shutdown = '1s' },"
    local m = clients.start(config, nil, {
      routes = moongate.front(clients.GREET, "when = function() moongate.sleep(600) end"),
    })
    for _ = 1, 8 do
      clients.connect(m, CLIENT)
    end
    clients.await_refusals(m, "limit_ip", 3)
    m:await_metric('connections_by_state{state="routing"}', 5)
    clients.connect(m, OTHER)
    m:await_metric('connections_by_state{state="routing"}', 6)
  end)

  it("let in exactly as many in a window as connection_rate says, of 50 that race", function()
    local m = clients.start('limits = { connection_rate = { 20, "1h" } },', nil, { workers = 2 })
    local count, admitted = clients.race(m, CLIENT, 50)
    assert.are.equal(20, count)
    clients.await_refusals(m, "limit_rate", 30)
    for _, client in ipairs(admitted) do
      client:close()
    end
    m:await_idle()
    assert.is_false(clients.enter(m, CLIENT)) -- they count after they have gone, too
    assert.is_true(clients.enter(m, OTHER))
    m:await_log "reason=limit_rate[^\n]*option=limits%.connection_rate[^\n]*limit=20"
  end)

  it("let an address come again when the window has passed", function()
    local m = clients.start('limits = { connection_rate = { 2, "1h" } },', nil, { clock = true })
    assert.are.equal(2, (clients.race(m, CLIENT, 3)))
    m:advance(3590)
    assert.is_false(clients.enter(m, CLIENT))
    m:advance(3600) -- the window slides
    assert.is_true(clients.enter(m, CLIENT))
  end)

  it("refuse an address that was over one for block_for, and nobody else", function()
    local m = clients.start 'limits = { connections_per_ip = 1, block_for = "1h" },'
    local _, first = clients.enter(m, CLIENT)
    assert.is_false(clients.enter(m, CLIENT))
    first:close()
    m:await_idle()
    assert.is_false(clients.enter(m, CLIENT))
    assert.is_true(clients.enter(m, OTHER))
    clients.await_refusals(m, "limit_ip", 1)
    clients.await_refusals(m, "limit_blocked", 1)
    m:await_log "reason=limit_blocked[^\n]*option=limits%.block_for[^\n]*limit=3600"
  end)

  it("let an address in again after block_for", function()
    local m = clients.start('limits = { connections_per_ip = 1, block_for = "5m" },', nil, { clock = true })
    local _, first = clients.enter(m, CLIENT)
    assert.is_false(clients.enter(m, CLIENT))
    first:close()
    m:await_idle()
    m:advance(290)
    assert.is_false(clients.enter(m, CLIENT))
    m:advance(300) -- that one was in vain as well, which begins it anew
    assert.is_true(clients.enter(m, CLIENT))
  end)

  it("let an address in again when a reload takes block_for away", function()
    local m = clients.start 'limits = { connections_per_ip = 1, block_for = "1h" },'
    local _, first = clients.enter(m, CLIENT)
    assert.is_false(clients.enter(m, CLIENT))
    first:close()
    m:await_idle()
    assert.is_false(clients.enter(m, CLIENT))
    clients.reconfigure(m, 'block_for = "1h"', "block_for = 0")
    assert.are.equal(0, m:ask("/api/v1/addresses").blocked)
    assert.is_true(clients.enter(m, CLIENT))
  end)

  it("take the addresses of an IPv6 prefix for one client", function()
    local m = clients.start "limits = { connections_per_ip = 1 },"
    assert.is_true(clients.enter(m, "2001:db8::1"))
    assert.is_false(clients.enter(m, "2001:db8::ffff:2"))
    assert.is_true(clients.enter(m, "2001:db8:0:1::1"))
    clients.reconfigure(m, "connections_per_ip = 1", "connections_per_ip = 1, ipv6_prefix = 128")
    assert.is_true(clients.enter(m, "2001:db8::3"))
    assert.is_true(clients.enter(m, "2001:db8::4"))
    assert.is_false(clients.enter(m, "2001:db8::4"))
  end)

  it("do not hold for loopback and trusted proxies", function()
    local m = clients.start 'limits = { connections_per_ip = 1, connection_rate = { 1, "1h" }, block_for = "1h" },'
    for _ = 1, 3 do
      local client = assert(net.connect(m:port "front"))
      assert(client:send "PROXY UNKNOWN\r\n")
      assert.are.equal("127.0.0.1", client:receive_line())
    end
    clients.reconfigure(m, '"127.0.0.1"', '"127.0.0.1", "192.0.2.0/29"')
    for _ = 1, 3 do
      assert.is_true(clients.enter(m, CLIENT))
    end
    assert.is_true(clients.enter(m, OTHER))
    assert.is_false(clients.enter(m, OTHER))
  end)

  it("are the route's where it says so, limit by limit, and 0 lifts one", function()
    local m = clients.start('limits = { connections_per_ip = 1, connection_rate = { 3, "1h" } },', nil, {
      clock = true,
      routes = ([[
        local function greet(name, security)
          return { name = name, match = { ports = 0 }, security = security, action = { GREET } }
        end
        return {
          greet("plain", nil),
          greet("own", { max_connections_per_ip = 2, connection_rate = { 100, "1h" } }),
          greet("lifted", { max_connections_per_ip = 0, connection_rate = false }),
          greet("half", { max_connections_per_ip = 5 }),
          greet("rate", { connection_rate = { 2, "1h" } }),
        }]]):gsub("GREET", (clients.GREET:gsub("%%", "%%%%"))),
    })
    local _, held = clients.enter(m, CLIENT, "plain")
    assert.is_false(clients.enter(m, CLIENT, "plain"))
    for _ = 1, 2 do
      assert.is_true(clients.enter(m, CLIENT, "own"))
    end
    assert.is_false(clients.enter(m, CLIENT, "own"))
    clients.await_refusal_log(m, "option=security%.max_connections_per_ip[^\n]*limit=2", CLIENT, "own")
    for _ = 1, 10 do
      assert.is_true(clients.enter(m, CLIENT, "lifted"))
    end
    -- The connections are the route's own, the rate is the config's, and shared with "plain".
    assert.is_true(clients.enter(m, CLIENT, "half"))
    assert.is_true(clients.enter(m, CLIENT, "half"))
    assert.is_false(clients.enter(m, CLIENT, "half"))
    m:await_log "reason=limit_rate[^\n]*option=limits%.connection_rate[^\n]*limit=3[^\n]*route=half"
    -- And the other way round: one in all of the routes that say nothing of their own, at a rate of its own.
    assert.is_true(clients.enter(m, OTHER, "rate"))
    assert.is_false(clients.enter(m, OTHER, "rate"))
    clients.await_refusal_log(m, "option=limits%.connections_per_ip[^\n]*limit=1[^\n]*route=rate", OTHER, "rate")
    assert.is_false(clients.enter(m, OTHER, "plain"))
    held:close()
  end)

  it("change at a reload, and what is open stays open", function()
    local m = clients.start "limits = { connections_per_ip = 3 },"
    local count, open = clients.race(m, CLIENT, 5)
    assert.are.equal(3, count)
    clients.reconfigure(m, "connections_per_ip = 3", "connections_per_ip = 5")
    assert.are.equal(2, (clients.race(m, CLIENT, 5)))
    clients.reconfigure(m, "connections_per_ip = 5", "connections_per_ip = 2, connections = 7")
    assert.is_false(clients.enter(m, CLIENT))
    assert.are.equal(2, (clients.race(m, OTHER, 5))) -- seven in all now
    assert.is_false(clients.enter(m, "192.0.2.9"))
    clients.await_refusals(m, "limit_connections", 4)
    for _, client in ipairs(open) do
      client:send "still\n"
      assert.are.equal("still", (client:receive_line()))
    end
    local security = "security = { max_connections_per_ip = 0, max_connections = 6 }"
    m:write("routes.lua", moongate.front(clients.GREET, nil, security))
    clients.reconfigure(m, "connections = 7", "connections = 0")
    assert.is_false(clients.enter(m, CLIENT)) -- seven are open, from before there was a limit
    m:await_log "reason=limit_route[^\n]*limit=6"
    for _, client in ipairs(open) do
      client:close()
    end
    m:await_metric("active_connections", 4)
    assert.are.equal(2, (clients.race(m, CLIENT, 5)))
  end)

  it("count a TLS port's clients from before their route is known", function()
    local hellos = require "spec.support.hellos"
    local port, target = net.free_ports(1), net.listen()
    local m = clients.start("limits = { connections_per_ip = 5, connection_rate = false },", nil, {
      workers = 2,
      routes = hellos.routes(port, { { name = "front", target = target:port() } }),
    })
    local silent = {}
    for i = 1, 50 do
      silent[i] = assert(net.connect(port))
      silent[i]:send(clients.header(CLIENT))
    end
    clients.await_refusals(m, "limit_ip", 45)
    m:await_metric("active_connections", 5)
    for _, client in ipairs(silent) do
      client:close()
    end
    m:await_idle()
  end)

  it("bring memory, descriptors and counts back after a flood of refused connections", function()
    local m = clients.start "limits = { connections = 50, connections_per_ip = 10, connection_rate = false },"
    local before = m:fds()
    for round = 1, 10 do
      assert.are.equal(10, (clients.race(m, ("198.18.0.%d"):format(round), 50)))
      net.close_all()
      m:await_idle()
    end
    clients.await_refusals(m, "limit_ip", 400)
    process.wait_for(function()
      return m:fds() <= before
    end, 30, before .. " descriptors")
    local _, lines = m:log():gsub("a client was refused", "")
    assert.is_true(lines < 100, lines .. " lines for 400 refusals")
  end)
end)

describe("near limits.connections", function()
  after_each(moongate.finish)

  local function start(more)
    local target = net.listen()
    local m = moongate.start {
      clock = true,
      config = 'limits = { connections = 10, connections_per_ip = 0, idle_near_cap = "10s" },',
      routes = moongate.front(target:port(), nil, more),
    }
    local opened = {}
    function m.open()
      local client, failed = net.connect(m:port "front")
      if not client then
        assert.are.equal("reset", failed) -- refused before connect(2) had returned
        return nil
      end
      client:send "x"
      opened[#opened + 1] = client
      local accepted
      process.wait_for(function()
        accepted = target:accept(0.01)
        return accepted or select(2, client:receive(1, 0)) ~= "timeout"
      end)
      return accepted and client, accepted
    end
    return m, opened
  end

  it("idle connections are closed early, and whoever comes next is let in", function()
    local m, opened = start()
    for _ = 1, 10 do
      assert(m.open())
    end
    m:await_metric('connections_by_state{state="forwarding"}', 10)
    assert.is_falsy(m.open()) -- none is idle yet
    m:advance(11)
    assert.are.equal(0, clients.refusals(m, "near_cap")) -- nobody comes: nobody is closed
    process.wait_for(m.open)
    local closed = clients.refusals(m, "near_cap")
    assert.is_true(closed > 0)
    local _, how = opened[1]:receive_all()
    assert.are.equal("end", how) -- told, not cut
  end)

  it("as long as a reload leaves limits.idle_near_cap on", function()
    local m = start()
    clients.reconfigure(m, 'idle_near_cap = "10s"', 'idle_near_cap = "1h"')
    for _ = 1, 10 do
      assert(m.open())
    end
    m:await_metric('connections_by_state{state="forwarding"}', 10)
    for _ = 1, 5 do
      m:advance(11)
      assert.is_falsy(m.open())
    end
    assert.are.equal(0, clients.refusals(m, "near_cap"))
    clients.reconfigure(m, 'idle_near_cap = "1h"', 'idle_near_cap = "10s"')
    process.wait_for(m.open)
    assert.is_true(clients.refusals(m, "near_cap") > 0)
  end)

  it("immortal ones stay, and new ones are refused and counted", function()
    local m, opened = start 'keep_alive = "immortal"'
    for _ = 1, 10 do
      assert(m.open())
    end
    m:await_metric('connections_by_state{state="forwarding"}', 10)
    for _ = 1, 5 do
      m:advance(11)
      local client, failed = net.connect(m:port "front")
      if client then
        local got, how = client:receive_all()
        assert.are.same({ "", "reset" }, { got, how })
        client:close()
      else
        assert.are.equal("reset", failed) -- before connect(2) had returned
      end
    end
    assert.are.equal(0, clients.refusals(m, "near_cap"))
    assert.is_true(clients.refusals(m, "limit_connections") > 0)
    assert.are.equal(10, m:metric "active_connections")
    opened[1]:reset()
    m:await_metric("active_connections", 9)
    assert.is_truthy(m.open())
  end)
end)
