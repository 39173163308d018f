-- SPDX-License-Identifier: MIT
--
-- TLS passed through by its server name: real servers behind, real clients in front; beside plain routes on one port;
-- and what functions are told.

local hellos = require "spec.support.hellos"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

describe("TLS passed through", function()
  local port

  after_each(moongate.finish)

  before_each(function()
    port = net.free_ports(1)
  end)

  local function s_client(name, ...)
    local words = { "openssl", "s_client", "-quiet", "-connect", "127.0.0.1:" .. port, ... }
    if name then
      words[#words + 1], words[#words + 2] = "-servername", name
    else
      words[#words + 1] = "-noservername"
    end
    local directory = process.directory()
    local input = process.write(directory .. "/input", "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    return process.run(words, { input = input })
  end

  local function curl(domain, path, ...)
    local url = ("https://%s:%d%s"):format(domain, port, path)
    return peers.curl { "-k", "--resolve", ("%s:%d:127.0.0.1"):format(domain, port), url, ... }
  end

  it("ends at the server of its name, for openssl and curl, in TLS 1.2 and 1.3", function()
    local one, two = peers.tls_server "one", peers.tls_server "two"
    local m = moongate.start {
      routes = hellos.routes(port, {
        { name = "one", domains = "'one.example.com'", target = one.port },
        { name = "two", domains = "'*.two.example.com'", target = two.port },
      }),
    }
    for _, version in ipairs { "-tls1_2", "-tls1_3" } do
      assert.matches("CN = one", s_client("one.example.com", version).err)
      local answer = s_client("x.two.example.com", version)
      assert.matches("CN = two", answer.err)
      assert.matches("HTTP/1.0 200", answer.out)
    end
    assert.matches("unrecognized name", s_client("three.example.com").err)
    assert.matches("s_server", curl("one.example.com", "/").out)
    assert.is_true(m:metric 'route_connections_total{route="one"}' >= 3)
    assert.are.equal(2, m:metric 'route_connections_total{route="two"}')
  end)

  it("carries large bodies through nginx as they are", function()
    local nginx = peers.nginx_tls()
    assert(os.execute(("head -c 20000000 /dev/urandom > %s/html/large"):format(nginx.directory)) == 0)
    local m = moongate.start {
      routes = hellos.routes(port, { { name = "web", domains = "'www.example.com'", target = nginx.port } }),
    }
    local answer = curl("www.example.com", "/large", "-o", m.directory .. "/large")
    assert.are.equal(0, answer.status, answer.err)
    assert.are.equal(0, os.execute(("cmp -s %s/large %s/html/large"):format(m.directory, nginx.directory)))
  end)

  it("stands beside plain routes on one port", function()
    local nginx, server = peers.nginx(), peers.tls_server "one"
    process.write(nginx.directory .. "/html/page", "a page\n")
    local m = moongate.start {
      routes = ([[return {
        { name = "tls", match = { ports = %d, domains = "one.example.com" },
          action = { target = "127.0.0.1:%d", tls = { mode = "passthrough" } } },
        { name = "plain", match = { ports = %d }, action = { target = "127.0.0.1:%d" } },
      }]]):format(port, server.port, port, nginx.port),
    }
    assert.are.equal("a page\n", peers.curl({ ("http://127.0.0.1:%d/page"):format(port) }).out)
    assert.matches("s_server", curl("one.example.com", "/").out)
    local client = hellos.connect(port)
    client:send(hellos.make "other.example.com")
    assert.are.equal("\21\3\3\0\2\2\112", (client:receive_all()))
    -- Any other first byte is plain: nginx answers this one.
    client = hellos.connect(port)
    client:send "\128"
    client:send "\r\n\r\n"
    assert.matches("^HTTP/1.1 400", (client:receive_all()))
    m:await_idle()
  end)

  it("does not make servers that speak first wait, on ports of their own", function()
    local target = net.listen()
    local m = moongate.start {
      routes = {
        ["a.lua"] = hellos.routes(port, { { name = "tls", target = target:port() } }),
        ["b.lua"] = [[return { name = "greeter", match = { ports = 0 }, action = {
          handler = function(socket) socket:send "hello\n" end } }]],
      },
    }
    local client = assert(net.connect(m:port "greeter"))
    assert.are.equal("hello", client:receive_line())
  end)

  it("is chosen by the version too, and told to functions", function()
    local old, new = net.listen(), net.listen()
    local m = moongate.start {
      routes = ([[
        local function told(context)
          local text = ("%%s %%s %%s"):format(context.domain, context.tls_version, table.concat(context.alpn, ","))
          moongate.log.info("told", { text = text })
          return text ~= ""
        end
        return {
          { name = "old", match = { ports = %d, domains = "*.example.com", tls_version = "1.2" },
            action = { target = "127.0.0.1:%d", tls = { mode = "passthrough" } } },
          { name = "new", match = { ports = %d, when = told },
            action = { target = "127.0.0.1:%d", tls = { mode = "passthrough" } } },
        }]]):format(port, old:port(), port, new:port()),
    }
    for name, target in pairs { openssl_1_2 = old, openssl_1_3 = new, openssl_no_name = new, chromium = new } do
      local bytes, client = hellos.recorded[name].bytes, hellos.connect(port)
      client:send(bytes)
      local served = assert(target:accept())
      assert.are.equal(bytes, (served:receive(#bytes)))
      client:close()
      served:close()
    end
    m:await_log 'told.-text="a%.example%.com 1%.3 "'
    m:await_log 'text="nil 1%.3 h2,http/1%.1"'
    m:await_log 'text="www%.example%.com 1%.3 h2,http/1%.1"'
  end)

  it("answers a known name that `when` or tls_version turns down with an alert of its own", function()
    local target = net.listen()
    local m = moongate.start {
      routes = hellos.routes(port, {
        {
          name = "none",
          domains = "'a.example.com'",
          match = "when = function() return false end,",
          target = target:port(),
        },
        { name = "old", domains = "'b.example.com'", match = "tls_version = '1.2',", target = target:port() },
      }),
    }
    local client = hellos.connect(port)
    client:send(hellos.recorded.openssl_1_3.bytes)
    assert.are.same({ "\21\3\3\0\2\2\49", "end" }, { client:receive_all() })
    client:close()
    client = hellos.connect(port)
    client:send(hellos.recorded.curl.bytes)
    assert.are.same({ "\21\3\3\0\2\2\70", "end" }, { client:receive_all() })
    client:close()
    m:await_metric('connection_terminations_total{side="client",reason="no_route"}', 2)
  end)

  it("is half dead after a time of its own", function()
    local target = net.listen()
    local m = moongate.start {
      config = "timeouts = { half_dead = { '1h', tls = '500ms' }, shutdown = '2s' },",
      routes = hellos.routes(port, { { name = "tls", target = target:port() } }),
    }
    local client = hellos.connect(port)
    client:send(hellos.recorded.curl.bytes)
    local served = assert(target:accept())
    client:shutdown()
    assert.are.equal(hellos.recorded.curl.bytes, (served:receive_all()))
    m:await_idle()
    assert.are.equal(1, m:metric 'connection_terminations_total{side="target",reason="half_dead"}')
  end)

  it("hands a handler the bytes of the hello", function()
    moongate.start {
      routes = ([[return { name = "raw", match = { ports = %d, domains = "a.example.com" }, action = {
        tls = { mode = "passthrough" },
        handler = function(socket, context)
          local head = socket:receive(5)
          socket:send(("%%s %%s %%d"):format(context.domain, context.tls_version, head:byte(1)))
        end } }]]):format(port),
    }
    local client = hellos.connect(port)
    client:send(hellos.recorded.openssl_1_3.bytes)
    assert.are.equal("a.example.com 1.3 22", (client:receive_all()))
  end)
end)
