-- SPDX-License-Identifier: MIT
--
-- /api/v1/addresses: what the limits know of client addresses.

local cjson = require "cjson"
local clients = require "spec.support.clients"
local moongate = require "spec.support.moongate"

local CLIENT, OTHER = "192.0.2.7", "192.0.2.8"

describe("/api/v1/addresses", function()
  local m

  after_each(moongate.finish)

  local function start()
    m = clients.start('limits = { connections_per_ip = 2, block_for = "1h", connection_rate = { 100, "1h" } },', nil, {
      workers = 2,
      routes = ([[return {
        { name = "front", match = { ports = 0 }, action = { GREET } },
        { name = "own", match = { ports = 0 }, action = { GREET }, security = { max_connections_per_ip = 1 } },
      }]]):gsub("GREET", (clients.GREET:gsub("%%", "%%%%"))),
    })
  end

  local function ask(values)
    local answer, status = m:ask("/api/v1/addresses", values)
    assert.are.equal(200, status)
    return answer
  end

  it("tells what an address holds, how fast it comes, and whether it is blocked", function()
    start()
    assert.are.same({}, ask().addresses)
    assert.are.equal(2, (clients.race(m, CLIENT, 5)))
    assert.is_true(clients.enter(m, OTHER))
    local answer = ask()
    assert.are.equal(2, answer.total)
    assert.are.equal(2, answer.remembered)
    assert.are.equal(1, answer.blocked)
    assert.is_true(answer.complete)
    local first, second = answer.addresses[1], answer.addresses[2]
    assert.are.same({ CLIENT, "all", 2 }, { first.address, first.scope, first.connections })
    assert.are.same({ 2, 3 }, { first.rate, first.refused })
    assert.is_true(first.blocked_for > 3500 and first.blocked_for <= 3600)
    assert.are.same({ OTHER, 1, 0, 0 }, { second.address, second.connections, second.refused, second.blocked_for })
    assert.is_nil(first.route)
  end)

  it("names the route whose own limits count", function()
    start()
    assert.are.equal(1, (clients.race(m, CLIENT, 3, "own")))
    local answer = ask { scope = "route" }
    assert.are.equal(1, answer.total)
    assert.are.same({ "own", 1, 2 }, {
      answer.addresses[1].route,
      answer.addresses[1].connections,
      answer.addresses[1].refused,
    })
    assert.are.equal(1, ask({ route = "own" }).total)
    assert.are.equal(0, ask({ route = "front" }).total)
    -- The rate is the config's, and so is where it is counted.
    local all = ask({ scope = "all" }).addresses[1]
    assert.are.same({ 0, 1 }, { all.connections, all.rate })
  end)

  it("tells IPv6 addresses by their prefix, and filters, sorts and pages", function()
    start()
    assert.is_true(clients.enter(m, "2001:db8::1"))
    assert.are.equal(2, (clients.race(m, "2001:db8:1::1", 4)))
    for i = 1, 9 do
      assert.is_true(clients.enter(m, "10.0.0." .. i))
    end
    assert.are.equal(11, ask().total)
    assert.are.equal("2001:db8:1::/64", ask({ blocked = 1 }).addresses[1].address)
    assert.are.equal(1, ask({ blocked = 1 }).total)
    assert.are.equal("2001:db8::/64", ask({ client = "2001:db8::/64" }).addresses[1].address)
    assert.are.equal("2001:db8:1::/64", ask({ client = "2001:db8:1::9" }).addresses[1].address)
    assert.are.equal(2, ask({ client = "2001:db8::/32" }).total)
    assert.are.equal(0, ask({ client = "2001:db8:2::1" }).total)
    assert.are.equal(9, ask({ client = "10.0.0.0/24" }).total)
    local page = ask { client = "10.*", sort = "client", limit = 2, offset = 3 }
    assert.are.equal(9, page.total)
    assert.are.same({ "10.0.0.4", "10.0.0.5" }, { page.addresses[1].address, page.addresses[2].address })
    assert.are.equal(2, ask({ sort = "connections" }).addresses[1].connections)
  end)

  it("is what `moongate addresses` shows", function()
    start()
    local function command(...)
      return moongate.command { "addresses", "--control", m.control, ... }
    end
    assert.are.equal("none (0 remembered, 0 blocked)\n", command().out)
    assert.are.equal(2, (clients.race(m, CLIENT, 5)))
    local out = command("--blocked").out
    assert.truthy(out:find "ADDRESS +COUNTED BY +OPEN +NEW +REFUSED +BLOCKED FOR")
    assert.truthy(out:find "192%.0%.2%.7 +%(all%) +2 +2 +3 +%d+[hm]", out)
    assert.are.equal(1, #cjson.decode(command("--json", "--client", "192.0.2.0/24").out).addresses)
    assert.are.equal("none (1 remembered, 1 blocked)\n", command("--client", "10.*").out)
    assert.are.equal(2, command("--client", "nobody").status)
  end)

  it("says what is wrong with a question", function()
    start()
    for name, value in pairs { scope = "some", sort = "age", client = "10.0.0.0/99", blockd = 1 } do
      local status, body = m:get(("/api/v1/addresses?%s=%s"):format(name, value))
      assert.are.equal(400, status)
      assert.truthy(body:find(name, 1, true), body)
    end
  end)

  it("stays bounded with 3,000 addresses and room for 1,024, and forgets nobody who holds a connection", function()
    m = clients.start "limits = { addresses = 1024, connections_per_ip = 2 },"
    local _, held = clients.enter(m, CLIENT)
    for i = 1, 3000 do
      local client = clients.connect(m, ("10.1.%d.%d"):format(math.floor(i / 250), i % 250))
      assert(client:receive_line())
      client:close()
    end
    m:await_metric("active_connections", 1)
    local answer = ask { limit = 0 }
    assert.is_true(answer.remembered <= 1024 and answer.remembered > 512, answer.remembered)
    assert.are.equal(1, ask({ client = CLIENT }).total)
    held:close()
  end)
end)
