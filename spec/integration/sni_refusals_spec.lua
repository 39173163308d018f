-- SPDX-License-Identifier: MIT
--
-- What a port with TLS routes answers to those that it has no route for, and to what is no ClientHello: the right
-- bytes, a graceful end, a counted reason, and no effect on others.

local hellos = require "spec.support.hellos"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local function alert(level, description)
  return ("\21\3\3\0\2%s%s"):format(string.char(level), string.char(description))
end

describe("a port with TLS routes only", function()
  local m, port, target

  after_each(moongate.finish)

  local function start(options)
    port = net.free_ports(1)
    target = net.listen()
    options = options or {}
    options.routes = options.routes
      or hellos.routes(port, {
        { name = "a", domains = "{ 'a.example.com', '*.b.example.com' }", target = target:port() },
      })
    m = moongate.start(options)
  end

  local function expect_served()
    local bytes = hellos.recorded.openssl_1_3.bytes
    local client = hellos.connect(port)
    client:send(bytes)
    local served = assert(target:accept())
    assert.are.equal(bytes, (served:receive(#bytes)))
    served:close()
    client:close()
  end

  -- What comes back for `bytes`, up to the end, which has to be one.
  local function ask(bytes)
    local client = hellos.connect(port)
    client:send(bytes)
    local answer, how = client:receive_all()
    client:close()
    assert.are.equal("end", how)
    return answer
  end

  local function terminations(reason)
    return ('connection_terminations_total{side="client",reason="%s"}'):format(reason)
  end

  it("warns a client that names nothing, and counts the alert as sent", function()
    start()
    local bytes = hellos.recorded.openssl_no_name.bytes
    assert.are.equal("\21\3\3\0\2\1\112", ask(bytes))
    m:await_metric(terminations "no_server_name", 1)
    m:await_idle()
    assert.are.equal(7, m:metric 'route_bytes_total{route="(none)",direction="out"}')
    assert.are.equal(7, m:metric 'bytes_total{direction="out"}')
    assert.are.equal(#bytes, m:metric 'bytes_total{direction="in"}')
    assert.are.equal(1, m:metric 'errors_total{type="no_server_name"}')
    expect_served()
  end)

  it("ends with a fatal alert for a name that no route has", function()
    start()
    for i, name in ipairs { "c.example.com", "example.com", "b.example.com", "a.example.com.evil.example" } do
      assert.are.equal("\21\3\3\0\2\2\112", ask(hellos.make(name)))
      m:await_metric(terminations "unknown_server_name", i)
    end
    assert.are.equal(4, m:metric 'errors_total{type="unknown_server_name"}')
    m:await_log "no route has this domain.-domain=c%.example%.com"
    expect_served()
  end)

  it("takes a name in any case, with a trailing dot", function()
    start()
    for _, name in ipairs { "A.Example.COM", "a.example.com.", "X.B.EXAMPLE.com" } do
      local bytes, client = hellos.make(name), hellos.connect(port)
      client:send(bytes)
      local served = assert(target:accept())
      assert.are.equal(bytes, (served:receive(#bytes)))
    end
  end)

  it("ends with the alert of the RFC for what is no hello, or a malformed one", function()
    start()
    local good = hellos.make "a.example.com"
    local message = good:sub(6)
    local cases = {
      { "SSH-2.0-OpenSSH_9.2\r\n", 10 },
      { "\0\0\0\0", 10 },
      { ("\255"):rep(20000), 10 },
      { "\21\3\3\0\2\1\0", 10 },
      { "\128\46\1\0\2\0\21\0\0\0\16", 70 },
      { "\22\3\1\0\0", 10 },
      { "\22\3\1\255\255" .. ("x"):rep(70000), 22 },
      { "\22\2\0\0\1\1", 70 },
      { "\22\3\1\0\4\2\0\0\0", 10 },
      { "\22\3\1\0\4\1\255\255\255", 47 },
      { "\22\3\1\0\4\1\0\0\1", 50 },
      { good:sub(1, 3) .. "\0\6" .. message:sub(1, 6) .. "\21\3\3\0\2\1\0", 10 },
      { good:sub(1, 8) .. string.char(good:byte(9) - 1) .. good:sub(10), 50 },
      { good:sub(1, 9) .. "\3\0" .. good:sub(12), 70 },
      { hellos.make "", 50 },
      { hellos.make "a.exam\0ple.com", 112 },
      { hellos.make(("a"):rep(256)), 112 },
      { hellos.make "a..example.com", 112 },
    }
    for i, case in ipairs(cases) do
      assert.are.equal(alert(2, case[2]), ask(case[1]), "case " .. i)
    end
    m:await_metric(terminations "client_hello", #cases)
    assert.are.equal(#cases, m:metric 'errors_total{type="client_hello"}')
    expect_served()
  end)

  it("takes an address in place of a name for none", function()
    start()
    assert.are.equal(alert(1, 112), ask(hellos.make "192.0.2.1"))
    assert.are.equal(alert(1, 112), ask(hellos.make "2001:db8::1"))
    m:await_metric(terminations "no_server_name", 2)
  end)

  it("tells plain HTTP in HTTP what it is", function()
    start()
    local answer = peers.curl { "-i", "--data-binary", "@" .. m.config_path, ("http://127.0.0.1:%d/"):format(port) }
    assert.are.equal(0, answer.status, answer.err)
    assert.matches("^HTTP/1.1 400 Bad Request\r\n", answer.out)
    assert.matches("\r\n\r\nThis port speaks TLS; the request came without%.\n$", answer.out)
    m:await_metric(terminations "plain_http", 1)
    expect_served()
  end)

  it("gives up on half a hello, and on silence, after timeouts.initial_data", function()
    start { config = "timeouts = { initial_data = '1s', shutdown = '2s', linger = '1s' }," }
    local bytes = hellos.recorded.chromium.bytes
    local clients = { hellos.connect(port), hellos.connect(port), hellos.connect(port), hellos.connect(port) }
    clients[2]:send(bytes:sub(1, 1))
    clients[3]:send(bytes:sub(1, -2))
    clients[4]:send "GE"
    expect_served()
    for _, client in ipairs(clients) do
      assert.are.same({ "", "end" }, { client:receive_all() })
      client:close()
    end
    m:await_metric(terminations "initial_data", 4)
    m:await_idle()
    assert.are.equal(#bytes - 1 + 1 + 2, m:metric 'route_bytes_total{route="(none)",direction="in"}')
  end)

  it("does not wait longer for a hello that drips", function()
    start { config = "timeouts = { initial_data = '1s', shutdown = '2s', linger = '1s' }," }
    local client, bytes = hellos.connect(port), hellos.recorded.chromium.bytes
    local at = 0
    process.wait_for(function()
      at = at + 1
      local sent = client:send(bytes:sub(at, at))
      return not sent or m:metric(terminations "initial_data") == 1
    end, 15, "the end of a hello that drips")
    assert.is_true(at < #bytes)
  end)

  it("leaves nothing behind of clients that go in the middle", function()
    start()
    local before = m:fds()
    local bytes = hellos.recorded.chromium.bytes
    for i = 1, 60 do
      local client = hellos.connect(port)
      client:send(bytes:sub(1, i * 20))
      if i % 2 == 0 then
        client:reset()
      else
        client:close()
      end
    end
    m:await_metric("connections_total", 60)
    m:await_idle()
    m:await_metric(terminations "ended", function(value)
      return value >= 30
    end)
    process.wait_for(function()
      return m:fds() <= before
    end, 30, "the descriptors to be closed")
    expect_served()
  end)

  it("does not hold up the stop with clients that have said nothing", function()
    start { config = "timeouts = { shutdown = '60s' }," }
    hellos.connect(port)
    local half = hellos.connect(port)
    half:send(hellos.recorded.chromium.bytes:sub(1, 300))
    m:await_metric("active_connections", 2)
    assert.are.equal(0, m:stop())
  end)
end)
