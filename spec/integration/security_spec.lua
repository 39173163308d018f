-- SPDX-License-Identifier: MIT
--
-- Who may connect: lists of addresses in the config and in routes, and authorize.

local clients = require "spec.support.clients"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("address lists", function()
  after_each(moongate.finish)

  local function expect(m, cases, route)
    for ip, entered in pairs(cases) do
      assert.are.equal(entered, (clients.enter(m, ip, route)), ip)
    end
  end

  it("of the config are asked before any route, and block wins", function()
    local m = clients.start([[security = {
      ip_allow = { "10.0.0.0/8", "192.168.*", "2001:db8::/32", "203.0.113.9" },
      ip_block = { "10.1.0.0/16", "192.168.1.?", "2001:db8:bad::/48" },
    },]])
    expect(m, {
      ["10.0.0.1"] = true,
      ["10.1.0.1"] = false,
      ["10.2.0.1"] = true,
      ["11.0.0.1"] = false,
      ["192.168.1.7"] = false,
      ["192.168.1.77"] = true,
      ["203.0.113.9"] = true,
      ["203.0.113.8"] = false,
      ["2001:db8::1"] = true,
      ["2001:db8:bad::1"] = false,
      ["2001:db9::1"] = false,
    })
    clients.await_refusals(m, "not_allowed", 6)
    clients.await_refusal_log(m, "reason=not_allowed[^\n]*option=security%.ip_allow", "11.0.0.1")
    clients.await_refusal_log(m, "reason=not_allowed[^\n]*option=security%.ip_block", "10.1.0.1")
  end)

  it("know an IPv4 address in its IPv6 form, in lists and of clients", function()
    local m = clients.start 'security = { ip_block = { "::ffff:192.0.2.0/120" } },'
    assert.is_false(clients.enter(m, "192.0.2.7"))
    assert.is_true(clients.enter(m, "192.0.3.7"))
    local client = clients.connect(m, "::ffff:192.0.2.8")
    local _, how = client:receive_all()
    assert.are.equal("reset", how)
    client = clients.connect(m, "::ffff:192.0.3.8")
    assert.are.equal("192.0.3.8", (client:receive_line())) -- and it prints as IPv4
  end)

  it("of a route are asked after it was chosen, on top of the config's", function()
    local m = clients.start('security = { ip_block = { "10.9.0.0/16" } },', nil, {
      routes = ([[return {
        { name = "inner", match = { ports = 0 }, action = { GREET },
          security = { ip_allow = "10.0.0.0/8", ip_block = { "10.1.*" } } },
        { name = "open", match = { ports = 0 }, action = { GREET } },
      }]]):gsub("GREET", (clients.GREET:gsub("%%", "%%%%"))),
    })
    expect(m, { ["10.0.0.1"] = true, ["10.1.0.1"] = false, ["10.9.0.1"] = false, ["192.0.2.7"] = false }, "inner")
    expect(m, { ["10.0.0.1"] = true, ["10.1.0.1"] = true, ["10.9.0.1"] = false, ["192.0.2.7"] = true }, "open")
    clients.await_refusal_log(m, "option=security%.ip_allow[^\n]*route=inner", "192.0.2.7", "inner")
  end)

  it("do not let a refused client on to the next route", function()
    local port = net.free_ports(1)
    local m = clients.start(nil, nil, {
      routes = ([[return {
        { name = "first", match = { ports = %d, client_ip = "10.0.0.0/8" }, action = { %s },
          security = { ip_block = "10.0.0.1" } },
        { name = "second", match = { ports = %d }, action = { %s } },
      }]]):format(port, clients.GREET, port, clients.GREET),
    })
    assert.is_false(clients.enter(m, "10.0.0.1", "first"))
    assert.is_true(clients.enter(m, "10.0.0.2", "first"))
    assert.is_true(clients.enter(m, "192.0.2.7", "first"))
  end)

  it("hold for loopback too", function()
    local config = 'security = { ip_block = { "127.0.0.0/8" } },'
    local m = moongate.start { config = config, routes = moongate.front(clients.GREET) }
    local _, how = assert(net.connect(m:port "front")):receive_all()
    assert.are.equal("reset", how)
  end)

  it("change at a reload, and what is open stays open", function()
    local m = clients.start 'security = { ip_block = { "192.0.2.1" } },'
    local _, client = clients.enter(m, "192.0.2.7")
    clients.reconfigure(m, '"192.0.2.1"', '"192.0.2.0/24"')
    assert.is_false(clients.enter(m, "192.0.2.7"))
    assert.is_true(clients.enter(m, "192.0.3.7"))
    client:send "still\n"
    assert.are.equal("still", (client:receive_line()))
    clients.reconfigure(m, '"192.0.2.0/24"', "")
    assert.is_true(clients.enter(m, "192.0.2.7"))
  end)
end)

