-- SPDX-License-Identifier: MIT
--
-- examples/chain-outer.lua and chain-inner.lua: two moongates in a row, between haproxy, which sends and receives PROXY
-- headers too, and nginx, which logs the client.

local examples = require "spec.support.examples"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local CLIENT = "127.0.0.77"

describe("the example of a chain", function()
  after_each(moongate.finish)

  -- nginx that believes PROXY headers; its log.
  local function start_nginx()
    local log = process.directory() .. "/access.log"
    os.execute("chmod 755 " .. log:match "(.*)/")
    local nginx = peers.nginx(
      ("proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol; access_log %s combined"):format(log)
    )
    process.write(nginx.directory .. "/html/index.html", "the page")
    return nginx, log
  end

  local function start_moongates(target, version)
    local outer_port, inner_port = net.free_ports(1), net.free_ports(1, "127.0.0.1")
    local inner = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, accept = true },',
      routes = examples.text("chain-inner", {
        { "8451", inner_port },
        { '"127.0.0.1:8452"', ('"127.0.0.1:%d"'):format(target) },
        { "send_proxy_protocol = 1", "send_proxy_protocol = " .. version },
      }),
    }
    local outer = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, timeout = "10s" },',
      routes = examples.text("chain-outer", {
        { "8450", outer_port },
        { "8451", inner_port },
        { "send_proxy_protocol = 2", "send_proxy_protocol = " .. version },
      }),
    }
    return outer, inner, outer_port
  end

  for version, word in pairs { "send-proxy", "send-proxy-v2" } do
    it("hands the client's own address through haproxy and back to haproxy and nginx, version " .. version, function()
      local nginx, log = start_nginx()
      local last = peers.haproxy(nginx.port, { bind = "accept-proxy", server = word })
      local outer, inner, outer_port = start_moongates(last.port, version)
      local first = peers.haproxy(outer_port, { server = word })
      for _ = 1, 20 do
        local url = ("http://127.0.0.1:%d/"):format(first.port)
        local answer = peers.curl { "--interface", CLIENT, url }
        assert.are.equal("the page", answer.out, answer.err)
      end
      local found = 0
      process.wait_for(function()
        found = select(2, process.read(log):gsub("127%.0%.0%.77 %- %- %[[^\n]*GET / ", ""))
        return found == 20
      end, 10, "nginx to log 20 requests of the client: " .. process.read(log))
      outer:await_idle()
      inner:await_idle()
    end)
  end
end)
