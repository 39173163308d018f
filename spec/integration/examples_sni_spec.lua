-- SPDX-License-Identifier: MIT
--
-- examples/sni-passthrough.lua: several TLS servers behind one port. The servers are openssl's, and known by their
-- certificates.

local examples = require "spec.support.examples"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("the example of TLS passthrough", function()
  after_each(moongate.finish)

  -- An openssl server whose certificate has that name; its port.
  local function start_server(name)
    local directory, port = process.directory(), net.free_ports(1, "127.0.0.1")
    local key, certificate = directory .. "/key.pem", directory .. "/certificate.pem"
    local made = process.run {
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
      "-subj", "/CN=" .. name, "-keyout", key, "-out", certificate,
    }
    assert.are.equal(0, made.status, made.err)
    local child = process.start {
      "openssl", "s_server", "-accept", "127.0.0.1:" .. port, "-key", key, "-cert", certificate, "-www", "-quiet",
    }
    process.wait_for(function()
      assert(child:alive(), "openssl s_server ended: " .. child:err())
      local connection = net.connect(port)
      if connection then
        connection:close()
      end
      return connection
    end, 10, "openssl s_server")
    return port
  end

  -- What openssl says to a connection that asks for that name (nil: none).
  local function ask(port, name)
    local line = { "openssl", "s_client", "-connect", "127.0.0.1:" .. port, "-noservername" }
    if name then
      line[#line], line[#line + 1] = "-servername", name
    end
    local answer = process.run(line, { input = "/dev/null" })
    return answer.out:match "subject=CN = (%S+)" or answer.out .. answer.err
  end

  it("sends each name to its server, and an unknown one away", function()
    local front = net.free_ports(1, "127.0.0.1")
    moongate.start {
      config = 'defaults = { match = { address = "127.0.0.1" } },',
      routes = examples.text("sni-passthrough", {
        { "8443", front },
        { "4431", start_server "the-shop" },
        { "4432", start_server "mail-one" },
        { "4433", start_server "mail-two" },
        { "4434", start_server "the-rest" },
      }),
    }
    assert.are.equal("the-shop", ask(front, "shop.example"))
    assert.are.equal("the-shop", ask(front, "Shop.Example"))
    assert.are.equal("the-rest", ask(front, "www.shop.example"))
    local turns = { ask(front, "mail.example"), ask(front, "imap.mail.example") }
    table.sort(turns)
    assert.are.same({ "mail-one", "mail-two" }, turns)
    local unknown = ask(front, "shop.invalid")
    assert.truthy(unknown:find "unrecognized name", unknown)
    local nameless = ask(front) -- the alert is only a warning here, and the end follows
    assert.truthy(nameless:find "unexpected eof" or nameless:find "unrecognized name", nameless)
  end)
end)
