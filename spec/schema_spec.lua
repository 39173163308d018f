-- SPDX-License-Identifier: MIT

local config = require("moongate.schema.config")
local mark = require("moongate.schema.mark")
local routes = require("moongate.schema.routes")
local schema = require("moongate.schema")

local ENVIRONMENT = {
  directory = "/etc/moongate",
  cpus = 6,
  root = false,
  variables = { XDG_RUNTIME_DIR = "/run/user/7", HOME = "/home/u" },
}

local function read(value)
  return config.check(value, ENVIRONMENT)
end

local TIMEOUTS = read({}).config.timeouts

local function load(value, names)
  return routes.check(value, { file = "a.lua", path = "routes/a.lua", timeouts = TIMEOUTS, names = names or {} })
end

-- "field: message" of each fault.
local function faults(result)
  local lines = {}
  for _, fault in ipairs(result.faults) do
    lines[#lines + 1] = fault.field .. ": " .. fault.message
  end
  return lines
end

-- A route with these parts of match and action.
local function route(match, action)
  return { match = match or { ports = 80 }, action = action or { target = "a:1" } }
end

local function action(value)
  local result = load(route(nil, value))
  assert.are.same({}, faults(result))
  return result.routes[1].action, result.functions
end

local function fault_of(value)
  local lines = faults(load(value))
  assert.are.equal(1, #lines, table.concat(lines, "\n"))
  return lines[1]
end

local fn = mark.new("function")

describe("the schema", function()
  local function each(fields, visit)
    for name, descriptor in pairs(fields) do
      visit(name, descriptor)
      if descriptor.fields then
        each(descriptor.fields, visit)
      end
    end
  end

  it("has a type that exists and one line of documentation for every field", function()
    local function visit(name, descriptor)
      assert.is_function(config.types[descriptor.type], name)
      assert.is_string(descriptor.doc, name)
      assert.is_nil(descriptor.doc:find("\n"), name)
    end
    each(schema.config.fields, visit)
    each(schema.route.fields, visit)
  end)
end)

describe("the config", function()
  it("has a default for everything", function()
    local normal = read({}).config
    assert.are.same(normal, read(nil).config)
    assert.are.equal(6, normal.workers)
    assert.are.equal("/etc/moongate/routes", normal.routes)
    assert.are.equal("/run/user/7/moongate.sock", normal.control)
    assert.are.equal("/home/u/.local/state/moongate", normal.state)
    assert.are.same({ plain = 30000, tls = 300000 }, normal.timeouts.half_dead)
    assert.are.equal(256 * 1024 * 1024, normal.limits.script_memory)
    assert.are.same({}, read({}).warnings)
  end)

  it("accepts the whole of what is documented, and warns of what has no effect yet", function()
    local result = read({
      routes = "routes",
      workers = "auto",
      admin = { listen = "127.0.0.1:9090" },
      script = { jit = {} },
      log = { level = "info", format = "logfmt", access = false },
      timeouts = { connect = "30s", idle = "4h", half_dead = { "30s", tls = "5m" }, stuck = { "60s", tls = "5m" } },
      keep_alive = { treatment = "standard", multiplier = 6 },
      tcp = { no_delay = true, keep_alive = true, probe_after = "10m", probe_interval = "60s", probes = 9 },
      limits = {
        connections = false,
        connections_per_ip = 100,
        connection_rate = { 300, "60s" },
        block_for = 0,
        old_versions = 32,
        script_time = "1s",
        script_memory = "256m",
      },
      security = { ip_allow = {}, ip_block = {} },
      defaults = {},
      proxy_protocol = { trusted = {}, accept = "auto", send = false, timeout = "1s" },
      acme = { directory = "letsencrypt", renew_before = "30d", challenge = "http-01", challenge_port = 80 },
      nftables = { table = "moongate" },
      metrics = {
        enabled = true,
        sample = "1s",
        retention = "1h",
        percentiles = true,
        path = "/metrics",
        top_ips = 1000,
      },
      diagnose = { every = "5s", connections = 0, spike = 0, old = "1h" },
    })
    assert.are.same({}, faults(result))
    assert.are.same({}, result.warnings)
    result = read({
      metrics = { percentiles = false },
      acme = { email = "a@example.com" },
    })
    local fields = {}
    for _, warning in ipairs(result.warnings) do
      fields[#fields + 1] = warning.field
      assert.are.equal("has no effect in this version", warning.message)
    end
    assert.are.same({ "acme.email", "metrics.percentiles" }, fields)
    assert.are.same({}, read({ metrics = { anonymize_ips = false } }).warnings)
    local line = faults(read({ metrics = { anonymize_ips = true } }))[1]
    assert.truthy(line:find("metrics.anonymize_ips: not supported in this version", 1, true), line)
  end)

  it("says what is wrong with who may connect", function()
    for _, case in ipairs({
      { { security = { ip_allow = { 10 } } }, "security.ip_allow[1]: expected an address, a network or a glob" },
      { { security = { ip_block = "lb.example.com" } }, "security.ip_block: expected an address, got" },
      { { security = { ip_allow = { "10.0.0.0/8", "::/x" } } }, "security.ip_allow[2]: expected an address, a" },
      { { security = { ip_block = "::1\0" } }, "security.ip_block: expected an address, a network or a glob" },
      { { security = { ip_block = "::1/129" } }, "the prefix of an IPv6 address is 0 to 128" },
      { { security = { ip_block = "10.0.0" } }, "an IPv4 address has four numbers" },
      { { security = { ip_block = "10.0.0.256" } }, "the numbers of an IPv4 address are 0 to 255" },
      { { proxy_protocol = { trusted = { "10.0.0.1", "lb" } } }, "proxy_protocol.trusted[2]: expected an address" },
      { { proxy_protocol = { accept = "yes" } }, 'proxy_protocol.accept: expected "auto", true or false' },
      { { proxy_protocol = { send = 3 } }, "proxy_protocol.send: expected false, true, 1 or 2" },
      { { keep_alive = "extend" }, 'did you mean "extended"?' },
      { { keep_alive = fn }, '"immortal" or { treatment =, multiplier = }, got a function' },
      { { keep_alive = { treatment = 1 } }, 'expected "standard", "extended" or "immortal", got 1' },
      { { security = { deny = {} } }, "security.deny: unknown field, those who may not connect are security" },
      { { limits = { max_connections = 1 } }, 'limits.max_connections: unknown field, did you mean "connections"?' },
      { { timeouts = { client = "1m" } }, "timeouts.client: unknown field, both sides have one time: timeouts.idle" },
      { { timeouts = { server = "1m" } }, "timeouts.server: unknown field, both sides have one time: timeouts.idle" },
      { { timeouts = { send = "1m" } }, "timeouts.send: unknown field, both sides have one time: timeouts.idle" },
      { { maxconn = 100 }, "maxconn: unknown field, of all routes together it is limits = { connections = 1000 }" },
      { { nbthread = 4 }, "nbthread: unknown field, did you mean workers?" },
      { { chroot = "/" }, "chroot: unknown field, moongate runs in the foreground" },
      { { uid = "www" }, "uid: unknown field, did you mean user?" },
      { { log = { file = "/x" } }, "log.file: unknown field, the log goes to standard error" },
      { { limits = { connections = -1 } }, "limits.connections: -1 is too small: at least 0" },
      { { keep_alive = { treatment = "extended", multiplier = 0 } }, "keep_alive.multiplier: 0 is too small" },
      { { limits = { ipv6_prefix = 129 } }, "limits.ipv6_prefix: 129 is too large" },
    }) do
      local lines = faults(read(case[1]))
      assert.are.equal(1, #lines)
      assert.truthy(lines[1]:find(case[2], 1, true), lines[1])
    end
    assert.are.equal(1, #read({ proxy_protocol = { trusted = "0.0.0.0/0" } }).warnings)
    assert.truthy(read({ proxy_protocol = { accept = true } }).warnings[1].message:find("nobody is trusted", 1, true))
    assert.are.equal(0, #read({ proxy_protocol = { accept = true, trusted = "10.0.0.1" } }).warnings)
  end)

  it("names the field that was meant", function()
    assert.are.same(
      { 'limits.scripttime: unknown field, did you mean "script_time"?' },
      faults(read({ limits = { scripttime = 1 } }))
    )
    assert.are.same(
      { "idle: unknown field here, it belongs into timeouts: timeouts = { idle = … }" },
      faults(read({ idle = 1 }))
    )
    assert.truthy(faults(read({ colour = 1 }))[1]:find("known here: acme, admin", 1, true))
    assert.truthy(faults(read({ "x" }))[1]:find("is a value without a name", 1, true))
  end)

  it("says of each wrong value what it expected", function()
    for _, case in ipairs({
      { { workers = 0 }, "workers: 0 is too small: at least 1" },
      { { workers = 1.5 }, 'workers: expected a whole number or "auto", got 1.5' },
      { { admin = "127.0.0.1:9090" }, 'admin: expected a table, got "127.0.0.1:9090"' },
      { { admin = { listen = "9090" } }, 'admin.listen: expected "address:port"' },
      { { log = { level = "inf" } }, 'log.level: expected "debug", "info", "warn", "error" or "off", got "inf"' },
      { { log = { access = 1 } }, "log.access: expected true or false, got 1" },
      { { timeouts = { idle = "4 hours" } }, "timeouts.idle: expected a duration" },
      {
        { timeouts = { idle = "30" } },
        'timeouts.idle: expected a duration (a number of seconds, or "500ms", "90s", "5m", "4h", "30d"), got "30" '
          .. '(did you mean "30s"?)',
      },
      { { timeouts = { stuck = { "1s", tsl = 1 } } }, 'timeouts.stuck: has the key "tsl"' },
      { { timeouts = { stuck = { "x" } } }, "timeouts.stuck[1]: expected a duration" },
      { { tcp = { probe_after = "10ms" } }, "tcp.probe_after: 10ms is too small: at least 1s" },
      { { limits = { script_memory = 5 } }, "limits.script_memory: 5 B is too small: at least 1.0 MiB, or 0 for none" },
      { { limits = { connection_rate = { 1 } } }, "limits.connection_rate: expected { count, duration }" },
      { { limits = { connection_rate = { 0, "1s" } } }, "limits.connection_rate[1]: 0 is too small: at least 1" },
      { { dns = { servers = { "one.one" } } }, "dns.servers[1]: expected an address" },
      { { script = { jit = { a = 1 } } }, "script.jit: expected a list" },
      { { routes = "" }, "routes: is empty" },
      { { routes = fn }, "routes: expected a string, got a function" },
      { 5, ": expected the file to return a table, got 5" },
    }) do
      local line = faults(read(case[1]))[1] or "no fault"
      assert.are.equal(case[2], line:sub(1, #case[2]))
    end
  end)

  it("takes a user and a group by name or number", function()
    local checked = read({ user = 1, group = "2" }).config
    assert.are.same({ "1", "2" }, { checked.user, checked.group })
    checked = read({ user = "daemon", group = 0 }).config
    assert.are.same({ "daemon", "0" }, { checked.user, checked.group })
    assert.are.same({ "user: expected a name or a number, got true" }, faults(read { user = true }))
    assert.are.same({ "group: -1 is too small: at least 0" }, faults(read { group = -1 }))
  end)

  it("resolves paths from its directory", function()
    local normal = read({ routes = "r", control = "/c.sock", state = "s" }).config
    assert.are.equal("/etc/moongate/r", normal.routes)
    assert.are.equal("/c.sock", normal.control)
    assert.are.equal("/etc/moongate/s", normal.state)
    local root = config.check({}, { directory = ".", cpus = 1000, root = true, variables = {} }).config
    assert.are.equal("routes", root.routes)
    assert.are.equal("/run/moongate.sock", root.control)
    assert.are.equal("/var/lib/moongate", root.state)
    assert.are.equal(256, root.workers)
  end)
end)

describe("ports", function()
  local function ports(value)
    local result = load(route({ ports = value }))
    assert.are.same({}, faults(result))
    local parts = {}
    for _, range in ipairs(result.routes[1].match.ports) do
      parts[#parts + 1] = range.from .. "-" .. range.to
    end
    return table.concat(parts, " ")
  end

  it("take every form, also mixed, and come out sorted and apart", function()
    assert.are.equal("443-443", ports(443))
    assert.are.equal("443-443", ports("443"))
    assert.are.equal("80-80 443-443", ports({ 443, 80 }))
    assert.are.equal("8000-8010", ports("8000-8010"))
    assert.are.equal("8000-8010", ports({ from = 8000, to = 8010 }))
    assert.are.equal("1-1 3-9 20-25", ports({ { from = 20, to = 25 }, 1, "3-7", { "5-8", 9 } }))
    assert.are.equal("1-65535", ports("1-65535"))
    assert.are.equal("0-0 1-1", ports({ 0, 1 }))
  end)

  it("that are none are faults", function()
    for _, case in ipairs({
      { 65536, "match.ports: expected a port from 1 to 65535 (0: the kernel chooses one), got 65536" },
      { -1, "match.ports: expected a port" },
      { 1.5, "match.ports: expected a port" },
      { "80-", "match.ports: expected 443, { 80, 443 }" },
      { "90-80", "match.ports: the range 90-80 is the wrong way round: write 80-90" },
      { "0-80", "match.ports: expected ports from 1 to 65535" },
      { { 80, "http" }, "match.ports[2]: expected 443" },
      { {}, "match.ports: names no port" },
      { { 0, 0 }, "match.ports: 0 stands twice" },
      { true, "match.ports: expected 443" },
      { fn, "match.ports: expected 443" },
    }) do
      local line = fault_of(route({ ports = case[1] }))
      assert.are.equal(case[2], line:sub(1, #case[2]))
    end
    assert.truthy(fault_of(route({})):find("match.ports: is missing", 1, true))
  end)
end)

describe("an action", function()
  it("forwards to a target in each of its forms", function()
    local function only(target)
      local normal = action({ target = target })
      assert.are.equal(1, #normal.targets)
      return normal.targets[1]
    end
    local plain = { host = "127.0.0.1", port = 8080, preserve = false, weight = 1 }
    assert.are.same(plain, only("127.0.0.1:8080"))
    assert.are.same(plain, only({ host = "127.0.0.1", port = 8080 }))
    assert.are.equal("2001:db8::1", only("[2001:db8::1]:80").host)
    assert.are.equal("2001:db8::1", only({ host = "2001:db8::1", port = 80 }).host)
    assert.are.equal("::1", only("[::1]:80").host)
    assert.are.equal("fe80::1%eth0", only("[fe80::1%eth0]:80").host)
    assert.are.equal("::ffff:192.0.2.1", only("[::ffff:192.0.2.1]:80").host)
    assert.are.equal("1.example", only("1.example:80").host)
    assert.are.equal("my_host.example.com", only("my_host.example.com:80").host)
    assert.are.equal("unix:/run/x.sock", only("unix:/run/x.sock").host)
    assert.are.equal("unix:/run/x.sock", only({ host = "unix:/run/x.sock" }).host)
    assert.is_true(only({ host = "a", port = "preserve" }).preserve)
  end)

  it("counts functions as slots, in the order of the schema", function()
    local normal, functions = action({ target = { host = fn, port = fn } })
    assert.are.equal(1, normal.targets[1].host_function)
    assert.are.equal(2, normal.targets[1].port_function)
    assert.are.same({ route = "a.lua#1", field = "action.target.host" }, functions[1])
    normal, functions = action({ target = fn })
    assert.are.equal(1, normal.target_function)
    assert.are.same({}, normal.targets)
    assert.are.equal("action.target", functions[1].field)
    normal = action({ handler = fn })
    assert.are.equal(1, normal.handler)
    local _, several = action({ targets = { "a:1", { host = "b", port = fn } } })
    assert.are.equal("action.targets[2].port", several[1].field)
  end)

  it("gives its port to the targets without one", function()
    local normal = action({ targets = { "a", "b:2", { host = "c", weight = 256 }, "unix:/x" }, port = "preserve" })
    local preserve = {}
    for i, target in ipairs(normal.targets) do
      preserve[i] = target.preserve
    end
    assert.are.same({ true, false, true, false }, preserve)
    assert.are.equal(256, normal.targets[3].weight)
    assert.are.equal(7, action({ target = "a", port = 7 }).targets[1].port)
    normal = action({ target = { host = { "a", "b" } }, port = fn })
    assert.are.equal(1, normal.targets[1].port_function)
    assert.are.equal(1, normal.targets[2].port_function)
  end)

  it("that can't be carried out is a fault", function()
    for _, case in ipairs({
      { { target = "127.0.0.1" }, 'action.target: expected "host:port", got "127.0.0.1" (add ":80")' },
      { { target = "a:0" }, 'action.target: expected "host:port" with a port from 1 to 65535' },
      { { target = ":80" }, 'action.target: expected "host:port", got ":80"' },
      {
        { target = "::1" },
        'action.target: expected "host:port", got "::1" (an IPv6 address stands in brackets: "[::1]:80")',
      },
      { { target = "http://a:80" }, 'action.target: expected "host:port", got "http://a:80" (leave out "http://")' },
      { { target = "a b:80" }, "action.target: expected a host name or an address" },
      { { target = "unix:x" }, 'action.target: expected "unix:/path"' },
      { { target = "unix:/" .. ("x"):rep(107) }, 'action.target: expected "unix:/path"' },
      { { target = { port = 1 } }, "action.target.host: is missing" },
      { { target = { host = "a" } }, "action.target: is missing a port" },
      { { target = { host = "a", prot = 1 } }, 'action.target.prot: unknown field, did you mean "port"?' },
      {
        { target = { host = "a", port = 80, weight = 2 } },
        "action.target.weight: belongs to one of several: targets",
      },
      { { target = { "a:1" } }, "action.target: expected one target, got a list" },
      { { target = 8080 }, 'action.target: expected "host:port", "unix:/path"' },
      { { targets = {} }, "action.targets: names no target" },
      {
        { targets = { { host = "a", port = 1, weight = 257 } } },
        "action.targets[1].weight: 257 is too large: at most 256",
      },
      { { targets = { "a:1", fn } }, "action.targets[2]: expected" },
      { { handler = "echo" }, 'action.handler: expected a function, got "echo"' },
      { { handler = fn, target = "a:1" }, "action: has handler and target, which can't work together" },
      { {}, "action: says nothing to do" },
      { { target = "a:1", port = 2 }, "action.port: each target has a port of its own" },
      { { target = fn, port = 2 }, "action.port: can't work together with a target function" },
      {
        { target = "a:1", engine = "nftables" },
        'action.engine: "nftables" is not supported in this version: use "userspace"',
      },
      { { target = "a:1", balance = "source" }, 'action.balance: expected "round-robin", "least-connections" or' },
      {
        { target = "a:1", tls = { mode = "terminate" } },
        'action.tls.mode: "terminate" is not supported in this version: use "passthrough"',
      },
    }) do
      local line = fault_of(route(nil, case[1]))
      assert.are.equal(case[2], line:sub(1, #case[2]))
    end
  end)

  it("is told how an address is written", function()
    for target, hint in pairs({
      ["::1:80"] = 'got "::1:80" (an IPv6 address stands in brackets: "[::1]:80")',
      ["2001:db8::1:443"] = 'brackets: "[2001:db8::1]:443")',
      ["fe80::1%eth0"] = 'brackets: "[fe80::1%eth0]:80")',
      ["1:2:3:4:5:6:7:8"] = 'brackets: "[1:2:3:4:5:6:7:8]:80")',
      ["a:b:80"] = 'expected "host:port", got "a:b:80"',
      ["[1:2:3]:80"] = 'got "[1:2:3]" (that is no IPv6 address)',
      ["[1::2::3]:80"] = "no IPv6 address",
      ["10.0.0.300:80"] = 'got "10.0.0.300" (an IPv4 address has four numbers from 0 to 255)',
      ["10.0.0:80"] = "four numbers from 0 to 255",
      ["010.0.0.1:80"] = "four numbers from 0 to 255",
      ["10.0.0.1.1:80"] = "four numbers from 0 to 255",
      ["8080"] = 'got "8080" (a port alone names no host: "127.0.0.1:8080")',
      [":80"] = 'a port alone names no host: "127.0.0.1:80"',
    }) do
      local line = fault_of(route(nil, { target = target }))
      assert.truthy(line:find("action.target: expected", 1, true) and line:find(hint, 1, true), line)
    end
    local line = fault_of(route(nil, { targets = { "10.0.0.300" }, port = 80 }))
    assert.truthy(line:find("action.targets[1]: expected a host name or an address", 1, true), line)
  end)
end)

describe("a route file", function()
  it("returns one route or a list, with names by default", function()
    assert.are.equal("a.lua#1", load(route()).routes[1].name)
    local result = load({ route(), route() })
    assert.are.equal("a.lua#2", result.routes[2].name)
    assert.are.same({}, load({}).routes)
    assert.are.same({}, faults(load({})))
  end)

  it("never has what is not supported ignored", function()
    for _, value in ipairs({
      route({ ports = 1, path = "/" }),
      route({ ports = 1, headers = { a = "b" } }),
      route(nil, { target = "a:1", strip_prefix = "/a" }),
      { match = { ports = 1 }, action = { target = "a:1" }, security = { jwt = {} } },
    }) do
      assert.truthy(fault_of(value):find(": not supported in this version", 1, true))
    end
  end)

  it("says who may use it, and how quiet connections are treated", function()
    local function one(fields)
      local value = route(nil, fields.action)
      value.security, value.keep_alive = fields.security, fields.keep_alive
      return value
    end
    local normal = load(one({
      security = { ip_allow = "10.0.0.0/8", max_connections = 5, connection_rate = { 2, "1s" } },
      keep_alive = { treatment = "extended", multiplier = 10 },
      action = { target = "a:1", send_proxy_protocol = { version = 2, tlvs = { [0xEA] = "ab", [1] = "" } } },
    })).routes[1]
    assert.are.same({ "10.0.0.0/8" }, normal.security.ip_allow)
    assert.are.same({ count = 2, window = 1000 }, normal.security.connection_rate)
    assert.is_nil(normal.security.max_connections_per_ip)
    assert.are.same({ treatment = "extended", multiplier = 10 }, normal.keep_alive)
    assert.are.same(
      { version = 2, tlvs = "\1\0\0\234\0\2ab" },
      normal.action.send_proxy_protocol
    )
    for _, case in ipairs({
      { { security = { ip_alow = "10.0.0.0/8" } }, 'did you mean "ip_allow"' },
      { { keep_alive = "immortl" }, 'did you mean "immortal"?' },
      { { action = { target = "a:1", send_proxy_protocol = { version = 1, tlvs = { "x" } } } }, "set version = 2" },
      { { action = { target = "a:1", send_proxy_protocol = { tlvs = { [256] = "x" } } } }, "from 0 to 0xFF" },
      { { security = { basic_auth = {} } }, "security.basic_auth: not supported in this version" },
    }) do
      assert.truthy(fault_of(one(case[1])):find(case[2], 1, true), fault_of(one(case[1])))
    end
  end)

  it("has its names apart from those of other files", function()
    local names = {}
    local named = route()
    named.name = "x"
    assert.are.same({}, faults(load(named, names)))
    assert.are.same(
      { "name: is also the name of a route in routes/a.lua: rename one of them" },
      faults(load(named, names))
    )
    assert.are.same(
      { "name: is also the name of a route in routes/a.lua: rename one of them" },
      faults(load({ named, named }))
    )
  end)

  it("is warned of that forwards to itself", function()
    local here, there = { ports = "80-90" }, { ports = 80, address = "127.0.0.2" }
    for _, case in ipairs({
      { here, { target = "127.0.0.1:85" }, 1 },
      { here, { target = { host = "::1", port = "preserve" } }, 1 },
      { here, { targets = { "a:1", "localhost:90" } }, 1 },
      { there, { target = "127.0.0.2:80" }, 1 },
      { there, { target = "127.0.0.1:80" }, 0 },
      { here, { target = "127.0.0.1:91" }, 0 },
      { here, { target = { host = "10.0.0.1", port = "preserve" } }, 0 },
      { { ports = 80, client_ip = "10.0.0.0/8" }, { target = "127.0.0.1:80" }, 0 },
    }) do
      local result = load({ match = case[1], action = case[2] })
      assert.are.same({ 0, case[3] }, { #result.faults, #result.warnings })
    end
  end)

  it("has a name that can be printed, and is not one that the metrics have", function()
    local value = route()
    value.name = "a\nb"
    local fault = load(value).faults[1]
    assert.are.same({ "a.lua#1", 'has control characters in it: "a\\10b"' }, { fault.route, fault.message })
    for _, name in ipairs({ "(none)", "(removed)" }) do
      value.name = name
      assert.are.same({ "name: is taken: the metrics have " .. name .. " for what belongs to no route" },
        faults(load(value)))
    end
    value.name, value.description = nil, "a\0b"
    assert.are.same({ 'description: has control characters in it: "a\\0b"' }, faults(load(value)))
  end)

  it("leaves out disabled routes, their names and their functions", function()
    local off = route(nil, { handler = fn })
    off.name, off.enabled = "x", false
    local on = route(nil, { handler = fn })
    on.name = "x"
    local result = load({ off, on })
    assert.are.same({}, faults(result))
    assert.are.equal(1, #result.routes)
    assert.are.equal(1, #result.functions)
    assert.are.equal(1, result.routes[1].action.handler)
  end)

  it("has timeouts that merge with the config's", function()
    local value = route()
    value.timeouts = { idle = 0, half_dead = { tls = "1s" }, linger = false }
    local normal = load(value).routes[1].timeouts
    assert.are.equal(0, normal.idle)
    assert.are.equal(0, normal.linger)
    assert.are.same({ plain = 30000, tls = 1000 }, normal.half_dead)
    assert.are.equal(30000, normal.connect)
  end)

  it("reports at most a hundred faults, and that there are more", function()
    local list = {}
    for i = 1, 300 do
      list[i] = { match = { ports = "x" }, action = { target = "a:1" } }
    end
    local result = load(list)
    assert.are.equal(101, #result.faults)
    assert.truthy(result.faults[101].message:find("there is more", 1, true))
  end)

  it("survives whatever stands where a table should", function()
    for _, value in ipairs({ 5, "x", true, fn }) do
      assert.truthy(#load({ match = value, action = value }).faults > 0)
      assert.truthy(#load({ value }).faults > 0)
      assert.truthy(#load(value).faults > 0)
      assert.truthy(
        #load({ name = value, enabled = value, tags = { value }, timeouts = value, match = { ports = 1 } }).faults > 0
      )
      assert.truthy(
        #load(
          route({ ports = { value, { from = value, to = value } } }, { target = { host = value, port = value } })
        ).faults > 0
      )
    end
  end)
end)
