-- SPDX-License-Identifier: MIT
--
-- Wrong files as a new user would write them, and what `moongate check` answers: the line, what is wrong, and what to
-- do.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"

-- Each route has a name, a table and a function of its own.
local many = { "return {\n" }
for i = 1, 23000 do
  many[i + 1] = ('{ name = "r%d", match = { ports = 80 }, action = { handler = function() end } },\n'):format(i)
end
local MANY = table.concat(many) .. "}"

-- { what it is, the file, what is said of it: lines behind "routes/site.lua:", of which each is a part }
local CASES = {
  {
    "a misspelt field",
    'return {\n  name = "web",\n  match = { portz = 80 },\n  action = { target = "a:1" },\n}',
    '3: route "web": match.portz: unknown field, did you mean "ports"?',
  },
  {
    "a misspelt table, of which nothing is missed",
    'return {\n  name = "web",\n  mtach = { ports = 80 },\n  action = { target = "a:1" },\n}',
    '3: route "web": mtach: unknown field, did you mean "match"?',
  },
  {
    "faults within what is misspelt, and beside it",
    'return {\n  nmae = "web",\n  mtach = {\n    prots = 99999,\n    client_ip = { "::1", "10.0.0.0/33" },\n  },\n'
      .. '  action = { targets = { { hots = "a b" } } },\n  priority = "x",\n  timeouts = { idel = "soon" },\n}',
    '2: route "site.lua#1": nmae: unknown field, did you mean "name"?',
    '3: route "site.lua#1": mtach: unknown field, did you mean "match"?',
    '4: route "site.lua#1": mtach.prots: unknown field, did you mean "ports"?',
    '4: route "site.lua#1": mtach.prots: expected a port from 1 to 65535',
    '5: route "site.lua#1": mtach.client_ip[2]: expected an address, a network or a glob, got "10.0.0.0/33" (the '
      .. "prefix of an IPv4 address is 0 to 32)",
    '7: route "site.lua#1": action.targets[1].hots: unknown field, did you mean "host"?',
    '7: route "site.lua#1": action.targets[1].hots: expected a host name or an address, got "a b"',
    '7: route "site.lua#1": action.targets[1]: is missing a port: add port = 80',
    '8: route "site.lua#1": priority: expected a whole number, got "x"',
    '9: route "site.lua#1": timeouts.idel: unknown field, did you mean "idle"?',
    '9: route "site.lua#1": timeouts.idel: expected a duration',
  },
  {
    "a domain without TLS that is none either",
    'return {\n  match = { ports = 443, domains = "a b" },\n  action = { target = "a:1" },\n}',
    '2: route "site.lua#1": match.domains: expected a domain such as "example.com" or "*.example.com", got "a b"',
    '2: route "site.lua#1": match.domains: without `tls` it would be the Host of HTTP',
  },
  {
    "the maker of a handler for a handler",
    "local handlers = moongate.handlers\nreturn {\n"
      .. "  { match = { ports = 80 }, action = { handler = handlers.echo } },\n"
      .. "  { match = { ports = 81 }, action = { handler = handlers.http_response } },\n"
      .. "  { match = { ports = 82 }, action = { handler = handlers.echo() } },\n}",
    '3: route "site.lua#1": action.handler: is moongate.handlers.echo itself, which makes a handler: call it, '
      .. "handler = moongate.handlers.echo()",
    '4: route "site.lua#2": action.handler: is moongate.handlers.http_response itself, which makes a handler: call it, '
      .. "handler = moongate.handlers.http_response(…)",
  },
  {
    "more than one table can hold",
    MANY,
    "23002: main function has more than 65536 constants (so many values can't be written out in one file: make the "
      .. "routes in a loop, or put them into several files)",
  },
  {
    "port for ports",
    'return {\n  name = "web",\n  match = {\n    port = 80,\n  },\n  action = { target = "a:1" },\n}',
    '4: route "web": match.port: unknown field, did you mean "ports"?',
  },
  {
    "fields at the wrong level",
    'return {\n  name = "web",\n  ports = 80,\n  target = "a:1",\n}',
    '3: route "web": ports: unknown field here, it belongs into match: match = { ports = … }',
    '4: route "web": target: unknown field here, it belongs into action: action = { target = … }',
  },
  {
    "the words of another proxy",
    'return {\n  listen = 80,\n  upstream = "a:1",\n  timeout = 5,\n}',
    '2: route "site.lua#1": listen: unknown field, say where it listens with match = { ports = 443 }',
    '3: route "site.lua#1": upstream: unknown field, say where it forwards to with action = { target = "host:port" }',
    '4: route "site.lua#1": timeout: unknown field, say which: timeouts = { connect = "5s", idle = "10m" }',
  },
  {
    "ports that are none",
    'return {\n  name = "web",\n  match = {\n    ports = "abc",\n  },\n  action = { target = "a:1" },\n}',
    '4: route "web": match.ports: expected 443, { 80, 443 }, "8000-8010" or { from = 8000, to = 8010 }, got "abc"',
  },
  {
    "a target without a port",
    'return {\n  name = "web",\n  match = { ports = 80 },\n  action = { target = "127.0.0.1" },\n}',
    '4: route "web": action.target: expected "host:port", got "127.0.0.1" (add ":80")',
  },
  {
    "a URL for a target",
    'return {\n  match = { ports = 80 },\n  action = { target = "http://a:1" },\n}',
    '3: route "site.lua#1": action.target: expected "host:port", got "http://a:1" (leave out "http://")',
  },
  {
    "a missing comma",
    'return {\n  match = { ports = 80 }\n  action = { target = "a:1" },\n}',
    "3: '}' expected (to close '{' at line 1) near 'action' (is a comma missing before it?)",
  },
  {
    "a bare table",
    '{\n  name = "web",\n}',
    "1: unexpected symbol near '{' (is `return` missing? A file ends with: return { … })",
  },
  {
    "the quotes of JSON",
    'return { "name" = "web" }',
    "1: '}' expected near '=' (a key stands without quotes: name = value)",
  },
  {
    "the colons of JSON",
    'return { name: "web" }',
    "1: '<name>' expected near '\"web\"' (a field is written with `=`: name = value)",
  },
  {
    "numbers and pairs where words stand",
    'return {\n  { match = { ports = "80,443" }, action = { target = 8080 } },\n'
      .. '  { match = { ports = 81 }, action = { target = { "a", 80 } } },\n'
      .. '  { match = { ports = 82 }, action = { target = { host = "a:80", port = "80" } } },\n}',
    '2: route "site.lua#1": action.target: expected "host:port", "unix:/path", { host = …, port = … } or a function, '
      .. 'got 8080 (a port alone names no host: "127.0.0.1:8080")',
    '2: route "site.lua#1": match.ports: expected 443, { 80, 443 }, "8000-8010" or { from = 8000, to = 8010 }, '
      .. 'got "80,443" (a list stands in braces: { 80,443 })',
    '3: route "site.lua#2": action.target: expected one target, got a list: write "a:80"',
    '4: route "site.lua#3": action.target.host: expected a host name or an address, got "a:80" (write host = "a", port',
    '4: route "site.lua#3": action.target.port: expected a port from 1 to 65535, "preserve" or a function, got "80" '
      .. "(without quotes: port = 80)",
  },
  {
    "a missing return",
    'local site = { match = { ports = 80 }, action = { target = "a:1" } }',
    " expected the file to return a route or a list of routes, got nothing (it ends with: return { … })",
  },
  {
    "a function that is returned",
    "local x\nreturn function() return {} end",
    "2: expected the file to return a route or a list of routes, got a function (call it: return f(), or",
  },
  {
    "a list within the list",
    'return {\n  {\n    { match = { ports = 80 }, action = { target = "a:1" } },\n  },\n}',
    '2: route "site.lua#1": is a list of routes within the list: take one pair of braces away',
  },
  {
    "routes that are in no list",
    'return { match = { ports = 80 }, action = { target = "a:1" } },\n'
      .. '  { match = { ports = 81 }, action = { target = "a:1" } }',
    " returns several values, and only the first would count: return one table (routes as a list: return { {",
  },
  {
    "a ready handler by its name",
    'return {\n  name = "web",\n  match = { ports = 80 },\n  action = {\n    handler = "echo",\n  },\n}',
    '5: route "web": action.handler: expected a function, got "echo" (write handler = moongate.handlers.echo())',
  },
  {
    "targets that are none",
    'return {\n  name = "web",\n  match = { ports = 80 },\n  action = { targets = {} },\n}',
    '4: route "web": action.targets: names no target: list one at least, such as targets = { "10.0.0.1:80" }',
  },
  {
    "a weight of nothing, and a balance that is none",
    'return {\n  name = "web",\n  match = { ports = 80 },\n  action = {\n    balance = "roundrobin",\n'
      .. '    targets = {\n      { host = "a", port = 1, weight = 0 },\n    },\n  },\n}',
    '5: route "web": action.balance: expected "round-robin", "least-connections" or "source-hash", '
      .. 'got "roundrobin" (did you mean "round-robin"?)',
    '7: route "web": action.targets[1].weight: 0 is too small: at least 1',
  },
  {
    "a duration in words",
    'return {\n  match = { ports = 80 },\n  action = { target = "a:1" },\n  timeouts = {\n'
      .. '    idle = "5 minutes",\n  },\n}',
    '5: route "site.lua#1": timeouts.idle: expected a duration (a number of seconds, or "500ms", "90s", "5m", "4h", '
      .. '"30d"), got "5 minutes" (did you mean "5m"?)',
  },
  {
    "domains on plain TCP",
    'return {\n  match = {\n    ports = 80,\n    domains = "a.example",\n  },\n  action = { target = "a:1" },\n}',
    '4: route "site.lua#1": match.domains: without `tls` it would be the Host of HTTP, which this version does not '
      .. 'read yet: to take the connections of TLS that ask for it, add action = { tls = { mode = "passthrough" } }',
  },
  {
    "domains for a handler",
    "return {\n  match = { ports = 80, domains = 'a.example' },\n"
      .. "  action = { handler = moongate.handlers.echo() },\n}",
    '2: route "site.lua#1": match.domains: nothing on a plain connection names a domain, and with a handler it is no '
      .. "HTTP either: to take",
  },
  {
    "a site as another proxy names it",
    'return {\n  match = {\n    ports = 443,\n    host = "a.example",\n  },\n'
      .. '  action = {\n    target = "a:1",\n    ssl = true,\n  },\n}',
    '4: route "site.lua#1": match.host: unknown field, names of sites are match = { domains = "example.com" }',
    '8: route "site.lua#1": action.ssl: unknown field, TLS is forwarded as it is by action = { tls = { mode = '
      .. '"passthrough" } }',
  },
  {
    "domains that are none",
    'return {\n  match = {\n    ports = 443,\n    domains = {\n      "a.example",\n      "https://B.example/x",\n'
      .. '      "münchen.example",\n    },\n  },\n  action = { target = "a:1", tls = { mode = "passthrough" } },\n}',
    '6: route "site.lua#1": match.domains[2]: expected a domain such as "example.com" or "*.example.com", got '
      .. '"https://B.example/x" (it is a URL: write "b.example")',
    '7: route "site.lua#1": match.domains[3]: expected a domain such as "example.com" or "*.example.com", got '
      .. '"münchen.example" (names are compared in their ASCII form: write "xn--mnchen-3ya.example")',
  },
  {
    "TLS that this version does not end",
    'return {\n  match = { ports = 443 },\n  action = {\n    target = "a:1",\n    tls = {\n      mode = "terminate",\n'
      .. '      certificate = "auto",\n    },\n  },\n}',
    '6: route "site.lua#1": action.tls.mode: "terminate" is not supported in this version: use "passthrough"',
    '7: route "site.lua#1": action.tls.certificate: not supported in this version: passthrough reads nothing but the',
  },
  {
    "TLS as a word",
    'return {\n  match = { ports = 443 },\n  action = { target = "a:1", tls = "passthrough" },\n}',
    '3: route "site.lua#1": action.tls: expected a table, got "passthrough" (write tls = { mode = "passthrough" })',
  },
  {
    "a target and a handler",
    'return {\n  match = { ports = 80 },\n  action = { target = "a:1", handler = moongate.handlers.echo() },\n}',
    '3: route "site.lua#1": action: has handler and target, which can\'t work together: leave one of them',
  },
  {
    "nothing to do, and nowhere",
    'return {\n  {\n    name = "web",\n    action = {},\n  },\n}',
    '2: route "web": match.ports: is missing: say on which ports it listens, such as ports = 443 or { 80, '
      .. '"8000-8010" }',
    '4: route "web": action: says nothing to do: set `target` ("host:port"), `targets` or `handler` '
      .. "(a misspelt name is nil)",
  },
  {
    "waiting while it is loaded",
    "local x = 1\nmoongate.sleep(1)\nreturn {}",
    "2: can't wait here: a file is being loaded; wait in a handler or another function of a route",
  },
  {
    "a function that doesn't exist",
    'return {\n  match = { ports = 80 },\n  action = { handler = moongate.handler.echo() },\n}',
    "3: attempt to index field 'handler' (a nil value)",
  },
  {
    "a module that doesn't exist",
    'local x = 1\nlocal sites = require "sites"\nreturn {}',
    "2: module 'sites' not found: it is neither in the library nor beside routes/",
  },
  {
    "LuaSec, which is made of C",
    'local https = require "ssl.https"\nreturn {}',
    "1: module 'ssl.https' is not available to route files: LuaSec is made of C; moongate.connect",
  },
  {
    "a name that stands twice",
    'local action = { target = "a:1" }\nreturn {\n  { name = "web", match = { ports = 80 }, action = action },\n'
      .. '  {\n    name = "web",\n    match = { ports = 81 },\n    action = action,\n  },\n}',
    '5: route "web": name: is also the name of a route in @routes/site.lua:3: rename one of them',
  },
  {
    "what a helper was given",
    'local function site(name, ports)\n  return {\n    name = name,\n    match = { ports = ports },\n'
      .. '    action = { target = "a:1" },\n  }\nend\nreturn {\n  site("a", 80),\n  site("b", "x"),\n}',
    '10: route "b": match.ports: expected 443',
  },
  {
    "a table within itself",
    "local r = { match = {} }\nr.match.more = r\nreturn r",
    "3: match.more: refers to itself: a table can't stand within itself",
  },
}

