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
  { name = "urgent", priority = 1, match = { ports = 7000 }, action = { target = "10.0.0.6:80" } },
  { name = "lazy", match = { ports = 7000, client_ip = "10.0.0.0/8" }, action = { target = "10.0.0.6:80" } },
  { name = "house", match = { ports = 7001, client_ip = { "10.0.0.0/8", "192.168.2.7" } },
    action = { target = "10.0.0.7:80" } },
  { name = "floor", match = { ports = 7001, client_ip = { "192.168.1.9", "10.1.0.0/16" } },
    action = { target = "10.0.0.8:80" } },
  { name = "one", match = { ports = 7002, client_ip = { "10.0.0.0/8", "192.168.2.7" } },
    action = { target = "10.0.0.7:80" } },
  { name = "other", match = { ports = 7002, client_ip = { "192.168.1.9", "172.16.0.0/12" } },
    action = { target = "10.0.0.8:80" } },
  { name = "any", match = { ports = 8081 }, action = { target = "10.0.0.6:80" } },
  route("named", { ports = 8081, domains = "named.example.com" }, "10.0.0.6:443"),
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
      'client_ip 192.0.2.0/24; wins over "old clients" by its priority',
      '- old clients (shop.lua:16) may match too', '"maintenance" is checked first: its priority is 10, above 0',
      '- shop (shop.lua:12) would match too by shop.example.com, but is not reached')
  end)

  it("why a route of high priority may be passed by: the client is not said", function()
    solves({ "https://shop.example.com", "--tls-version", "1.3" },
      'Which route a TLS connection to port 443 for "shop.example.com" that offers TLS 1.3 at most gets depends on '
      .. "the client's address, which was not said (--client IP): "
      .. '- from "192.0.2.0/24": route "maintenance" (shop.lua:10), forwarded to 10.0.0.9:443, TLS passed through '
      .. '- from anywhere else: route "shop" (shop.lua:12), forwarded to 10.0.0.1:443, TLS passed through '
      .. "The routes of port 443: first those that match or may match, in the order in which they are checked, then "
      .. "the others: ? maintenance (shop.lua:10, priority 10) "
      .. 'client_ip: takes only clients in "192.0.2.0/24" (not said) '
      .. 'else shop (shop.lua:12) matches by shop.example.com; wins over "everything" by its domain; '
      .. '"maintenance" is checked first')
  end)

  it("what two things come to that are not said", function()
    solves({ "https://shop.example.com" },
      "depends on the client's address and the highest TLS version that the client offers, which were not said "
      .. "(--client IP, --tls-version V). The first of these that fits: "
      .. '- from "192.0.2.0/24": route "maintenance" (shop.lua:10), forwarded to 10.0.0.9:443, TLS passed through '
      .. '- if its highest is TLS 1.2: route "old clients" (shop.lua:16), forwarded to 10.0.0.4:443, '
      .. 'TLS passed through '
      .. '- otherwise: route "shop" (shop.lua:12)')
  end)

  it("which of several sets of clients decides", function()
    solves({ "7001" }, "(--client IP). The first of these that fits: "
      .. '- from "192.168.2.7": route "house" (shop.lua:20), forwarded to 10.0.0.7:80 '
      .. '- from "192.168.1.9" or "10.1.0.0/16": route "floor" (shop.lua:22), forwarded to 10.0.0.8:80 '
      .. '- from "10.0.0.0/8": route "house" (shop.lua:20), forwarded to 10.0.0.7:80 '
      .. "- from anywhere else: no route; it is reset (counted as no_route)")
    solves({ "7002" },
      '- from "10.0.0.0/8" or "192.168.2.7": route "one" (shop.lua:24), forwarded to 10.0.0.7:80 '
      .. '- from "192.168.1.9" or "172.16.0.0/12": route "other" (shop.lua:26), forwarded to 10.0.0.8:80 '
      .. "- from anywhere else: no route")
  end)

  it("which of a name and a wildcard is asked first", function()
    solves({ "https://shop.example.com", "--client", "203.0.113.5", "--tls-version", "1.3" },
      'gets route "shop" (shop.lua:12): it is forwarded to 10.0.0.1:443, TLS passed through.',
      '"shop" is checked first: it has the more specific domain')
    solves({ "https://www.example.com", "--client", "203.0.113.5" }, 'gets route "everything"')
  end)

  it("why a wildcard does not take the name that it ends with", function()
    solves({ "https://example.com" }, "gets no route: it gets the TLS alert unrecognized_name and is closed "
      .. "(counted as unknown_server_name).",
      '"example.com" does not match "*.example.com": that takes the names below example.com, not example.com itself')
  end)

  it("whether upper case, a dot or a port at the end of a name matter", function()
    solves({ "SHOP.Example.com.:443", "--client", "203.0.113.5", "--tls-version", "1.3" },
      'for "shop.example.com" from 203.0.113.5 that offers TLS 1.3 at most gets route "shop"',
      'Compared as "shop.example.com": case and a final dot make no difference.')
  end)

  it("what a route with a when gets", function()
    solves({ "https://beta.example.com", "--client", "203.0.113.5" },
      'gets is decided by `when`, a function that explain does not run: '
      .. '- if the `when` of route "beta" (shop.lua:14) says yes: forwarded to 10.0.0.3:443, TLS passed through '
      .. '- else: route "everything" (shop.lua:13), forwarded to 10.0.0.2:443',
      "when beta (shop.lua:14, priority 5) its `when` decides (shop.lua:14), which is not run here; the rest fits",
      "else everything (shop.lua:13)")
  end)

  it("what a route gets that comes behind a `when` and a client who is not said", function()
    solves({ "https://beta.example.com" }, "The first of these that fits: "
      .. '- from "192.0.2.0/24": route "maintenance" (shop.lua:10), forwarded to 10.0.0.9:443, TLS passed through '
      .. '- whatever it is: route "beta" (shop.lua:14) if its `when` says yes, forwarded to 10.0.0.3:443, TLS passed '
      .. "through - otherwise: route \"everything\"")
  end)

  it("why one TLS version goes elsewhere", function()
    solves({ "https://shop.example.com", "--client", "203.0.113.5", "--tls-version", "1.2" },
      'gets route "old clients"', "matches by shop.example.com, tls_version 1.2",
      '"old clients" is checked first: it is for certain TLS versions')
    solves({ "https://shop.example.com", "--client", "203.0.113.5" },
      "depends on the highest TLS version that the client offers, which was not said (--tls-version V): "
      .. '- if its highest is TLS 1.2: route "old clients" (shop.lua:16), forwarded to 10.0.0.4:443, '
      .. 'TLS passed through '
      .. '- if its highest is TLS 1.0, 1.1 or 1.3: route "shop" (shop.lua:12)')
  end)

  it("why a client gets nothing", function()
    solves({ "8443", "--domain", "shop.example.com", "--client", "203.0.113.5" },
      "gets no route: it gets the TLS alert unrecognized_name and is closed (counted as unknown_server_name).",
      "The routes of port 8443, none of which matches:",
      'client_ip: 203.0.113.5 is not in "10.0.0.0/8"')
    solves({ "8443", "--domain", "shop.example.com" },
      'Which route a TLS connection to port 8443 for "shop.example.com" gets, if any, depends on',
      '- from "10.0.0.0/8": route "office"', "- from anywhere else: no route; it gets the TLS alert")
  end)

  it("what a connection without a name, or without TLS, meets on a port of TLS", function()
    solves({ "443" }, '"beta.example.com", "shop.example.com" and 2 more '
      .. "(ask https://www.example.com:443). A TLS connection to port 443 that names no domain "
      .. "would get no route: "
      .. "it gets the TLS alert unrecognized_name and is closed (counted as no_server_name).",
      'the connection names no domain, and the route wants "shop.example.com"')
    solves({ "https://192.0.2.1/" },
      "that names no domain (192.0.2.1 is an address: it counts as no name) gets no route")
    solves({ "http://shop.example.com:443" }, 'A plain connection to port 443 for "shop.example.com" gets no route: '
      .. "the request is answered with HTTP status 400 (counted as plain_http).",
      "it takes TLS, and this connection is plain")
  end)

  it("whether a connection is TLS or plain, where a port takes both", function()
    solves({ "8081" }, "A plain connection to port 8081 would get route \"any\"",
      "Not said: whether it speaks TLS; taken as plain (ask https://NAME:8081 for TLS).")
    solves({ "named.example.com:8081" },
      'A TLS connection to port 8081 for "named.example.com" would get route "named"',
      "taken as TLS, as it names a domain (ask http://named.example.com:8081 for plain).")
    local text = ask "http://named.example.com:8081"
    assert.is_nil(text:find("Not said", 1, true), text)
  end)

  it("which ports there are, of those who ask for another", function()
    local text, status = ask "4444"
    assert.are.equal(1, status)
    assert.are.equal("moongate: no route of these files listens on port 4444 "
      .. "(the ports are 443, 7000-7002, 8080, 8081, 8443, 9000) ", text)
  end)

  it("the outcome for sure where a route that is left open comes after the one that takes it", function()
    solves({ "7000" }, 'A connection to port 7000 gets route "urgent" (shop.lua:',
      '- lazy (shop.lua:',
      'may match too (takes only clients in "10.0.0.0/8" (not said)), but is not reached; "urgent" is checked first')
  end)

  it("which of two addresses with the same port", function()
    solves({ "9000" }, "port 9000 of 127.0.0.1", 'would get route "inside"',
      "Not said: the address that it comes in on; "
      .. "taken as 127.0.0.1; 127.0.0.2 has routes of its own (ask 127.0.0.2:9000).")
    solves({ "127.0.0.2:9000" }, 'gets route "outside"',
      "takes only what comes in at 127.0.0.1")
    local text, status = ask "127.0.0.3:9000"
    assert.are.equal(1, status)
    assert.truthy(text:find("no route of these files listens on port 9000 of 127.0.0.3, only on 127.0.0.1, 127.0.0.2",
      1, true), text)
    solves({ "203.0.113.1:8080" }, 'gets route "plain"')
  end)
end)
