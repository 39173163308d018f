-- SPDX-License-Identifier: MIT
--
-- testing.match: which route, and why. Run by moongate test.

local testing = require "moongate.testing"

local function route(name, match, priority)
  local action = { target = "127.0.0.1:1", tls = { mode = "passthrough" } }
  return { name = name, match = match, priority = priority, action = action }
end

describe("testing.match", function()
  local routes = {
    route("any", { ports = 443 }),
    route("wild", { ports = 443, domains = "*.example.com" }),
    route("exact", { ports = 443, domains = "a.example.com" }),
    route("inside", { ports = 443, domains = "a.example.com", client_ip = "10.0.0.0/8" }),
    route("other", { ports = 8443 }),
  }

  local function chosen(question)
    return testing.match(routes, question).route
  end

  it("chooses as a worker does", function()
    assert.equal("exact", chosen({ port = 443, domain = "a.example.com" }))
    assert.equal("inside", chosen({ port = 443, domain = "A.Example.COM", client_ip = "10.1.2.3" }))
    assert.equal("wild", chosen({ port = 443, domain = "b.example.com" }))
    assert.equal("any", chosen({ port = 443, domain = "moon.example.org" }))
    assert.equal("other", chosen({ port = 8443, tls = true }))
    assert.is_nil(chosen({ port = 80 }))
  end)

  it("says why", function()
    local result = testing.match(routes, { port = 443, domain = "b.example.com" })
    local verdicts = {}
    for _, candidate in ipairs(result.candidates) do
      verdicts[candidate.route] = candidate.verdict
    end
    assert.same({ wild = "chosen", any = "outranked", exact = "domains", inside = "domains" }, verdicts)
    assert.matches("exact: domains (b.example.com does not match a.example.com)", tostring(result), 1, true)
  end)

  it("asks each `when` with what is asked about", function()
    local seen
    local picky = route("picky", {
      ports = 443,
      when = function(context)
        seen = context
        return context.client_ip == "192.0.2.7"
      end,
    }, 10)
    local both = { picky, route("rest", { ports = 443 }) }
    assert.equal("picky", testing.match(both, { port = 443, client_ip = "192.0.2.7" }).route)
    assert.equal("rest", testing.match(both, { port = 443 }).route)
    assert.equal(443, seen.port)
  end)

  it("takes files and directories", function()
    assert.equal("echo", testing.match("routes/echo.lua", { port = 9000 }).route)
    assert.equal("line", testing.match("routes", { port = 9001 }).route)
  end)

  it("says what is wrong with the routes, and the question", function()
    assert.has_error(function()
      testing.match({ { match = {} } }, { port = 1 })
    end)
    assert.has_error(function()
      testing.match(routes, { ports = 443 })
    end, "bad argument #2 to 'testing.match' (there is no field 'ports')")
    assert.has_error(function()
      testing.match(routes, { port = 443, client_ip = "moon" })
    end, "client_ip: is no address")
  end)
end)
