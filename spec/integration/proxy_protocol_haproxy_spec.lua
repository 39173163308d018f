-- SPDX-License-Identifier: MIT
--
-- haproxy as the peer, before moongate and behind it: its headers with an id, its health checks of both kinds, and
-- clients that have no address.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

-- A handler that says what the header said.
local WHO = [[handler = function(socket, context)
  local proxy = context.proxy
  socket:send(("%s %s\n"):format(context.client_ip, proxy and proxy.tlvs[5] or "-"))
end]]

describe("haproxy before moongate", function()
  after_each(moongate.finish)

  local function start(action)
    return moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, accept = true, timeout = "10s" },',
      routes = moongate.front(action or WHO),
    }
  end

  local function ask(port)
    local client = assert(net.connect(port))
    local line = client:receive_line()
    client:close()
    return line
  end

  it("gives connections an id, which goes on to haproxy behind it", function()
    local last = start()
    local behind = peers.haproxy(last:port "front", {
      bind = "accept-proxy",
      listen = "unique-id-format again-%[fc_pp_unique_id]",
      server = "send-proxy-v2 proxy-v2-options unique-id",
    })
    local m = start(("target = '127.0.0.1:%d', send_proxy_protocol = 2"):format(behind.port))
    local before = peers.haproxy(m:port "front", {
      listen = "unique-id-format id-%fp",
      server = "send-proxy-v2 proxy-v2-options unique-id,crc32c",
    })
    assert.are.equal("127.0.0.1 again-id-" .. before.port, ask(before.port))
  end)

  -- As LOCAL, of which all but the header itself is to be ignored, and with the id behind it.
  it("speaks for clients without an address", function()
    local m = start()
    local path = process.directory() .. "/front"
    peers.haproxy(m:port "front", {
      listen = ("bind unix@%s\n  unique-id-format id-unix"):format(path),
      server = "send-proxy-v2 proxy-v2-options unique-id",
    })
    local client = process.wait_for(function() -- it has its name a little later than the TCP port is open
      return net.connect_unix(path)
    end, 10, "haproxy's unix socket")
    assert.are.equal("127.0.0.1 -", client:receive_line())
    assert.are.equal(0, m:metric 'errors_total{type="proxy_header"}')
  end)

  it("checks whether it is well, with a header and without, and nobody is refused", function()
    for name, server in pairs {
      bare = "check inter 50ms fall 1000 no-check-send-proxy send-proxy-v2",
      header = "check inter 50ms fall 1000 send-proxy-v2",
      first = "check inter 50ms fall 1000 check-send-proxy send-proxy",
    } do
      local m = start()
      local before = peers.haproxy(m:port "front", { server = server })
      process.wait_for(function()
        return m:metric "connections_total" > 5
      end, 10, "haproxy's checks: " .. name)
      assert.are.equal("127.0.0.1 -", ask(before.port), name)
      assert.are.equal(0, m:metric 'errors_total{type="proxy_header"}', name)
      assert.falsy(m:log():find("a peer was refused", 1, true), name)
      m:stop()
    end
  end)
end)
