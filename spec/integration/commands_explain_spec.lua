-- SPDX-License-Identifier: MIT
--
-- `moongate explain` and /api/v1/explain: which route a connection gets and why, as somebody reads it who does not know
-- the code.

local cjson = require "cjson"
local clients = require "spec.support.clients"
local hellos = require "spec.support.hellos"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local unicode = require "moongate.unicode"

describe("explain", function()
  after_each(moongate.finish)

  local port, plain, space

  local function files()
    port = net.free_ports(2, "127.0.0.1")
    plain = port + 1
    return {
      routes = {
        ["a.lua"] = ([[
local tls = { mode = "passthrough" }
local function route(name, match, priority)
  match.ports = %d
  return { name = name, priority = priority, match = match, action = { target = "127.0.0.1:1", tls = tls } }
end
return {
  route("any", {}),
  route("wild", { domains = "*.example.com" }),
  route("exact", { domains = { "b.example.com", "c.example.com" } }),
  route("inside", { domains = "b.example.com", client_ip = { "10.0.0.0/8", "192.168.1.*" } }),
  route("modern", { domains = "d.example.com", tls_version = "1.3" }),
  route("first", { domains = "*.example.net" }, 10),
  route("late", { domains = "a.example.net" }),
  route("maybe", { domains = "w.example.com", when = function() return false end }),
}
]]):format(port),
        ["b.lua"] = ([[return { name = "plain", match = { ports = %d },
          action = { handler = function(socket) socket:receive("*a") end } }]]):format(plain),
      },
    }
  end

  local function explain(...)
    local answer = moongate.command { "explain", ... }
    for line in answer.out:gmatch "[^{\n][^\n]*" do
      assert.is_true(answer.out:sub(1, 1) == "{" or unicode.width(line) <= 80, line)
    end
    return answer, (answer.out:gsub("%s+", " "))
  end

  -- Of the files, so that no puzzle needs a server of its own.
  local function offline(...)
    local answer, text = explain("--config", space.config_path, "--routes", space.directory .. "/routes", ...)
    assert.are.equal(0, answer.status, answer.err)
    return text
  end

  before_each(function()
    space = nil
  end)

  local function has(text, ...)
    for _, words in ipairs { ... } do
      assert.truthy(text:find(words, 1, true), words .. "\nis not in\n" .. text)
    end
  end

  it("an exact name before a wildcard before any", function()
    space = moongate.workspace(files())
    local text = offline(("https://B.Example.com:%d/x"):format(port), "--client", "203.0.113.5")
    has(text, 'for "b.example.com" from 203.0.113.5 gets route "exact" (a.lua:',
      "it is forwarded to 127.0.0.1:1, TLS passed through",
      '"exact" is checked first: it has the more specific domain', "the path /x plays no part")
  end)

  it("the port of a target that keeps the one that was asked for", function()
    local low = net.free_ports(2, "127.0.0.1")
    space = moongate.workspace { routes = { ["range.lua"] = ([[return { name = "range",
      match = { ports = "%d-%d" }, action = { target = { host = "127.0.0.1", port = "preserve" } } }]]):format(low,
      low + 1) } }
    has(offline(tostring(low + 1)), ("it is forwarded to 127.0.0.1:%d"):format(low + 1))
  end)

  it("a priority before what is more specific", function()
    space = moongate.workspace(files())
    local text = offline("--domain", "a.example.net", "--port", tostring(port))
    has(text, 'gets route "first"', '"first" is checked first: its priority is 10, above 0')
  end)

  it("the clause that turns a route down, with its value and the one that was asked for", function()
    space = moongate.workspace(files())
    local text = offline("--domain", "b.example.com", "--client", "172.16.0.1", "--port", tostring(port))
    has(text, 'client_ip: 172.16.0.1 is not in "10.0.0.0/8" or "192.168.1.*"',
      'domains: "b.example.com" is not "d.example.com"', 'domains: "b.example.com" does not match "*.example.net"')
    text = offline("--domain", "b.example.com", "--client", "192.168.1.9", "--port", tostring(port))
    has(text, 'gets route "inside"')
    text = offline("--domain", "d.example.com", "--tls-version", "1.2", "--port", tostring(port))
    has(text, 'gets route "wild"',
      "tls_version: the highest TLS version that the client offers is 1.2, and this route takes only 1.3")
  end)

  it("what was not said, where it matters, and what each case gives", function()
    space = moongate.workspace(files())
    local text = offline("--domain", "b.example.com", "--port", tostring(port))
    has(text, ('Which route a TLS connection to port %d for "b.example.com" gets depends on the client\'s address, '
      .. "which was not said (--client IP): "
      .. '- from "10.0.0.0/8" or "192.168.1.*": route "inside" (a.lua:10), forwarded to 127.0.0.1:1, TLS passed '
      .. 'through - from anywhere else: route "exact" (a.lua:9), forwarded to'):format(port),
      '? inside (a.lua:10) client_ip: takes only clients in "10.0.0.0/8" or "192.168.1.*" (not said)',
      'else exact (a.lua:9) matches by b.example.com; wins over "wild" by its domain; '
      .. '"inside" is checked first: it is for certain clients')
    text = offline("--domain", "d.example.com", "--port", tostring(port))
    has(text, "which was not said (--tls-version V)", '- if its highest is TLS 1.3: route "modern"',
      '- if its highest is TLS 1.0, 1.1 or 1.2: route "wild"',
      "tls_version: takes only 1.3 as the highest that the client offers (not said)")
    has(offline("--domain", "w.example.com", "--port", tostring(port)),
      'if the `when` of route "maybe" (a.lua:', '- else: route "wild"', "its `when` decides (a.lua:")
  end)

  it("no more routes with a `when` than --limit, and the one that is chosen behind them", function()
    local at = net.free_ports(1, "127.0.0.1")
    space = moongate.workspace { routes = { ["many.lua"] = ([[
local list = {}
for i = 1, 30 do
  list[i] = { name = "when" .. i, priority = 1, match = { ports = %d, when = function() return false end },
    action = { target = "127.0.0.1:1" } }
end
list[31] = { name = "rest", match = { ports = %d }, action = { target = "127.0.0.1:1" } }
return list
]]):format(at, at) } }
    local text = offline("--port", tostring(at), "--limit", "3")
    has(text, 'else, if the `when` of route "when3"', "- and so on: 27 more (--limit N shows them)",
      '- else: route "rest" (many.lua:7)', "and more: 27 asked by their `when` (--limit N shows them)")
    assert.is_nil(text:find("when4", 1, true), text)
    local answer = cjson.decode((explain("--config", space.config_path, "--routes", space.directory .. "/routes",
      "--port", tostring(at), "--limit", "3", "--json")).out)
    assert.are.equal(4, #answer.candidates)
    assert.are.same({ 30, "rest", 27, 31 }, { answer.depends, answer.chosen, answer.omitted.when, answer.total })
  end)

  -- What explain says becomes of a connection that no route takes is what becomes of it.
  it("how a connection is refused, as it is", function()
    local ports = net.free_ports(3, "127.0.0.1")
    local m = moongate.start {
      routes = ([[
local tls = { mode = "passthrough" }
local function route(name, port, match, tls)
  match.ports = port
  return { name = name, match = match, action = { target = "127.0.0.1:1", tls = tls } }
end
return {
  route("plain", %d, { client_ip = "192.0.2.0/24" }),
  route("plain beside TLS", %d, { when = function() return false end }),
  route("name", %d, { domains = "a.example.com", client_ip = "192.0.2.0/24" }, tls),
  route("when", %d, { domains = "when.example.com", when = function() return false end }, tls),
  route("new", %d, { domains = "new.example.com", tls_version = "1.3" }, tls),
  route("mixed", %d, { domains = "a.example.com" }, tls),
}]]):format(ports, ports + 1, ports + 2, ports + 2, ports + 2, ports + 1),
    }
    local function alert(level, description)
      return "\21\3\3\0\2" .. string.char(level, description)
    end
    local function refusal(answer, name, reason)
      return { answer = answer, alert = name, reason = reason }
    end
    local unknown = refusal("fatal alert", "unrecognized_name", "unknown_server_name")
    local cases = {
      -- Refused before it sends anything: a send would take the reset that is to be read.
      { ports, {}, "", refusal("reset", nil, "no_route"), "", "reset" },
      { ports + 1, { tls = 0 }, "hello", refusal("reset", nil, "no_route"), "", "reset" },
      { ports + 1, { tls = 1 }, hellos.make(), refusal("warning alert", "unrecognized_name", "no_server_name"),
        alert(1, 112), "end" },
      { ports + 2, { domain = "b.example.com" }, hellos.make "b.example.com", unknown, alert(2, 112), "end" },
      { ports + 2, { domain = "a.example.com" }, hellos.make "a.example.com", unknown, alert(2, 112), "end" },
      { ports + 2, { domain = "when.example.com" }, hellos.make "when.example.com",
        refusal("fatal alert", "access_denied", "no_route"), alert(2, 49), "end" },
      { ports + 2, { domain = "new.example.com" }, hellos.make "new.example.com",
        refusal("fatal alert", "protocol_version", "no_route"), alert(2, 70), "end" },
      { ports + 2, { tls = 0 }, "GET / HTTP/1.1\r\n\r\n", refusal("400", nil, "plain_http"), "HTTP/1.1 400 ", "end" },
    }
    local counts = {}
    for i, case in ipairs(cases) do
      local asked = { port = case[1], client_ip = "127.0.0.1", tls_version = case[2].domain and "1.2" }
      for key, value in pairs(case[2]) do
        asked[key] = value
      end
      local body = m:ask("/api/v1/explain", asked)
      local said = body.refusals[1]
      said.because = nil
      assert.are.same(case[4], said, "case " .. i)
      local client = net.connect(case[1])
      client:send(case[3])
      local bytes, how = client:receive_all()
      client:close()
      assert.are.same({ case[5], case[6] }, { bytes:sub(1, case[4].answer == "400" and 13 or nil), how }, "case " .. i)
      counts[said.reason] = (counts[said.reason] or 0) + 1
      m:await_metric(('connection_terminations_total{side="client",reason="%s"}'):format(said.reason),
        counts[said.reason])
    end
  end)

  it("what runs, by the API too, and each port where none is named", function()
    local m = moongate.start(files())
    local answer, text = explain("--control", m.control, "x.example.com")
    assert.are.equal(0, answer.status, answer.err)
    has(text, 'gets route "wild"', ('to port %d for "x.example.com"'):format(plain))
    local body, status = m:ask("/api/v1/explain", { port = port, domain = "b.example.com", client_ip = "10.1.2.3" })
    assert.are.equal(200, status)
    assert.are.equal("inside", body.chosen)
    assert.are.equal(8, body.total)
    local by_name = {}
    for _, candidate in ipairs(body.candidates) do
      by_name[candidate.name] = candidate
    end
    assert.are.same({ "turned_down", "domains" }, { by_name.late.verdict, by_name.late.clause })
    assert.are.equal("outranked", by_name.any.verdict)
    assert.is_nil(body.open)
    assert.is_nil(body.refusals)
    body = m:ask("/api/v1/explain", { port = port, domain = "b.example.com" })
    assert.are.same({ "client_ip" }, body.open)
    assert.are.same({ { client_ip = { "10.0.0.0/8", "192.168.1.*" }, route = "inside" }, { route = "exact" } },
      body.cases)
    assert.are.same({ "exact", "tls" }, { body.chosen, body.takes })
    assert.is_true(body.candidates[1].open)
    local refused = { [""] = 400, ["port=1"] = 404, ["port=x"] = 400, ["client_ip=me&port=" .. port] = 400 }
    for query, wanted in pairs(refused) do
      assert.are.equal(wanted, (m:get("/api/v1/explain?" .. query)), query)
    end
    answer = explain("--control", m.control, "--json", tostring(port))
    assert.are.equal("any", cjson.decode(answer.out).chosen)
    assert.are.equal(1, explain("--control", m.control, "1").status)
    assert.are.equal(2, explain("--control", m.control, "a:b").status)
  end)

  it("who is kept out by a list or a block, though there is a route", function()
    local m = clients.start([[limits = { connections_per_ip = 1, block_for = "1h" },
      security = { ip_block = "203.0.113.0/24" },]], nil, {
      routes = ([[return {
        { name = "front", match = { ports = 0 }, action = { GREET } },
        { name = "own", match = { ports = 0 }, action = { GREET }, security = { ip_allow = "192.0.2.0/24" } },
      }]]):gsub("GREET", (clients.GREET:gsub("%%", "%%%%"))),
    })
    local function told(route, client)
      return select(2, explain("--control", m.control, "--port", tostring(m:port(route)), "--client", client))
    end
    has(told("front", "203.0.113.9"), 'gets route "front"',
      "But security.ip_block of the config keeps 203.0.113.9 out, reason not_allowed.")
    has(told("own", "198.51.100.1"), 'But security.ip_allow of route "own" (routes.lua:6) keeps 198.51.100.1 out')
    assert.is_nil(told("own", "192.0.2.7"):find("But", 1, true))
    assert.is_nil(told("own", "192.0.2.7"):find("Unless", 1, true))
    local _, unsaid = explain("--control", m.control, tostring(m:port "own"))
    has(unsaid, 'Unless ip_block or ip_allow of the config and of route "own" keeps the client out: --client IP asks')
    unsaid = select(2, explain("--control", m.control, tostring(m:port "front")))
    has(unsaid, "Unless ip_block or ip_allow of the config keeps")
    clients.enter(m, "192.0.2.7")
    assert.is_false(clients.enter(m, "192.0.2.7"))
    has(told("own", "192.0.2.7"), "But 192.0.2.7 is refused for another ", "(limits.block_for), reason limit_blocked.")
    local body = m:ask("/api/v1/explain", { port = m:port "own", client_ip = "192.0.2.7" })
    assert.are.same({ "limit_blocked", "limits.block_for" }, { body.kept_out.reason, body.kept_out.option })
    assert.is_true(body.kept_out.seconds > 3500 and body.kept_out.seconds <= 3600)
  end)

  it("who is refused because a limit is full, and which function has the next word", function()
    local m = clients.start("limits = { connections_per_ip = 1 },", nil, {
      routes = ([[return {
        { name = "front", match = { ports = 0 }, action = { GREET } },
        { name = "one", match = { ports = 0 }, action = { GREET }, security = { max_connections = 1,
          authorize = function() return true end } },
      }]]):gsub("GREET", (clients.GREET:gsub("%%", "%%%%"))),
    })
    local function told(route, client)
      return select(2, explain("--control", m.control, "--port", tostring(m:port(route)), "--client", client))
    end
    has(told("one", "192.0.2.7"), 'Then the `authorize` of route "one" decides, which explain does not run.')
    assert.is_true(clients.enter(m, "192.0.2.7", "one"))
    has(told("front", "192.0.2.7"), 'gets route "front"',
      "But 192.0.2.7 is refused: limits.connections_per_ip is 1, and its address has as many open, reason limit_ip.")
    has(told("one", "198.51.100.1"), "But 198.51.100.1 is refused: as many connections as security.max_connections "
      .. "allows (1) are open on its route, reason limit_route.")
    local body = m:ask("/api/v1/explain", { port = m:port "front", client_ip = "192.0.2.7" })
    assert.are.same({ step = "admit", reason = "limit_ip", option = "limits.connections_per_ip", limit = 1,
      route = "front", file = "routes.lua", line = body.kept_out.line }, body.kept_out)
    assert.is_true(clients.enter(m, "198.51.100.1"), "it was counted, though it was only asked about")
  end)

  it("why a connection has its route, and when it ends", function()
    local m = moongate.start(files())
    net.connect(plain)
    local id
    process.wait_for(function()
      local row = m:live_connections().connections[1]
      id = row and row.state == "handling" and row.id
      return id
    end)
    local answer, text = explain("--control", m.control, id)
    assert.are.equal(0, answer.status, answer.err)
    has(text, "route plain (b.lua:1)", "handling: its handler runs", "ends by moongate in",
      ("to port %d of 127.0.0.1"):format(plain),
      ('One like it, if it came now: A connection to port %d of 127.0.0.1 from 127.0.0.1 gets route "plain"'):format(
        plain))
    assert.are.equal(1, explain("--control", m.control, "1-999999").status)
  end)

  it("that it waits for a function of a route: which, where, since when; and so does diagnose", function()
    local m = moongate.start {
      clock = true,
      config = 'timeouts = { initial_data = "1h", connect = "1h", shutdown = "1s" },',
      routes = ([[
local function wait()
  moongate.sleep(3000)
end
return {
  { name = "asks", match = { ports = 0, when = wait }, action = { target = "127.0.0.1:1" } },
  { name = "lets", match = { ports = 0 }, security = { authorize = wait }, action = { target = "127.0.0.1:1" } },
  { name = "finds", match = { ports = 0 }, action = { target = wait } },
  { name = "keeps", match = { ports = 0 }, keep_alive = wait, action = { target = "127.0.0.1:1" } },
  { name = "weighs", match = { ports = 0 }, action = { targets = { "127.0.0.1:1", "127.0.0.1:2" }, balance = wait } },
}]]),
    }
    local functions = {
      asks = "routing: match.when", lets = "routing: security.authorize", finds = "connecting: action.target",
      keeps = "routing: keep_alive", weighs = "connecting: action.balance",
    }
    for route in pairs(functions) do
      net.connect(m:port(route))
    end
    process.wait_for(function()
      local asked = 0
      for _, row in ipairs(m:live_connections().connections) do
        asked = asked + (row.waits and 1 or 0)
      end
      return asked == 5
    end)
    m:advance(15)
    for _, row in ipairs(m:live_connections().connections) do
      local route = row.waits.route
      local text = select(2, explain("--control", m.control, row.id))
      has(text, functions[route] .. " of route " .. route .. " (",
        "routes.lua:1) has been asked, and has not answered for 1")
      assert.is_nil(text:find("has not arrived", 1, true) or text:find("No target has", 1, true))
      functions[route] = nil
    end
    assert.is_nil(next(functions))
    local told = moongate.command({ "diagnose", "--control", m.control }).out:gsub("%s+", " ")
    for _, name in ipairs { "match.when of route asks", "action.target of route finds" } do
      has(told, "1 connection waits for " .. name .. " (")
    end
    assert.is_nil(told:find("have not sent what", 1, true) or told:find("to accept", 1, true), told)
  end)

  it("a connection by the address that it came in on", function()
    local at = net.free_ports(1, "127.0.0.1")
    local m = moongate.start {
      routes = ([[
local action = { handler = function(socket) socket:receive("*a") end }
return {
  { name = "all", match = { ports = %d }, action = action },
  { name = "two", match = { ports = %d, address = "127.0.0.2" }, action = action },
}]]):format(at, at),
    }
    for route, address in pairs { two = "127.0.0.2", all = "127.0.0.1" } do
      local client = net.connect(at, { host = address })
      local row
      process.wait_for(function()
        row = m:live_connections({ state = "handling", route = route }).connections[1]
        return row
      end)
      assert.are.equal(address, row.local_address)
      local _, text = explain("--control", m.control, row.id)
      has(text, ("One like it, if it came now: A connection to port %d of %s from "):format(at, address),
        ('gets route "%s"'):format(route))
      client:close()
    end
  end)

  it("how much a client has not taken", function()
    local m = moongate.start { routes = moongate.front [[handler = function(s)
      while s:send(("x"):rep(65536)) do end
    end]] }
    local client = net.connect(m:port "front", { receive_buffer = 4096 })
    local row
    process.wait_for(function()
      row = m:live_connections().connections[1]
      return row and row.unsent and row.unsent.client > 100000
    end)
    assert.is_nil(row.unsent.target)
    has(select(2, explain("--control", m.control, row.id)), " wait for the client to take them")
    client:close()
  end)

  it("the faults of files that it could not load, and the rest all the same", function()
    space = moongate.workspace(files())
    process.write(space.directory .. "/routes/c.lua", "return {")
    local answer = explain("--config", space.config_path, "--routes", space.directory .. "/routes", tostring(plain))
    assert.are.equal(0, answer.status)
    assert.truthy(answer.err:find("c.lua:1", 1, true), answer.err)
    assert.truthy(answer.out:find('gets route "plain"', 1, true), answer.out)
  end)
end)
