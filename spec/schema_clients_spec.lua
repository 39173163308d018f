-- SPDX-License-Identifier: MIT
--
-- What a route asks of a client: domains, addresses and TLS; and what a route does with TLS.

local config = require("moongate.schema.config")
local mark = require("moongate.schema.mark")
local punycode = require("moongate.schema.punycode")
local routes = require("moongate.schema.routes")

local TIMEOUTS = config.check({}, { directory = "/", cpus = 1, root = true, variables = {} }).config.timeouts

local fn = mark.new("function")

local function load(match, action)
  match.ports = match.ports or 443
  action = action or { target = "a:1", tls = { mode = "passthrough" } }
  local value = { match = match, action = action }
  return routes.check(value, { file = "a.lua", path = "routes/a.lua", timeouts = TIMEOUTS, names = {} })
end

local function normal(match, action)
  local result = load(match, action)
  assert.are.equal(nil, result.faults[1] and result.faults[1].message)
  return result.routes[1]
end

local function fault(match, action)
  local result = load(match, action)
  assert.are.equal(1, #result.faults)
  return ("%s: %s"):format(result.faults[1].field, result.faults[1].message)
end

local function begins(expected, text)
  assert.are.equal(expected, text:sub(1, #expected))
end

describe("domains", function()
  it("are lower case, without a port and a trailing dot, each once", function()
    assert.are.same(
      { "example.com", "*.example.com", "api-?.*.x", "a_b" },
      normal({ domains = { "Example.COM.", "*.example.com", "example.com:443", "API-?.*.x", "a_b" } }).match.domains
    )
    assert.are.same({ "*" }, normal({ domains = "*" }).match.domains)
    assert.is_nil(normal({}).match.domains)
    local longest = ("a."):rep(126) .. "a"
    assert.are.same({ longest }, normal({ domains = longest .. "." }).match.domains)
  end)

  it("that are none are told with what was meant", function()
    local expected = 'match.domains: expected a domain such as "example.com" or "*.example.com", got '
    for value, message in pairs({
      ["https://Example.com:8443/x"] = "(it is a URL: write \"example.com\")",
      ["example.com/x"] = "(a path is not part of a domain: write \"example.com\")",
      [" example.com"] = "(it has spaces in it: write \"example.com\")",
      ["a b"] = "(it has spaces in it)",
      ["a..b"] = "(it has nothing between two dots)",
      [".example.com"] = "(it begins with a dot: write \"*.example.com\")",
      ["."] = "(it begins with a dot)",
      [""] = "(it is empty)",
      ["a,b"] = "(it has \",\" in it)",
      ["[::1]:443"] = "(it has \"[\" in it)",
      ["BÜcher.example"] = "(names are compared in their ASCII form)",
      ["bücher.example:443"] = "(names are compared in their ASCII form: write \"xn--bcher-kva.example\")",
      ["a\0b"] = "(it has ",
      [("a."):rep(128)] = "(it is longer than 253 bytes)",
      [("a"):rep(64) .. ".b"] = "(a part between dots has at most 63 bytes)",
    }) do
      local text = fault({ domains = value })
      begins(expected, text)
      if value ~= "BÜcher.example" then
        assert.truthy(text:find(message, 1, true), text)
      end
    end
    begins(expected .. "5", fault({ domains = 5 }))
    begins("match.domains[2]: expected a domain", fault({ domains = { "a", fn } }))
    begins("match.domains: is an empty list: leave it out for any", fault({ domains = {} }))
    begins("match.domains: expected a list", fault({ domains = { a = "b" } }))
  end)

  it("need TLS, or HTTP", function()
    local without = "match.domains: without `tls` it would be the Host of HTTP, which this version does not read yet"
    begins(without, fault({ domains = "a" }, { target = "a:1" }))
    begins(
      'match.domains: nothing on a plain connection names a domain, and with protocol = "tcp" it is no HTTP either',
      fault({ domains = "a" }, { target = "a:1", protocol = "tcp" })
    )
    begins(
      "match.domains: nothing on a plain connection names a domain, and with a handler it",
      fault({ domains = "a" }, { handler = fn })
    )
    assert.are.equal(1, normal({ domains = "a" }, { handler = fn, tls = { mode = "passthrough" } }).action.handler)
  end)
end)

describe("the ASCII form of a name", function()
  it("is that of RFC 3492", function()
    for name, ascii in pairs({
      ["bücher.de"] = "xn--bcher-kva.de",
      ["MÜNCHEN.example"] = nil,
      ["例え.jp"] = "xn--r8jz45g.jp",
      ["почемужеонинеговорятпорусски"] = "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l",
      ["他们为什么不说中文"] = "xn--ihqwcrb4cv8a8dqg056pqjye",
      ["3年b組金八先生"] = "xn--3b-ww4c5e180e575a65lsy2b",
      ["a.b"] = "a.b",
    }) do
      assert.are.equal(ascii, punycode.name(name))
    end
    assert.is_nil(punycode.name("\255"))
    assert.is_nil(punycode.name("a\195"))
    assert.is_nil(punycode.name("\195a"))
  end)
end)

describe("addresses of clients", function()
  it("are texts, for C to read", function()
    local list = { "192.0.2.7", "10.0.0.0/8", "192.168.*" }
    assert.are.same(list, normal({ client_ip = list }).match.client_ip)
    assert.are.same({ "::1" }, normal({ client_ip = "::1" }, { target = "a:1" }).match.client_ip)
  end)

  it("that can't be any are faults", function()
    begins('match.client_ip: expected an address, a network or a glob ("10.0.0.0/8"', fault({ client_ip = 10 }))
    begins("match.client_ip[2]: expected an address, a network or a glob", fault({ client_ip = { "::1", "" } }))
    begins("match.client_ip: expected an address, a network or a glob", fault({ client_ip = "::1\0" }))
    begins("match.client_ip: expected an address, got", fault({ client_ip = "lb.example.com" }))
    begins("match.client_ip: is an empty list: leave it out for any", fault({ client_ip = {} }))
  end)
end)

describe("versions of TLS", function()
  it("are bits, one or several", function()
    assert.are.equal(8, normal({ tls_version = "1.3" }).match.tls_version)
    assert.are.equal(12, normal({ tls_version = { "1.2", "1.3", "1.2" } }).match.tls_version)
    assert.are.equal(15, normal({ tls_version = { "1.0", "1.1", "1.2", "1.3" } }).match.tls_version)
  end)

  it("that are none are told with what was meant", function()
    local expected = 'match.tls_version: expected "1.0", "1.1", "1.2" or "1.3", got '
    assert.are.equal(expected .. '1.2 (write "1.2")', fault({ tls_version = 1.2 }))
    assert.are.equal(expected .. '1 (write "1.0")', fault({ tls_version = 1 }))
    assert.are.equal(expected .. '"TLSv1.3" (write "1.3")', fault({ tls_version = "TLSv1.3" }))
    assert.are.equal(expected .. '"1.4"', fault({ tls_version = "1.4" }))
    begins("match.tls_version: is an empty list", fault({ tls_version = {} }))
  end)

  it("need TLS", function()
    begins(
      "match.tls_version: a plain connection has none: add action",
      fault({ tls_version = "1.2" }, { target = "a:1" })
    )
  end)
end)

describe("action.tls", function()
  it("is passed through, or nothing", function()
    assert.are.same({ mode = "passthrough" }, normal({}).action.tls)
    assert.is_nil(normal({}, { target = "a:1" }).action.tls)
    assert.is_nil(normal({}, { target = "a:1", tls = false }).action.tls)
  end)

  it("that is something else is a fault", function()
    for _, case in ipairs({
      { "passthrough", 'action.tls: expected a table, got "passthrough" (write tls = { mode = "passthrough" })' },
      { true, "action.tls: expected a table, got true" },
      { {}, 'action.tls.mode: is missing: write tls = { mode = "passthrough" }' },
      { { mode = "pass-through" }, 'action.tls.mode: expected "passthrough", got "pass-through" (did you mean' },
      { { mode = "terminate" }, 'action.tls.mode: "terminate" is not supported in this version' },
      { { mode = "passthrough", certificate = "auto" }, "action.tls.certificate: not supported in this version: pass" },
      { { mode = "passthrough", min_version = "1.2" }, "action.tls.min_version: not supported in this version: match" },
      { { mode = "passthrough", cert = 1 }, "action.tls.cert: unknown field" },
    }) do
      begins(case[2], fault({}, { target = "a:1", tls = case[1] }))
    end
  end)
end)
