-- SPDX-License-Identifier: MIT
--
-- What holds between routes of one file and of several: `defaults`, names, and who is in whose way.

local config = require("moongate.schema.config")
local mark = require("moongate.schema.mark")
local routes = require("moongate.schema.routes")

local ENVIRONMENT = { directory = "/", cpus = 1, root = true, variables = {} }
local NORMAL = config.check({}, ENVIRONMENT).config

local fn = mark.new("function")

local function defaults_of(value)
  return config.check({ defaults = value }, ENVIRONMENT)
end

-- Checks what a file returned, behind the files that `index` knows.
local function load(value, index, file, base)
  local options = { file = file or "a.lua", path = "routes/" .. (file or "a.lua"), timeouts = NORMAL.timeouts }
  options.names, options.defaults = index or {}, base and defaults_of(base).config.defaults
  return routes.check(value, options)
end

local function said(list)
  local lines = {}
  for i, fault in ipairs(list) do
    lines[i] = ("%s: %s: %s"):format(fault.route, fault.field, fault.message)
  end
  return table.concat(lines, "\n")
end

describe("a text that is too long for what it is", function()
  local LONG = 200000

  local function refuses(route, field)
    local began = os.clock()
    local result = load(route)
    local took = os.clock() - began
    assert.truthy(said(result.faults):find(field .. ": has a text of more than 4096 bytes", 1, true), field)
    assert.truthy(took < 5, took)
  end

  it("is refused before it is taken to pieces, which would take minutes", function()
    local nines = ("9"):rep(LONG)
    refuses({ match = { ports = 1 }, action = { target = "a:1" }, timeouts = { idle = nines } }, "timeouts.idle")
    refuses({ match = { ports = nines .. "," }, action = { target = "a:1" } }, "match.ports")
    refuses({ match = { ports = { 1, ("1,"):rep(LONG) .. "x" } }, action = { target = "a:1" } }, "match.ports")
    local blanks = "x" .. (" "):rep(LONG) .. "x"
    refuses({ match = { ports = 1, domains = { blanks } }, action = { target = "a:1" } }, "match.domains")
    refuses({ match = { ports = 1 }, action = { targets = { { host = blanks, port = 1 } } } }, "action.targets")
  end)

  it("is none when it is only kept", function()
    local result = load { description = ("x"):rep(60000), match = { ports = 1 }, action = { target = "a:1" } }
    assert.are.equal("", said(result.faults))
  end)
end)

