-- SPDX-License-Identifier: MIT
--
-- /api/v1/addresses?traffic=1: what each client address has moved. In every answer the sum over the addresses and all
-- others is that over the routes, whatever goes on meanwhile; and in the end it is what the clients say, to the byte.

local clients = require "spec.support.clients"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

local COUNTS = { "connections", "active", "bytes_in", "bytes_out" }

-- What it answers, with its rows by address.
local function traffic(m, values)
  values = values or {}
  values.traffic = 1
  local answer, status = m:ask("/api/v1/addresses", values)
  assert.are.equal(200, status)
  assert.is_true(answer.complete)
  answer.by = {}
  for _, row in ipairs(answer.addresses) do
    assert.is_nil(answer.by[row.address])
    answer.by[row.address] = row
  end
  return answer
end

local function expect_sums(answer)
  for _, count in ipairs(COUNTS) do
    local sum = answer.other[count]
    for _, row in ipairs(answer.addresses) do
      sum = sum + row[count]
    end
    assert.are.equal(answer.all[count], sum, count)
  end
  return answer
end

local function show(m, ...)
  return moongate.command { "addresses", "--traffic", "--control", m.control, ... }
end

-- The routes in one scrape add up to its totals.
local function expect_sums_of_routes(m)
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
end

-- What is told for the live routes is a part of what is told for all.
local function expect_parts(m)
  local answer = m:ask "/api/v1/routes"
  for _, path in ipairs { "connections.active", "connections.total", "bytes.in", "bytes.out" } do
    local within, name = path:match "(%a+)%.(%a+)"
    local sum = 0
    for _, route in ipairs(answer.routes) do
      sum = sum + route[within][name]
    end
    assert.is_true(sum > 0 and sum <= answer.all[within][name], path)
  end
end

-- Waits until no connection is left: an answer then.
local function await_quiet(m)
  local answer
  process.wait_for(function()
    answer = expect_sums(traffic(m))
    return answer.all.active == 0
  end)
  return answer
end

