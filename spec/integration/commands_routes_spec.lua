-- SPDX-License-Identifier: MIT
--
-- `moongate routes` and /api/v1/routes: which routes are live, in which order, and what went through them.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local unicode = require "moongate.unicode"

local function command(m, ...)
  return moongate.command { "routes", "--control", m.control, ... }
end

local function names_of(answer)
  local names = {}
  for i, route in ipairs(answer.routes) do
    names[i] = route.name
  end
  return names
end

local function assert_fits(text, width)
  for line in text:gmatch "[^\n]+" do
    assert.is_true(unicode.width(line) <= width, line)
  end
end

describe("the live routes", function()
  after_each(moongate.finish)

  local port, other

  local function start()
    port = net.free_ports(2, "127.0.0.1")
    other = port + 1
    return moongate.start {
      workers = 2,
      routes = {
        ["a.lua"] = ([[
return {
  { name = "low", match = { ports = %d }, action = { target = "127.0.0.1:1" } },

  { name = "high", priority = 7, match = { ports = { %d, %d }, when = function() return true end },
    action = { handler = function(socket) socket:send(socket:receive(4)) end },
    tags = { "one", "two" }, description = "answers four bytes" },
}
]]):format(port, port, other),
        ["b.lua"] = ([[return { name = "last", match = { ports = %d },
          action = { targets = { "127.0.0.1:7", { host = "::1", port = "preserve", weight = 3 } }, half_open = true } }
        ]]):format(other),
      },
    }
  end

  it("are told in the order of choice, with all that they say", function()
    local m = start()
    local answer = m:live_routes()
    assert.are.same({ "high", "low", "last" }, names_of(answer))
    assert.are.equal(3, answer.total)
    local high = answer.routes[1]
    assert.are.same({ "one", "two" }, high.tags)
    assert.are.equal("answers four bytes", high.description)
    assert.are.same({ "a.lua", 4, 7 }, { high.file, high.line, high.priority })
    assert.are.same({ ports = { ("%d-%d"):format(port, other) }, when = true }, high.match)
    assert.are.same({ type = "handler" }, high.action)
    assert.are.same({ port, other }, high.ports)
    assert.are.equal(1, high.version)
    local last = answer.routes[3]
    assert.are.same({
      type = "forward",
      half_open = true,
      targets = { { host = "127.0.0.1", port = 7, weight = 1 }, { host = "::1", port = "preserve", weight = 3 } },
    }, last.action)
  end)

  it("are chosen by port, file and name, and come in pages", function()
    local m = start()
    assert.are.same({ "high", "last" }, names_of(m:live_routes { port = other }))
    assert.are.same({ "high", "low" }, names_of(m:live_routes { port = port }))
    assert.are.same({ "last" }, names_of(m:live_routes { file = "b.lua" }))
    assert.are.same({ "low" }, names_of(m:live_routes { route = "low" }))
    local page = m:live_routes { limit = 1, offset = 1 }
    assert.are.same({ "low" }, names_of(page))
    assert.are.equal(3, page.total)
    assert.are.same({}, m:live_routes({ port = 1 }).routes)
  end)

  it("count what went through them", function()
    local m = start()
    local client = net.connect(port)
    client:send "ping"
    assert.are.equal("ping", client:receive(4))
    client:receive_all()
    m:await_idle()
    local route = m:live_routes({ route = "high" }).routes[1]
    assert.are.same({ active = 0, total = 1 }, route.connections)
    assert.are.same({ ["in"] = 4, out = 4 }, route.bytes)
  end)

  it("refuse parameters that they don't know", function()
    local m = start()
    for _, query in ipairs { "rout=x", "port=http", "limit=-1", "limit=1000000", "port=1&port=2" } do
      local status, body = m:get("/api/v1/routes?" .. query)
      assert.are.equal(400, status, query)
      assert.is_string(cjson.decode(body).error.message)
    end
    local _, body = m:get "/api/v1/routes?rout=x"
    assert.truthy(body:find("did you mean route?", 1, true), body)
  end)

  it("make a table that fits 80 columns, and a page of one with all of it", function()
    local m = start()
    local answer = command(m)
    assert.are.equal(0, answer.status, answer.err)
    assert_fits(answer.out, 80)
    assert.truthy(answer.out:find("high .* 7 .*when%(%).*handler"), answer.out)
    answer = command(m, "high")
    assert.are.equal(0, answer.status, answer.err)
    assert.truthy(answer.out:find("description  answers four bytes", 1, true), answer.out)
    assert.truthy(answer.out:find("a.lua:4", 1, true), answer.out)
    answer = command(m, "nobody")
    assert.are.equal(1, answer.status)
    assert.truthy(answer.err:find('no live route "nobody"', 1, true), answer.err)
    local json = command(m, "--json", "--port", tostring(other))
    assert.are.same({ "high", "last" }, names_of(cjson.decode(json.out)))
  end)

  it("have the lines that they have now, also those that have only moved", function()
    local m = start()
    local text = [[return { name = "low", match = { ports = %d }, action = { target = "127.0.0.1:1" } }]]
    m:write("a.lua", text:format(port))
    m:await_generation(2)
    assert.are.equal(1, m:live_routes({ route = "low" }).routes[1].line)
    m:write("a.lua", "\n\n" .. text:format(port))
    process.wait_for(function()
      return m:live_routes({ route = "low" }).routes[1].line == 3
    end)
  end)

  it("are told page by page when they are very many", function()
    local m = moongate.start {
      routes = ([[
local routes = {}
for i = 1, 5000 do
  local match = { ports = %d, when = function() return false end }
  routes[i] = { name = "r" .. i, match = match, action = { target = "127.0.0.1:1" } }
end
return routes]]):format(net.free_ports(1, "127.0.0.1")),
    }
    local page = m:live_routes { limit = 2, offset = 4000 }
    assert.are.equal(5000, page.total)
    assert.are.same({ "r4001", "r4002" }, names_of(page))
    assert.are.equal(5000, m:status().route_count)
    local answer = command(m, "--limit", "3")
    assert.truthy(answer.out:find("3 of 5000 routes", 1, true), answer.out)
  end)
end)