describe("defaults", function()
  local function merged(base, route)
    local result = load(route, nil, nil, base)
    assert.are.equal("", said(result.faults))
    return result.routes[1]
  end

  it("stand under every route, key by key", function()
    local base = { priority = 3, match = { ports = 80 }, action = { target = "a:1" } }
    base.timeouts = { idle = 5, linger = 1 }
    local route = merged(base, { match = { address = "127.0.0.1" }, timeouts = { idle = "7s" } })
    assert.are.equal(3, route.priority)
    assert.are.same({ { from = 80, to = 80 } }, route.match.ports)
    assert.are.equal("127.0.0.1", route.match.address)
    assert.are.equal("a", route.action.targets[1].host)
    assert.are.equal(7000, route.timeouts.idle)
    assert.are.equal(1000, route.timeouts.linger)
    assert.are.equal(30000, route.timeouts.connect)
  end)

  it("have their lists replaced, not mixed", function()
    local base = { tags = { "a", "b" }, match = { ports = { 80, 81 } }, action = { target = "a:1" } }
    local route = merged(base, { tags = { "c" }, match = { ports = { 90 } } })
    assert.are.same({ "c" }, route.tags)
    assert.are.same({ { from = 90, to = 90 } }, route.match.ports)
  end)

  it("have each half of a pair of durations replaced", function()
    local base = { match = { ports = 1 }, action = { target = "a:1" } }
    base.timeouts = { half_dead = { 1, tls = 2 }, stuck = 3 }
    local route = merged(base, { timeouts = { half_dead = { tls = 5 }, stuck = { 4 } } })
    assert.are.same({ plain = 1000, tls = 5000 }, route.timeouts.half_dead)
    assert.are.same({ plain = 4000, tls = 3000 }, route.timeouts.stuck)
    assert.are.same({ plain = 9000, tls = 9000 }, merged(base, { timeouts = { half_dead = 9 } }).timeouts.half_dead)
  end)

  it("give way to what a route does itself", function()
    local base = { match = { ports = 1 }, action = { target = "a", port = 7, half_open = true } }
    assert.are.equal(7, merged(base, { name = "x" }).action.targets[1].port)
    local route = merged(base, { action = { targets = { "b:1", "c:2" } } })
    assert.are.equal(2, #route.action.targets)
    assert.is_true(route.action.half_open)
    assert.are.equal(1, merged(base, { action = { handler = fn } }).action.handler)
    assert.are.equal(1, merged(base, { action = { target = fn } }).action.target_function)
    assert.are.equal(7, merged(base, { action = { target = "b" } }).action.targets[1].port)
  end)

  it("leave the route that was read as it was", function()
    local route = { match = { address = "127.0.0.1" } }
    load({ route, route }, nil, nil, { match = { ports = 80 } })
    assert.are.same({ match = { address = "127.0.0.1" } }, route)
  end)

  it("that are wrong are the config's fault", function()
    for _, case in ipairs({
      { 5, ": defaults: expected a table, got 5" },
      { { name = "x" }, ": defaults.name: can't stand in defaults: each route has a name of its own" },
      { { match = { portz = 1 } }, ': defaults.match.portz: unknown field, did you mean "ports"?' },
      { { match = { ports = "x" } }, ": defaults.match.ports: expected 443" },
      { { action = { handler = fn } }, ": defaults.action.handler: functions can't stand in defaults: put them into" },
      { { match = { path = "/a" } }, ": defaults.match.path: not supported in this version" },
      { { match = { domains = "a b" } }, ": defaults.match.domains: expected a domain such as" },
    }) do
      local result = defaults_of(case[1])
      assert.is_nil(result.config)
      assert.are.equal(case[2], said(result.faults):sub(1, #case[2]))
    end
    assert.is_nil(defaults_of({}).config.defaults)
    assert.are.equal("", said(defaults_of({ action = { target = "host" } }).faults))
  end)

  it("are named where they make a route wrong", function()
    local base = { match = { ports = 1 }, action = { half_open = true } }
    local result = load({ action = { targets = { "b" } } }, nil, nil, base)
    assert.is_nil(said(result.faults):find("defaults", 1, true))
    result = load({ action = {} }, nil, nil, { match = { ports = 1 }, action = { target = "host" } })
    assert.truthy(said(result.faults):find("action.target: expected .* %(it stands in the `defaults` of the config%)"))
  end)

  it("are the same text for the same values", function()
    local function text(value)
      return defaults_of(value).config.defaults
    end
    assert.are.equal(
      text({ tags = { "a" }, match = { ports = 1, address = "::1" } }),
      text({ match = { address = "::1", ports = 1 }, tags = { "a" } })
    )
    assert.are_not.equal(text({ priority = 1 }), text({ priority = 2 }))
  end)
end)

describe("routes", function()
  local function route(name, ports, more)
    local made = { name = name, match = { ports = ports }, action = { target = "a:1" } }
    for key, value in pairs(more or {}) do
      made[key] = value
    end
    return made
  end

  local function warnings(...)
    local result = load({ ... })
    assert.are.equal("", said(result.faults))
    return said(result.warnings)
  end

  it("that match the same with the same priority are told, with who is in the way", function()
    local text = warnings(route("a", 80), route("b", 80))
    local expected = 'b: match.ports: is never reached: port 80 is taken by the route "a" in routes/a.lua, which stands'
    assert.are.equal(expected, text:sub(1, #expected))
    text = warnings(route("a", "100-2000"), route("b", { 5, 1500 }))
    assert.truthy(text:find("^b: match%.ports: is not reached on all of its ports: port 1500 is taken"), text)
    text = warnings(route("a", 300), route("b", "1-65535"))
    assert.truthy(text:find("port 300 is taken"), text)
    assert.truthy(warnings(route("a", "1-65535"), route("b", "256-511")):find("port 256 is taken"))
  end)

  it("that differ in port, address or priority, or ask `when`, are not", function()
    assert.are.equal("", warnings(route("a", 80), route("b", 81), route("c", "82-600"), route("d", "601-65535")))
    assert.are.equal("", warnings(route("a", 80), route("b", 80, { priority = 1 })))
    assert.are.equal("", warnings(route("a", 80), route("b", 80, { match = { ports = 80, address = "::1" } })))
    assert.are.equal("", warnings(route("a", 80, { match = { ports = 80, when = fn } }), route("b", 80)))
    assert.are.equal("", warnings(route("a", 0), route("b", 0)))
    assert.are.equal("", warnings(route("a", 80, { enabled = false }), route("b", 80)))
  end)

  it("are told when what stands behind one that takes all asks `when`", function()
    assert.truthy(warnings(route("a", 80), route("b", 80, { match = { ports = 80, when = fn } })):find("never reached"))
  end)

  local function tls(name, domains, more)
    local made = route(name, 443)
    made.match.domains, made.action.tls = domains, { mode = "passthrough" }
    for key, value in pairs(more or {}) do
      made.match[key] = value
    end
    return made
  end

  it("that name the same domain are told, each with its own line of the other", function()
    local text = warnings(tls("a", { "x.example", "*.example" }), tls("b", "X.example."))
    local expected = 'b: match.domains: is never reached: "x.example" on port 443 is taken by the route "a" in routes/'
    assert.are.equal(expected, text:sub(1, #expected))
    text = warnings(tls("a", "*.example"), tls("b", { "y.example", "*.example" }), tls("c", "z.example"))
    expected = 'b: match.domains: is not reached on all of its domains: "*.example" on port 443 is taken'
    assert.are.equal(expected, text:sub(1, #expected))
    assert.is_nil(text:find("\n", 1, true))
    local some = tls("a", "x", { ports = "440-450" })
    text = warnings(some, tls("b", "x", { ports = 440 }), tls("c", "x", { ports = 450 }))
    assert.truthy(text:find('b: .*port 440.*"a".*c: .*port 450.*"a"'), text)
  end)

  it("that take the same clients are told, in whatever order they name them", function()
    local text = warnings(
      tls("a", "x", { client_ip = { "10.0.0.0/8", "::1" } }),
      tls("b", "x", { client_ip = { "::1", "10.0.0.0/8" } }),
      tls("c", "x", { client_ip = "::1" }),
      tls("d", "x")
    )
    assert.truthy(text:find('^b: match%.domains: is never reached: "x" on port 443 is taken by the route "a"'), text)
    assert.is_nil(text:find("\n", 1, true))
  end)

  it("that overlap as a wildcard and an exact name do, or differ in anything else, are not", function()
    assert.are.equal("", warnings(tls("a", "*.example"), tls("b", "x.example"), tls("c", "*"), tls("d")))
    assert.are.equal("", warnings(route("a", 443), tls("b"), tls("c", "x")))
    assert.are.equal("", warnings(tls("a", "x", { tls_version = "1.2" }), tls("b", "x"), tls("c", "x", { ports = 1 })))
    assert.are.equal("", warnings(tls("a", "x", { when = fn }), tls("b", "x")))
    assert.truthy(warnings(tls("a"), tls("b", nil, { when = fn })):find("^b: match%.ports: is never reached: port 443"))
  end)

  it("of several files are in each other's way, and share their names", function()
    local index = {}
    local first = load({ route("a", 80) }, index)
    assert.truthy(said(load({ route("b", 80) }, index, "b.lua").warnings):find("in routes/a.lua", 1, true))
    local twice = load({ route("a", 81) }, index, "c.lua")
    assert.truthy(said(twice.faults):find("name of a route in routes/a.lua", 1, true))
    index = {}
    local second = load({ route("b", 80) }, {}, "b.lua")
    assert.are.same({ faults = {}, warnings = {} }, routes.admit(first.known, index))
    assert.truthy(said(routes.admit(second.known, index).warnings):find("in routes/a.lua", 1, true))
    assert.truthy(said(routes.admit(second.known, index).faults):find("name of a route in routes/b.lua", 1, true))
  end)

  it("of a file with a fault take no name from others", function()
    local index = {}
    load({ route("a", 80), route("b", "x") }, index)
    assert.are.equal("", said(load({ route("a", 80) }, index, "b.lua").faults))
  end)

  it("are checked by their thousands in little time", function()
    local index, began = {}, os.clock()
    for file = 1, 100 do
      local list = {}
      for i = 1, 100 do
        list[i] = route(("%d-%d"):format(file, i), file * 100 + i)
      end
      assert.are.equal("", said(load(list, index, file .. ".lua").warnings))
    end
    assert.is_true(os.clock() - began < 10)
  end)
end)
