-- SPDX-License-Identifier: MIT
--
-- Where a route listens: `ports` in all its forms, `address`, and which of several routes on a port gets a connection.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("a route's ports", function()
  after_each(moongate.finish)

  -- What is sent to `port` comes out of the listener `target`.
  local function expect_through(port, target, host)
    local client = assert(net.connect(port, { host = host }))
    client:send "ping"
    local served = assert(target:accept())
    assert.are.equal("ping", (served:receive(4)))
    served:send "pong"
    assert.are.equal("pong", (client:receive(4)))
    client:close()
    served:close()
  end

  local function start(ports, target, more)
    local match = ("ports = %s, %s"):format(ports, more or "")
    return moongate.start { workers = 2, routes = moongate.front(target:port(), match) }
  end

  local forms = {
    { "a number", 1, "%d", { 0 } },
    { "a list", 3, "{ %d, %d }", { 0, 2 } },
    { "a range as text", 4, '"%d-%d"', { 0, 3 }, { 0, 1, 2, 3 } },
    { "a range as a table", 3, "{ from = %d, to = %d }", { 0, 2 }, { 0, 1, 2 } },
    { "all of these", 8, '{ %d, "%d-%d", { from = %d, to = %d } }', { 0, 2, 4, 6, 7 }, { 0, 2, 3, 4, 6, 7 } },
  }
  for _, form in ipairs(forms) do
    it("may be " .. form[1], function()
      local target, first = net.listen(), net.free_ports(form[2])
      local named, expected = {}, {}
      for i, offset in ipairs(form[4]) do
        named[i] = first + offset
      end
      for i, offset in ipairs(form[5] or form[4]) do
        expected[i] = first + offset
      end
      local m = start(form[3]:format(unpack(named)), target)
      assert.are.same(expected, m:ports "front")
      for _, port in ipairs(expected) do
        expect_through(port, target)
      end
    end)
  end

  it("may be 0: one given by the kernel, the same for all workers", function()
    local target = net.listen()
    local m = start("0", target)
    assert.are.equal(1, #m:ports "front")
    for _ = 1, 20 do
      expect_through(m:port "front", target)
    end
  end)

  it("are open on all addresses, IPv4 and IPv6, unless told", function()
    local target = net.listen()
    local m = start("0", target)
    for _, host in ipairs { "127.0.0.1", "127.0.0.9", "::1" } do
      expect_through(m:port "front", target, host)
    end
  end)

  it("are open on one address only where the route names it", function()
    local target = net.listen()
    local port = net.free_ports(1)
    start(port, target, 'address = "127.0.0.2"')
    expect_through(port, target, "127.0.0.2")
    assert.are.same({ nil, "refused" }, { net.connect(port) })
    assert.are.same({ nil, "refused" }, { net.connect(port, { host = "::1" }) })
  end)

  it("may be the same for routes on different addresses", function()
    local one, two, port = net.listen(), net.listen(), net.free_ports(1)
    moongate.start {
      routes = ([[return {
        { name = "one", match = { ports = %d, address = "127.0.0.1" }, action = { target = "127.0.0.1:%d" } },
        { name = "two", match = { ports = %d, address = "127.0.0.2" }, action = { target = "127.0.0.1:%d" } },
      }]]):format(port, one:port(), port, two:port()),
    }
    expect_through(port, one, "127.0.0.1")
    expect_through(port, two, "127.0.0.2")
  end)

  it("may be the same for several routes: priority decides, then the order of the files", function()
    local one, two, port = net.listen(), net.listen(), net.free_ports(2)
    local function route(name, at, target, more)
      return ('{ name = "%s", match = { ports = %d }, action = { target = "127.0.0.1:%d" }, %s }'):format(
        name, at, target:port(), more or ""
      )
    end
    local m = moongate.start {
      routes = {
        ["a.lua"] = ("return { %s, %s }"):format(route("a1", port, one), route("a2", port + 1, one)),
        ["b.lua"] = ("return { %s, %s }"):format(route("b1", port, two), route("b2", port + 1, two, "priority = 5")),
      },
    }
    expect_through(port, one)
    expect_through(port + 1, two)
    assert.are.equal(1, m:metric 'route_bytes_total{route="a1",direction="in"}' / 4)
    assert.are.equal(1, m:metric 'route_bytes_total{route="b2",direction="in"}' / 4)
  end)

  it("lead nowhere in a route that is not enabled", function()
    local port = net.free_ports(1)
    moongate.start { routes = moongate.front(1, "ports = " .. port, "enabled = false") }
    assert.are.same({ nil, "refused" }, { net.connect(port) })
  end)
end)
