-- SPDX-License-Identifier: MIT
--
-- Ten puzzles that people bring to `moongate explain`: each is one question, and the words that have to be in the
-- answer for somebody who does not know the code.

local moongate = require "spec.support.moongate"

-- Nothing of this is opened: only the files are asked.
local ROUTES = [[
local pass = { mode = "passthrough" }
local function route(name, match, target, more)
  local route = { name = name, match = match, action = { target = target, tls = pass } }
  for key, value in pairs(more or {}) do
    route[key] = value
  end
  return route
end
return {
  route("maintenance", { ports = 443, domains = "*.example.com", client_ip = "192.0.2.0/24" }, "10.0.0.9:443",
    { priority = 10 }),
  route("shop", { ports = 443, domains = "shop.example.com" }, "10.0.0.1:443"),
  route("everything", { ports = 443, domains = "*.example.com" }, "10.0.0.2:443"),
  route("beta", { ports = 443, domains = "beta.example.com", when = function() return true end }, "10.0.0.3:443",
    { priority = 5 }),
  route("old clients", { ports = 443, domains = "shop.example.com", tls_version = "1.2" }, "10.0.0.4:443"),
  route("office", { ports = 8443, domains = "shop.example.com", client_ip = "10.0.0.0/8" }, "10.0.0.5:443"),
  { name = "plain", match = { ports = 8080 }, action = { target = "10.0.0.6:80" } },
  { name = "inside", match = { ports = 9000, address = "127.0.0.1" }, action = { target = "10.0.0.7:80" } },
  { name = "outside", match = { ports = 9000, address = "127.0.0.2" }, action = { target = "10.0.0.8:80" } },
}
]]

describe("explain solves the puzzle", function()
  local space

  setup(function()
    space = moongate.workspace { routes = { ["shop.lua"] = ROUTES } }
  end)

  teardown(moongate.finish)

  local function ask(...)
    local routes = space.directory .. "/routes"
    local answer = moongate.command { "explain", "--config", space.config_path, "--routes", routes, ... }
    return (answer.out .. answer.err):gsub("%s+", " "), answer.status
  end

  local function solves(question, ...)
    local text = ask(unpack(question))
    for _, words in ipairs { ... } do
      assert.truthy(text:find(words, 1, true), words .. "\nis not in\n" .. text)
    end
  end

  it("why an exact name does not get its route: a priority is before it", function()
    solves({ "https://shop.example.com", "--client", "192.0.2.7" }, 'gets route "maintenance"',
      'later shop (shop.lua:12)', 'after "maintenance": its priority is 0, not 10')
  end)

  it("why a route of high priority is passed by: the client is not said", function()
    solves({ "https://shop.example.com" }, 'gets route "shop"', "? maintenance (shop.lua:10, priority 10)",
      'which client was not said (--client IP); it has to be in "192.0.2.0/24"',
      "Not said: the client (--client IP) and the TLS version (--tls-version V).")
  end)

  it("which of a name and a wildcard is asked first", function()
    solves({ "https://shop.example.com" }, 'after "shop", whose domain is more specific')
    solves({ "https://www.example.com" }, 'gets route "everything"')
  end)

  it("why a wildcard does not take the name that it ends with", function()
    solves({ "https://example.com" }, "gets no route",
      '"example.com" is not "*.example.com": "*." takes the names below it, not itself')
  end)

  it("whether upper case, a dot or a port at the end of a name matter", function()
    solves({ "SHOP.Example.com.:443" }, 'for "shop.example.com" gets route "shop"')
  end)

  it("what a route with a when gets", function()
    solves({ "https://beta.example.com" }, 'gets route "beta", if its `when` says so; else it gets route "everything"',
      "which is not run here")
  end)

  it("why one TLS version goes elsewhere", function()
    solves({ "https://shop.example.com", "--tls-version", "1.2" }, 'gets route "old clients"',
      'after "old clients", whose tls_version is more specific')
  end)

  it("why a client gets nothing", function()
    solves({ "8443", "--domain", "shop.example.com", "--client", "203.0.113.5" },
      "gets no route: it is refused with the alert unrecognized_name, reason unknown_server_name",
      'client_ip: 203.0.113.5 is not in "10.0.0.0/8"')
  end)

  it("what a connection without a name, or without TLS, meets on a port of TLS", function()
    solves({ "443" }, "gets no route: it is refused with the alert unrecognized_name, reason no_server_name",
      'the connection names no domain, and the route wants "shop.example.com"')
    solves({ "http://shop.example.com:443" }, "without TLS gets no route: an HTTP request is answered with 400",
      "it takes TLS, and this connection is plain")
  end)

  it("which of two addresses with the same port", function()
    solves({ "9000" }, "port 9000 of 127.0.0.1", 'gets route "inside"', "at 127.0.0.2 too", "explain 127.0.0.2:9000")
    solves({ "127.0.0.2:9000" }, 'gets route "outside"', "it listens on 127.0.0.1, and this is another address")
    local text, status = ask "127.0.0.3:9000"
    assert.are.equal(1, status)
    assert.truthy(text:find("nothing listens on port 9000 of 127.0.0.3; it is listened on at 127.0.0.1, 127.0.0.2", 1,
      true), text)
    solves({ "203.0.113.1:8080" }, 'gets route "plain"')
  end)
end)
