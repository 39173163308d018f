-- SPDX-License-Identifier: MIT
--
-- Counters belong to a route's name and outlive its content; those of a route that has gone are folded, and sums hold.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local swapping = require "spec.support.swapping"

describe("the counters of a route", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  local function bytes(m, route, direction)
    return m:metric(('route_bytes_total{route="%s",direction="%s"}'):format(route, direction))
  end

  local function expect_sums(m)
    local samples = m:metrics()
    for _, direction in ipairs { "in", "out" } do
      local sum = samples[('moongate_removed_bytes_total{direction="%s"}'):format(direction)]
      for name, value in pairs(samples) do
        if name:find("^moongate_route_bytes_total{") and name:find(('direction="%s"'):format(direction), 1, true) then
          sum = sum + value
        end
      end
      assert.are.equal(samples[('moongate_bytes_total{direction="%s"}'):format(direction)], sum, direction)
    end
    local connections, active = 0, samples.moongate_removed_active_connections
    for name, value in pairs(samples) do
      connections = connections + (name:find "^moongate_route_connections_total{" and value or 0)
      active = active + (name:find "^moongate_route_active_connections{" and value or 0)
    end
    assert.are.equal(samples.moongate_active_connections, active)
    return samples, connections
  end

  -- Echoes so many bytes through the route.
  local function exchange(name, target, size)
    local client = assert(swapping.connect(name))
    client:send(("x"):rep(size))
    local served = assert(target:accept())
    assert.are.equal(size, #served:receive(size))
    served:send(("y"):rep(2 * size))
    assert.are.equal(2 * size, #client:receive(2 * size))
    return client, served
  end

  local function finish(client, served)
    client:close()
    served:close()
  end

  it("go on when its content changes", function()
    local one, two = net.listen(), net.listen()
    local m = swapping.start({ ["a.lua"] = swapping.forwarding("a", one:port()) }, { workers = 2 })
    local held, held_served = exchange("a", one, 100)
    assert.are.equal(100, bytes(m, "a", "in"))
    m:write("a.lua", swapping.forwarding("a", two:port()))
    assert.are.equal(0, m:reload().status)
    assert.are.equal(100, bytes(m, "a", "in"))
    assert.are.equal(200, bytes(m, "a", "out"))
    finish(exchange("a", two, 50))
    held:send "more"
    assert.are.equal("more", (held_served:receive(4)))
    m:await_metric('route_bytes_total{route="a",direction="in"}', 154)
    -- A handler in its place, another file, another port: the name is what counts.
    m:delete "a.lua"
    m:write("b.lua", (counting("a", "v1"):gsub(swapping.port "a", swapping.port "k")))
    assert.are.equal(0, m:reload().status)
    assert.are.equal("v1", (swapping.ask "k"))
    m:await_metric('route_bytes_total{route="a",direction="out"}', 300 + #"v1 0\n")
    assert.are.equal(154, bytes(m, "a", "in"))
    expect_sums(m)
  end)

  it("go on when it comes back within an hour, and are told meanwhile", function()
    local target = net.listen()
    local m = swapping.start({
      ["a.lua"] = swapping.forwarding("a", target:port()),
      ["b.lua"] = swapping.forwarding("b", target:port()),
    }, { workers = 2, clock = true })
    finish(exchange("a", target, 1000))
    m:await_metric('bytes_total{direction="in"}', 1000)
    for round = 1, 3 do
      m:delete "a.lua"
      assert.are.equal(0, m:reload().status)
      assert.are.equal(1000 + 10 * (round - 1), bytes(m, "a", "in"))
      assert.are.equal(0, expect_sums(m)['moongate_removed_bytes_total{direction="in"}'])
      m:advance(3500)
      m:write("a.lua", swapping.forwarding("a", target:port()))
      assert.are.equal(0, m:reload().status)
      finish(exchange("a", target, 10))
      m:await_metric('route_bytes_total{route="a",direction="in"}', 1000 + 10 * round)
      expect_sums(m)
    end
    m:advance(3600)
    assert.are.equal(1030, bytes(m, "a", "in"))
    -- Nobody reloads, and it is folded all the same.
    m:delete "a.lua"
    assert.are.equal(0, m:reload().status)
    m:advance(3599)
    assert.are.equal(1030, bytes(m, "a", "in"))
    m:advance(2)
    m:await_metric('removed_bytes_total{direction="in"}', 1030)
    assert.is_nil(expect_sums(m)['moongate_route_bytes_total{route="a",direction="in"}'])
    m:write("a.lua", swapping.forwarding("a", target:port()))
    assert.are.equal(0, m:reload().status)
    assert.are.equal(0, bytes(m, "a", "in"))
    expect_sums(m)
  end)

  it("are folded when it goes and none are kept, and totals hold", function()
    local target = net.listen()
    local m = swapping.start({
      ["a.lua"] = swapping.forwarding("a", target:port()),
      ["b.lua"] = swapping.forwarding("b", target:port()),
    }, { workers = 2, config = "limits = { gone_routes = 0 }," })
    finish(exchange("a", target, 1000))
    finish(exchange("b", target, 10))
    local held, held_served = exchange("a", target, 100)
    m:await_metric("active_connections", 1)
    m:delete "a.lua"
    assert.are.equal(0, m:reload().status)
    assert.are.same({ nil, "refused" }, { swapping.connect "a" })
    local samples = expect_sums(m)
    assert.are.equal(1110, samples['moongate_bytes_total{direction="in"}'])
    assert.is_nil(samples['moongate_route_bytes_total{route="a",direction="in"}'])
    assert.are.equal(1100, samples['moongate_removed_bytes_total{direction="in"}'])
    assert.are.equal(1, samples.moongate_removed_active_connections)
    -- What still rides on it counts there.
    held:send "more"
    assert.are.equal("more", (held_served:receive(4)))
    m:await_metric('removed_bytes_total{direction="in"}', 1104)
    expect_sums(m)
    finish(held, held_served)
    m:await_idle()
    expect_sums(m)
    -- The name comes back, and sums hold.
    m:write("a.lua", swapping.forwarding("a", target:port()))
    assert.are.equal(0, m:reload().status)
    finish(exchange("a", target, 7))
    m:await_metric('bytes_total{direction="in"}', 1121)
    expect_sums(m)
    assert.truthy(bytes(m, "a", "in") >= 7)
    assert.are.equal(10, bytes(m, "b", "in"))
  end)

  it("of many names that came and went are in one place, and totals hold", function()
    local target = net.listen()
    local m = swapping.start(
      { ["a.lua"] = swapping.forwarding("a", target:port()) },
      { config = "limits = { gone_routes = 7 }," }
    )
    for i = 1, 30 do
      local name = "passing" .. i
      local action = ("target = '127.0.0.1:%d'"):format(target:port())
      m:write("b.lua", "return " .. swapping.route(name, action, nil, swapping.port "b"))
      assert.are.equal(0, m:reload().status)
      finish(exchange("b", target, 3))
    end
    m:await_metric('bytes_total{direction="in"}', 90)
    m:delete "b.lua"
    assert.are.equal(0, m:reload().status)
    local samples = expect_sums(m)
    assert.are.equal(90 - 7 * 3, samples['moongate_removed_bytes_total{direction="in"}'])
    for i = 1, 30 do
      local name = ('moongate_route_bytes_total{route="passing%d",direction="in"}'):format(i)
      assert.are.equal(i > 23 and 3 or nil, samples[name])
    end
  end)
end)