describe("traffic by address", function()
  after_each(moongate.finish)

  local ECHO = [[{ name = "echo", match = { ports = 0 }, action = { handler = function(socket)
      for line in socket:lines() do socket:send(line .. line .. "\n") end
    end } }]]

  -- As many lines of so many letters, each answered by twice as many.
  local function talk(port, options, lines, letters)
    local client = assert(net.connect(port, options))
    for _ = 1, lines do
      assert.are.equal(2 * letters, #net.ask(client, ("x"):rep(letters)))
    end
    return client
  end

  it("is exact, of many addresses, of either family, by handlers and by forwarding", function()
    local target = net.listen()
    local m = moongate.start {
      config = "limits = { ipv6_prefix = 64 },",
      workers = 2,
      routes = ('return { %s, { name = "on", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } } }'):format(
        ECHO,
        target:port()
      ),
    }
    local open = {}
    for i = 1, 40 do
      local from = "127.0.1." .. i
      open[#open + 1] = talk(m:port "echo", { from = from }, 1 + i % 3, i)
      open[#open + 1] = talk(m:port "echo", { from = from }, 2, 100)
    end
    local six = talk(m:port "echo", { host = "::1", from = "::1" }, 3, 10)
    local forwarded = assert(net.connect(m:port "on", { from = "127.0.1.7" }))
    forwarded:send(("f"):rep(5000))
    local served = assert(target:accept())
    assert.are.equal(5000, #served:receive(5000))
    served:send "back"
    assert.are.equal("back", (forwarded:receive(4)))

    local answer = expect_sums(traffic(m))
    assert.are.equal(41, answer.total)
    assert.are.equal(41, answer.kept)
    for i = 1, 40 do
      local row = answer.by["127.0.1." .. i]
      local lines, more, back = 1 + i % 3, i == 7 and 5000 or 0, i == 7 and 4 or 0
      assert.are.equal(lines * (i + 1) + 2 * 101 + more, row.bytes_in, i)
      assert.are.equal(lines * (2 * i + 1) + 2 * 201 + back, row.bytes_out, i)
      assert.are.equal(i == 7 and 3 or 2, row.connections, i)
      assert.are.equal(row.connections, row.active, i)
    end
    local row = answer.by["::/64"]
    assert.are.same({ 33, 63, 1, 1 }, { row.bytes_in, row.bytes_out, row.connections, row.active })
    assert.are.equal(0, answer.other.connections)
    assert.are.equal("127.0.1.7", answer.addresses[1].address) -- the most bytes first

    -- What has gone is still counted.
    six:close()
    forwarded:close()
    served:close()
    for _, client in ipairs(open) do
      client:close()
    end
    answer = await_quiet(m)
    assert.are.equal(82, answer.all.connections)
    assert.are.equal(0, answer.by["127.0.1.7"].active)
    assert.are.equal(3, answer.by["127.0.1.7"].connections)
    expect_sums_of_routes(m)
  end)

  it("is sorted, filtered and paged", function()
    local m = moongate.start { workers = 2, routes = "return { " .. ECHO .. " }" }
    for i = 1, 12 do
      talk(m:port "echo", { from = "127.0.2." .. i }, i % 4 + 1, 5 * i):close()
    end
    talk(m:port "echo", { from = "127.0.3.1" }, 1, 1)
    local by_client = traffic(m, { sort = "client", limit = 3, offset = 1, client = "127.0.2.0/24" })
    assert.are.equal(12, by_client.total)
    assert.are.equal(13, by_client.kept)
    assert.are.equal(3, #by_client.addresses)
    assert.are.equal("127.0.2.2", by_client.addresses[1].address)
    assert.are.equal("127.0.2.11", traffic(m, { sort = "bytes_in" }).addresses[1].address)
    assert.are.equal("127.0.3.1", traffic(m, { sort = "active" }).addresses[1].address)
    for _, wrong in ipairs { { sort = "refused" }, { blocked = 1 }, { route = "echo" }, { scope = "all" } } do
      wrong.traffic = 1
      assert.are.equal(400, (select(2, m:ask("/api/v1/addresses", wrong))))
    end
    assert.are.equal(400, (select(2, m:ask("/api/v1/addresses", { sort = "bytes" }))))
    local said = moongate.command { "addresses", "--control", m.control, "--traffic", "--sort", "refused" }
    local words = "traffic can't be put in the order refused: there are active, bytes"
    assert.truthy(said.err:find(words, 1, true), said.err)
    assert.are.equal(400, (select(2, m:ask("/api/v1/addresses", { traffic = 1, client = "nobody" }))))

    local shown = show(m)
    assert.are.equal(0, shown.status, shown.err)
    assert.truthy(shown.out:find "^ADDRESS +OPEN +CONNECTIONS +IN +OUT\n127%.0%.2%.11 ", shown.out)
    assert.truthy(shown.out:find "\n%(other%) +0 +0 ", shown.out)
    assert.truthy(shown.out:find "\n%(all%) +1 +13 ", shown.out)
    shown = show(m, "--client", "127.0.9.9")
    assert.are.equal("none (13 are counted by)\n", shown.out)
  end)

  it("adds up while addresses are evicted, connections killed, and routes come and go", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/index.html", "hello")
    local m = swapping.start({
      ["a.lua"] = swapping.counting("a", "v0"),
      ["b.lua"] = swapping.forwarding("b", nginx.port),
    }, { workers = 2, config = "metrics = { top_ips = 6 }," })
    local url = ("http://%s:%d/"):format(swapping.host, swapping.port "b")
    local keeping = process.start { "wrk", "-t1", "-c8", "-d60s", url }
    local closing = process.start { "wrk", "-t1", "-c4", "-d60s", "-H", "Connection: close", url }
    process.wait_for(function()
      return m:metric 'route_connections_total{route="b"}' > 100
    end)
    local held, sent, got, connections = {}, 0, 0, 0
    for i = 1, 60 do
      local from = ("127.0.%d.%d"):format(4 + i % 3, i % 23 + 1)
      local client = assert(net.connect(swapping.port "a", { host = swapping.host, from = from }))
      local greeting, line = assert(client:receive_line()), ("l"):rep(i)
      local answer = assert(net.ask(client, line))
      sent, got, connections = sent + #line + 1, got + #greeting + 1 + #answer + 1, connections + 1
      held[#held + 1] = client
      if #held > 10 then
        table.remove(held, 1 + i % 10):close()
      end
      if i % 7 == 0 then
        local words = { "kill", "--control", m.control, "--client", "127.0.4.0/24", "--yes" }
        assert.are.equal(0, moongate.command(words).status)
      end
      if i % 9 == 0 then
        m:write("a.lua", swapping.counting("a", "v" .. i))
        m:write("c.lua", i % 2 == 0 and swapping.counting("c", "c") or "return {}")
        assert.are.equal(0, m:reload().status)
      end
      local told = expect_sums(traffic(m))
      assert.is_true(told.kept <= 12)
      expect_sums_of_routes(m)
      expect_parts(m)
    end
    for _, wrk in ipairs { keeping, closing } do
      assert.truthy(wrk:alive(), wrk:out() .. wrk:err())
      wrk:signal "SIGINT"
      wrk:wait(10)
    end
    for _, client in ipairs(held) do
      client:close()
    end
    local told = await_quiet(m)
    local samples = m:metrics()
    assert.are.equal(samples.moongate_connections_total, told.all.connections)
    assert.are.equal(samples['moongate_bytes_total{direction="in"}'], told.all.bytes_in)
    assert.are.equal(samples['moongate_bytes_total{direction="out"}'], told.all.bytes_out)
    assert.are.equal(sent, samples['moongate_route_bytes_total{route="a",direction="in"}'])
    assert.are.equal(got, samples['moongate_route_bytes_total{route="a",direction="out"}'])
    assert.are.equal(connections, samples['moongate_route_connections_total{route="a"}'])
    assert.is_true(told.other.connections > 0)

    -- A smaller number holds from the reload on, and off means off.
    clients.reconfigure(m, "top_ips = 6", "track_ips = false")
    told = expect_sums(traffic(m))
    assert.are.equal(0, told.kept)
    assert.are.same(told.all, told.other)
  end)
end)
