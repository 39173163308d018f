-- SPDX-License-Identifier: MIT
--
-- Who may connect, and as whom a target sees them, in specs: clients have any address, and time passes when told to.
-- Run by moongate test.

local testing = require "moongate.testing"

describe("testing.start with limits", function()
  local m

  after_each(function()
    if m then
      m:stop()
      m = nil
    end
  end)

  local function start(options)
    options.routes = {
      name = "front",
      match = { ports = 80 },
      security = options.security,
      action = {
        handler = function(socket, context)
          socket:send(context.client_ip .. "\n")
          socket:receive()
        end,
      },
    }
    m = testing.start({ config = options.config, routes = options.routes })
  end

  -- The greeting, and the connection; nil when it was refused.
  local function enter(ip)
    local client = m:connect("front", { client_ip = ip })
    return client:receive "*l", client
  end

  it("holds limits of the addresses that clients are given", function()
    start({ config = { limits = { connections_per_ip = 2 } } })
    assert.equal("192.0.2.7", enter "192.0.2.7")
    local _, second = enter "192.0.2.7"
    assert.is_nil((enter "192.0.2.7"))
    assert.equal("192.0.2.8", enter "192.0.2.8")
    second:close()
    for _ = 1, 1000 do
      if m:connections() == 2 then
        break
      end
      moongate.sleep(0.01)
    end
    assert.equal("192.0.2.7", enter "192.0.2.7")
  end)

  it("lets block_for and windows pass by its clock", function()
    start({ config = { limits = { connection_rate = { 2, "1m" }, block_for = "10m" } } })
    for _ = 1, 2 do
      assert.equal("192.0.2.7", enter "192.0.2.7")
    end
    assert.is_nil((enter "192.0.2.7"))
    testing.clock.advance(9 * 60)
    assert.is_nil((enter "192.0.2.7"))
    testing.clock.advance(61)
    assert.equal("192.0.2.7", enter "192.0.2.7")
  end)

  it("asks lists and authorize", function()
    start({
      security = {
        ip_block = "10.0.0.0/8",
        authorize = function(context)
          moongate.sleep(0.001)
          return context.client_ip ~= "192.0.2.9"
        end,
      },
    })
    assert.is_nil((enter "10.0.0.1"))
    assert.is_nil((enter "192.0.2.9"))
    assert.equal("192.0.2.7", enter "192.0.2.7")
    assert.equal(1, m:metrics()['moongate_connection_terminations_total{side="client",reason="not_authorized"}'])
  end)

  it("takes a PROXY header from a client with the address of a trusted peer", function()
    start({ config = { proxy_protocol = { trusted = { "192.0.2.7" } } } })
    for _, ip in ipairs { "198.51.100.1", "198.51.100.2" } do
      local client = m:connect("front", { client_ip = "192.0.2.7" })
      client:send(("PROXY TCP4 %s 198.51.100.9 4711 80\r\n"):format(ip))
      assert.equal(ip, (client:receive "*l"))
      client:close()
    end
  end)

  it("tells targets in a PROXY header whom the spec says, of routes and of handlers that forward", function()
    local target = testing.start({
      routes = {
        name = "target",
        match = { ports = 7 },
        action = {
          handler = function(socket)
            socket:send(socket:receive "*l" .. "\n")
          end,
        },
      },
    })
    local to = "127.0.0.1:" .. target:port "target"
    m = testing.start({
      routes = {
        { name = "route", match = { ports = 443 }, action = { target = to, send_proxy_protocol = true } },
        {
          name = "handler",
          match = { ports = 80 },
          action = {
            send_proxy_protocol = true,
            handler = function(_, context)
              context:forward(to)
            end,
          },
        },
      },
    })
    local client = m:connect("route", { client_ip = "192.0.2.7", client_port = 4711 })
    assert.equal("PROXY TCP4 192.0.2.7 127.0.0.1 4711 443", (client:receive "*l"):gsub("\r", "") .. "")
    client = m:connect("handler", { client_ip = "2001:db8::7", client_port = 4711 })
    assert.equal("PROXY TCP6 2001:db8::7 ::1 4711 80", (client:receive "*l"):gsub("\r", "") .. "")
    target:stop()
  end)
end)
