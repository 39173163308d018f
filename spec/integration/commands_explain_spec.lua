-- SPDX-License-Identifier: MIT
--
-- `moongate explain` and /api/v1/explain: which route a connection gets and why, as somebody reads it who does not know
-- the code.

local cjson = require "cjson"
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
    local text = offline(("https://B.Example.com:%d/x"):format(port))
    has(text, 'for "b.example.com" gets route "exact" (a.lua:', "it is forwarded to 127.0.0.1:1, TLS passed through",
      'after "exact", whose domain is more specific', "the path /x plays no part")
  end)

  it("a priority before what is more specific", function()
    space = moongate.workspace(files())
    local text = offline("--domain", "a.example.net", "--port", tostring(port))
    has(text, 'gets route "first"', 'after "first": its priority is 0, not 10')
  end)

  it("the clause that turns a route down, with its value and the one that was asked for", function()
    space = moongate.workspace(files())
    local text = offline("--domain", "b.example.com", "--client", "172.16.0.1", "--port", tostring(port))
    has(text, 'client_ip: 172.16.0.1 is in none of "10.0.0.0/8", "192.168.1.*"',
      'domains: "b.example.com" is not "d.example.com"', 'domains: "b.example.com" is not "*.example.net"')
    text = offline("--domain", "b.example.com", "--client", "192.168.1.9", "--port", tostring(port))
    has(text, 'gets route "inside"')
    text = offline("--domain", "d.example.com", "--tls-version", "1.2", "--port", tostring(port))
    has(text, 'gets route "wild"', "tls_version:")
  end)

  it("what was not said, where it matters", function()
    space = moongate.workspace(files())
    local text = offline("--domain", "b.example.com", "--port", tostring(port))
    has(text, "client_ip: which client was not said (--client IP)", "Not said: the client (--client IP).",
      "? inside")
    text = offline("--domain", "d.example.com", "--port", tostring(port))
    has(text, "which TLS version was not said (--tls-version V)")
    has(offline("--domain", "w.example.com", "--port", tostring(port)),
      'gets route "maybe", if its `when` says so; else it gets route "wild"',
      "depends on when = function (a.lua:")
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
    local refused = { [""] = 400, ["port=1"] = 404, ["port=x"] = 400, ["client_ip=me&port=" .. port] = 400 }
    for query, wanted in pairs(refused) do
      assert.are.equal(wanted, (m:get("/api/v1/explain?" .. query)), query)
    end
    answer = explain("--control", m.control, "--json", tostring(port))
    assert.are.equal("any", cjson.decode(answer.out).chosen)
    assert.are.equal(1, explain("--control", m.control, "1").status)
    assert.are.equal(2, explain("--control", m.control, "a:b").status)
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
    has(text, "route plain (b.lua:1)", "handling: its handler runs", "ends by moongate in", 'gets route "plain"')
    assert.are.equal(1, explain("--control", m.control, "1-999999").status)
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
