-- SPDX-License-Identifier: MIT
--
-- moongate.route: what the helpers make, and that the schema takes it. Their lines are in integration/check_spec.lua.

local route = require("moongate.route")

local function fn() end

local function refusal(...)
  local ok, message = pcall(...)
  assert.is_false(ok)
  return message
end

describe("moongate.route", function()
  it("passes TLS through", function()
    assert.are.same({
      match = { ports = 443, domains = "a.example" },
      action = { target = "b:1", tls = { mode = "passthrough" } },
    }, route.passthrough("a.example", "b:1"))
    local several = route.passthrough({ "a", "b" }, { "c:1", "d:2" })
    assert.are.same({ "a", "b" }, several.match.domains)
    assert.are.same({ "c:1", "d:2" }, several.action.targets)
    assert.is_nil(several.action.target)
    assert.are.same({ host = "c", port = 1 }, route.passthrough("a", { host = "c", port = 1 }).action.target)
    assert.are.equal(fn, route.passthrough("a", fn).action.target)
  end)

  it("forwards ports, and keeps the one that the client came in on where the target names none", function()
    assert.are.same(
      { match = { ports = "8000-8100" }, action = { target = "10.0.0.1", port = "preserve" } },
      route.ports("8000-8100", "10.0.0.1")
    )
    for _, to in ipairs({ "[::1]", { host = "a" }, { "a", "b:1" }, { { host = "a", weight = 2 } } }) do
      assert.are.equal("preserve", route.ports(1, to).action.port)
    end
    local with_port = { "a:1", "[::1]:80", "unix:/x", { host = "a", port = 1 }, { host = "unix:/x" }, { "a:1" }, fn }
    for _, to in ipairs(with_port) do
      assert.is_nil(route.ports(1, to).action.port)
    end
    assert.are.equal(7, route.ports(1, "a", { action = { port = 7 } }).action.port)
  end)

  it("balances, by domains or by ports", function()
    assert.are.same({
      match = { ports = 443, domains = "a.example" },
      action = { targets = { "b:1", "c:1" }, tls = { mode = "passthrough" } },
    }, route.balance("a.example", { "b:1", "c:1" }))
    assert.are.same(
      { match = { ports = 5432 }, action = { targets = { "b:1", "c:1" } } },
      route.balance(nil, { "b:1", "c:1" }, { ports = 5432 })
    )
  end)

  it("has handlers", function()
    assert.are.same({ match = { ports = 9000 }, action = { handler = fn } }, route.handler(nil, 9000, fn))
    local raw = route.handler("a", 443, fn, { action = { tls = { mode = "passthrough" } } })
    assert.are.equal("a", raw.match.domains)
    assert.are.equal(fn, raw.action.handler)
    assert.are.equal("passthrough", raw.action.tls.mode)
  end)

  it("merges options key by key, and lists take each other's place", function()
    local made = route.passthrough({ "a", "b" }, "c:1", {
      name = "x",
      priority = 3,
      tags = { "t" },
      ports = { 443, 8443 },
      match = { domains = { "z" }, client_ip = "10.0.0.0/8" },
      action = { half_open = true },
      timeouts = { idle = 5 },
      something = "else",
    })
    assert.are.same({
      name = "x",
      priority = 3,
      tags = { "t" },
      match = { ports = { 443, 8443 }, domains = { "z" }, client_ip = "10.0.0.0/8" },
      action = { target = "c:1", half_open = true, tls = { mode = "passthrough" } },
      timeouts = { idle = 5 },
      something = "else",
    }, made)
    assert.is_nil(route.passthrough("a", "b:1", { match = { ports = 1 } }).ports)
    assert.are.equal(1, route.passthrough("a", "b:1", { match = { ports = 1 } }).match.ports)
  end)

  it("leaves what it was given as it was, and gives each route tables of its own", function()
    local options = { match = { client_ip = { "::1" } }, ports = 1 }
    local domains = { "a" }
    local one, two = route.passthrough(domains, "b:1", options), route.passthrough(domains, "b:1", options)
    one.match.domains[1], one.match.client_ip[1] = "x", "x"
    assert.are.same({ match = { client_ip = { "::1" } }, ports = 1 }, options)
    assert.are.same({ "a" }, domains)
    assert.are.same({ "a" }, two.match.domains)
    assert.are.same({ "::1" }, two.match.client_ip)
  end)

  it("says where it was misused", function()
    local here = debug.getinfo(1, "l").currentline
    local function place(line)
      return ("spec/route_spec.lua:%d: "):format(here + line)
    end
    local message = refusal(function()
      local made = route.passthrough("a")
      return made
    end)
    assert.are.equal(
      place(5) .. "bad argument #2 to 'moongate.route.passthrough' (a target such as \"10.0.0.1:443\", a list of them, "
        .. "or a function expected, got nothing)",
      message
    )
    for _, case in ipairs({
      { "passthrough", "#1", nil, "a:1" },
      { "passthrough", "#3", "a", "b:1", "options" },
      { "ports", "#1", nil, "a:1" },
      { "ports", "#2", 1, 5 },
      { "balance", "#2", "a", "b:1" },
      { "handler", "#2", nil, fn },
      { "handler", "#3", nil, 1, "echo" },
    }) do
      local text = refusal(route[case[1]], case[3], case[4], case[5])
      assert.truthy(text:find(("bad argument %s to 'moongate.route.%s'"):format(case[2], case[1]), 1, true), text)
    end
  end)

  it("says of a helper that is not there which there are", function()
    local here = debug.getinfo(1, "l").currentline
    local function ask(name)
      return refusal(function()
        local helper = route[name]
        return helper
      end)
    end
    local all = ": there are balance, handler, passthrough, ports"
    local place = ("spec/route_spec.lua:%d: moongate.route."):format(here + 3)
    assert.are.equal(place .. "https needs what a later version brings" .. all, ask("https"))
    assert.are.equal(place .. "passtrough is not there, did you mean passthrough?" .. all, ask("passtrough"))
    assert.is_nil(route[1])
  end)
end)