describe("authorize", function()
  after_each(moongate.finish)

  local function start(body, more, config)
    return clients.start(config, ("security = { authorize = function(context) %s end }, %s"):format(body, more or ""))
  end

  it("lets in whom it says yes to, and may wait", function()
    local m = start [[moongate.sleep(0.01) return context.client_ip:find("^10%.") ~= nil]]
    assert.is_true(clients.enter(m, "10.0.0.1"))
    assert.is_false(clients.enter(m, "192.0.2.7"))
    clients.await_refusals(m, "not_authorized", 1)
    m:await_log "reason=not_authorized[^\n]*option=security%.authorize[^\n]*client=192%.0%.2%.7"
  end)

  it("takes nothing for no", function()
    local m = start ""
    assert.is_false(clients.enter(m, "10.0.0.1"))
    clients.await_refusals(m, "not_authorized", 1)
  end)

  it("takes an error for no, and tells it", function()
    local m = start 'error("the directory is down")'
    assert.is_false(clients.enter(m, "10.0.0.1"))
    clients.await_refusals(m, "handler_error", 1)
    m:await_log "the directory is down"
    m:await_metric('handler_errors_total{route="front"}', 1)
  end)

  it("is asked after lists and limits", function()
    local m = start("moongate.log.info('asked about ' .. context.client_ip) return true", nil, [[
      security = { ip_block = "10.0.0.1" }, limits = { connections_per_ip = 1 },]])
    assert.is_false(clients.enter(m, "10.0.0.1"))
    assert.is_true(clients.enter(m, "10.0.0.2"))
    assert.is_false(clients.enter(m, "10.0.0.2"))
    local _, asked = m:log():gsub("asked about", "")
    assert.are.equal(1, asked)
  end)

  it("leaves nothing behind of a client that leaves while it thinks", function()
    local m = start "moongate.sleep(3600) return true"
    for _ = 1, 20 do
      clients.connect(m, "10.0.0.1"):reset()
    end
    m:await_idle()
    local client = clients.connect(m, "10.0.0.1")
    m:await_metric("active_connections", 1)
    m:await_metric('connections_by_state{state="routing"}', 1)
    client:reset()
    m:await_idle()
  end)

  it("has as long as timeouts.initial_data", function()
    local m = start("moongate.sleep(3600) return true", "timeouts = { initial_data = '300ms' }")
    local client = clients.connect(m, "10.0.0.1")
    local _, how = client:receive_all()
    assert.are_not.equal("timeout", how)
    clients.await_refusals(m, "initial_data", 1)
  end)

  it("finds what the client has sent meanwhile still there", function()
    local m = start "moongate.sleep(0.1) return true"
    local client = clients.connect(m, "10.0.0.1")
    client:send "early\n"
    assert.are.equal("10.0.0.1", (client:receive_line()))
    assert.are.equal("early", (client:receive_line()))
  end)

  it("ends with moongate", function()
    local m = start "moongate.sleep(3600) return true"
    clients.connect(m, "10.0.0.1")
    m:await_metric("active_connections", 1)
    assert.are.equal(0, m:stop())
  end)

  it("changes with its file", function()
    local m = start "return false"
    assert.is_false(clients.enter(m, "10.0.0.1"))
    m:write("routes.lua", moongate.front(clients.GREET, nil, "security = { authorize = function() return true end }"))
    assert.are.equal(0, m:reload().status)
    assert.is_true(clients.enter(m, "10.0.0.1"))
  end)
end)

describe("check", function()
  it("warns of a proxy_protocol that trusts everybody, and refuses names", function()
    local space = moongate.workspace { routes = moongate.front(clients.GREET) }
    local function check(trusted)
      process.write(space.config_path, ("return { proxy_protocol = { trusted = { %s } } }"):format(trusted))
      return moongate.command { "check", moongate.files_of(space) }
    end
    for _, all in ipairs { '"0.0.0.0/0"', '"::/0"', '"*"', '"*.*.*.*"' } do
      local done = check(all)
      assert.are.equal(0, done.status, all)
      assert.truthy((done.out .. done.err):find("trusts everybody", 1, true), all)
    end
    local named = check '"proxy.example.com"'
    assert.are.equal(1, named.status)
    assert.truthy((named.out .. named.err):find("names are not looked up here", 1, true))
    assert.are.equal(0, check('"10.0.0.0/8"').status)
    moongate.finish()
  end)
end)