describe("a wrong file", function()
  after_each(moongate.finish)

  -- All lines that are said of files, without the directory; the exit status.
  local function check(options)
    local space = moongate.workspace(options)
    local answer = moongate.command { "check", moongate.files_of(space) }
    local lines = {}
    for line in (answer.err .. answer.out):gmatch "[^\n]+" do
      lines[#lines + 1] = (line:gsub(space.directory:gsub("%p", "%%%0") .. "/", ""))
    end
    return lines, answer.status
  end

  for _, case in ipairs(CASES) do
    it("with " .. case[1] .. " is answered", function()
      local lines, status = check { routes = { ["site.lua"] = case[2] } }
      local said = table.concat(lines, "\n")
      assert.are.equal(1, status, said)
      assert.are.equal(#case - 2 + 1, #lines, said)
      for i = 3, #case do
        local expected = "routes/site.lua:" .. case[i]:gsub("@", "")
        assert.are.equal(expected, lines[i - 2]:sub(1, #expected))
      end
    end)
  end

  it("is told with all others, by file and line", function()
    local lines, status = check {
      routes = {
        ["b.lua"] = "return {\n  actoin = {},\n  match = { ports = true },\n}",
        ["a.lua"] = "return {",
        ["c.lua"] = 'return { name = "same", match = { ports = 80 }, action = { target = "a:1" } }',
        ["d.lua"] = 'return {\n  name = "same",\n  match = { ports = 81 }, action = { target = "a:1" },\n}',
      },
    }
    assert.are.equal(1, status)
    local places = {}
    for i = 1, #lines - 1 do
      places[i] = lines[i]:match "^routes/%a%.lua:%d+"
    end
    assert.are.same({ "routes/a.lua:1", "routes/b.lua:2", "routes/b.lua:3", "routes/d.lua:2" }, places)
    assert.truthy(lines[4]:find("is also the name of a route in routes/c.lua:1: rename one of them", 1, true), lines[4])
  end)

  it("is told with the names that others have, and with the port of the admin interface", function()
    local lines, status = check {
      config_text = 'return { admin = { listen = "127.0.0.1:9090" } }',
      routes = {
        ["a.lua"] = 'return { name = "same", match = { ports = 80 }, action = { target = "a:1" } }',
        ["b.lua"] = 'return {\n  match = { ports = 81, when = 5 },\n  name = "same", action = { target = "a:1" },\n}',
        ["c.lua"] = 'return { name = "other", match = { ports = true }, action = { target = "a:1" } }',
        ["d.lua"] = 'return { {\n  name = "other", match = { ports = 82 }, action = { target = "a" } },\n'
          .. '  { name = "own", match = { ports = 83 }, action = { target = "a:1" } } }',
        ["e.lua"] = 'return { name = "admin", match = { ports = 9090 }, action = { target = "a:1" } }',
      },
    }
    assert.are.equal(1, status)
    local told = {
      'b.lua:2: route "same": match.when: expected a function',
      'b.lua:3: route "same": name: is also the name of a route in routes/a.lua:1: rename one of them',
      'c.lua:1: route "other": match.ports: expected 443',
      'd.lua:2: route "other": action.target: expected "host:port"',
      'd.lua:2: route "other": name: is also the name of a route in routes/c.lua:1: rename one of them',
      'e.lua:1: route "admin": match.ports: port 9090 is that of admin.listen',
    }
    assert.are.equal(#told + 1, #lines, table.concat(lines, "\n"))
    for i, expected in ipairs(told) do
      assert.are.equal("routes/" .. expected, lines[i]:sub(1, #expected + 7))
    end
  end)

  it("that can never take a connection is a warning with both places", function()
    local lines, status = check {
      routes = {
        ["a.lua"] = 'return {\n  name = "first",\n  match = { ports = { 80, "8000-8100" } },\n'
          .. '  action = { target = "a:1" },\n}',
        ["b.lua"] = 'return {\n  {\n    name = "second",\n    match = { ports = 8050 },\n'
          .. '    action = { target = "a:1" },\n  },\n'
          .. '  { name = "third", priority = 1, match = { ports = 8050 }, action = { target = "a:1" } },\n}',
      },
    }
    assert.are.equal(0, status)
    assert.are.equal(2, #lines, table.concat(lines, "\n"))
    assert.are.equal(
      'warning: routes/b.lua:4: route "second": match.ports: is never reached: port 8050 is taken by the route "first" '
        .. "in routes/a.lua:3, which stands before it with the same priority and has no `when`: give one of them other "
        .. "ports, a higher priority, or a `when`",
      lines[1]
    )
  end)

  it("is answered in the config too", function()
    local lines, status = check {
      config_text = "return {\n  worker = 2,\n  timeouts = {\n    idel = 5,\n  },\n  ports = 80,\n  defaults = {\n"
        .. "    match = { ports = 99999 },\n    action = {\n      handler = function() end,\n    },\n  },\n}",
    }
    assert.are.equal(1, status)
    for i, expected in ipairs {
      'moongate.lua:2: worker: unknown field, did you mean "workers"?',
      'moongate.lua:4: timeouts.idel: unknown field, did you mean "idle"?',
      "moongate.lua:6: ports: unknown field, that is a route's: it belongs into a file in routes/",
      "moongate.lua:8: defaults.match.ports: expected a port from 1 to 65535",
      "moongate.lua:10: defaults.action.handler: functions can't stand in defaults: put them into a module",
    } do
      assert.are.equal(expected, lines[i]:sub(1, #expected))
    end
  end)

  it("is answered as JSON, with its line", function()
    local space = moongate.workspace {
      routes = {
        ["site.lua"] = 'return {\n  name = "web",\n  match = { portz = 80 },\n  action = { target = "a:1" },\n}',
      },
    }
    local answer = moongate.command { "check", "--json", moongate.files_of(space) }
    assert.are.equal(1, answer.status)
    local decoded = cjson.decode(answer.out)
    assert.are.same({
      file = space.directory .. "/routes/site.lua",
      line = 3,
      route = "web",
      field = "match.portz",
      message = 'unknown field, did you mean "ports"?',
    }, decoded.faults[1])
    assert.are.equal(1, #decoded.faults)
    assert.are.same({}, decoded.warnings)
  end)
end)
