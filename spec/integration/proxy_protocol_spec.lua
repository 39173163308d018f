-- SPDX-License-Identifier: MIT
--
-- PROXY headers from peers that are trusted and from others, and towards targets. Loopback is who is trusted, or not.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

local V2 = "\r\n\r\n\0\r\nQUIT\n"

local function v2(command, family, body)
  return V2 .. string.char(command, family, math.floor(#body / 256), #body % 256) .. body
end

local ADDRESSES = "\192\0\2\7\198\51\100\1\4\210\1\187" -- 192.0.2.7:1234 to 198.51.100.1:443

describe("the PROXY protocol", function()
  after_each(moongate.finish)

  -- A handler that says who the client is, and then echoes.
  local WHO = [[handler = function(socket, context)
    local proxy = context.proxy
    socket:send(("%s %d %s %s\n"):format(context.client_ip, context.client_port, proxy and proxy.ip or "-",
      proxy and proxy.tlvs[0xEA] or "-"))
    for line in socket:lines() do socket:send(line .. "\n") end
  end]]

  local function start(accept, trusted, action, timeout)
    return moongate.start {
      config = ("proxy_protocol = { trusted = { %s }, accept = %s, timeout = %q },"):format(
        trusted or '"127.0.0.0/8"',
        accept or '"auto"',
        timeout or "10s"
      ),
      routes = moongate.front(action or WHO),
    }
  end

  local function say(m, bytes)
    local client = assert(net.connect(m:port "front"))
    client:send(bytes)
    return client
  end

  it("makes a trusted peer's client the one that is seen, and leaves what follows alone", function()
    local m = start()
    local client = say(m, "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nhello\n")
    assert.are.equal("192.0.2.7 56324 127.0.0.1 -", client:receive_line())
    assert.are.equal("hello", client:receive_line())
    client:close()
    client = say(m, "PROXY TCP6 2001:db8::1 ::1 1 2\r\n")
    assert.are.equal("2001:db8::1 1 127.0.0.1 -", client:receive_line())
    client:close()
    client = say(m, v2(0x21, 0x11, ADDRESSES .. "\234\0\5\1vpce") .. "more\n")
    assert.are.equal("192.0.2.7 1234 127.0.0.1 \1vpce", client:receive_line())
    assert.are.equal("more", client:receive_line())
    client:close()
    m:await_idle()
    assert.are.equal(#"hello\n" + #"more\n", m:metric 'bytes_total{direction="in"}')
  end)

  it("is read byte by byte too", function()
    local m = start()
    for _, header in ipairs { "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", v2(0x21, 0x11, ADDRESSES) } do
      local client = assert(net.connect(m:port "front"))
      for i = 1, #header do
        client:send(header:sub(i, i))
      end
      assert.truthy(client:receive_line():find "^192%.0%.2%.7 ")
      client:close()
    end
  end)

  it("takes LOCAL and UNKNOWN as the peer's own connections", function()
    local m = start "true"
    for _, header in ipairs { "PROXY UNKNOWN\r\n", v2(0x20, 0, ""), v2(0x20, 0x11, ADDRESSES) } do
      local client = say(m, header)
      assert.truthy(client:receive_line():find "^127%.0%.0%.1 ", header)
      client:close()
    end
  end)

  it("takes a header of a family that is none of ours, and leaves the addresses aside", function()
    local m = start "true"
    for _, family in ipairs { 0x00, 0x41, 0x12 } do
      local client = say(m, v2(0x21, family, ADDRESSES) .. "more\n")
      assert.truthy(client:receive_line():find "^127%.0%.0%.1 ", family)
      assert.are.equal("more", client:receive_line())
      client:close()
    end
  end)

  it("takes a trusted peer that leaves without a byte for a check, not for somebody to refuse", function()
    local m = start "true"
    for i = 1, 6 do
      local client = assert(net.connect(m:port "front"))
      if i % 2 == 0 then
        client:shutdown()
        assert.are.equal("end", select(2, client:receive_all()))
        client:close()
      else
        client:reset()
      end
    end
    m:await_metric('connection_terminations_total{side="client",reason="probe"}', 6)
    assert.are.equal(0, m:metric 'errors_total{type="proxy_header"}')
    assert.falsy(m:log():find("a peer was refused", 1, true))
    m:stop()
    m = start(nil, nil, nil, "10s")
    local client = assert(net.connect(m:port "front"))
    client:reset()
    m:await_metric('connection_terminations_total{side="client",reason="probe"}', 1)
    client = assert(net.connect(m:port "front"))
    client:shutdown() -- such as `nc` with nothing to say
    assert.truthy(client:receive_line():find "^127%.0%.0%.1 ")
  end)

  it("goes without a header that a trusted peer need not send", function()
    local m = start()
    local client = say(m, "GET /\n")
    assert.truthy(client:receive_line():find "^127%.0%.0%.1 %d+ %-")
    assert.are.equal("GET /", client:receive_line())
    client:close()
    m:stop()
    m = start(nil, nil, nil, "50ms")
    client = assert(net.connect(m:port "front"))
    assert.truthy(client:receive_line():find "^127%.0%.0%.1 ")
  end)

  it("refuses what is malformed, cut short, late, or missing where it must be, and nobody else", function()
    local m = start(nil, nil, nil, "300ms")
    local held = say(m, "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n")
    assert.truthy(held:receive_line())
    local wrong = {
      "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
      "PROXY UNKNOWN " .. ("x"):rep(94),
      "PROXY TCP4 192",
      v2(0x31, 0x11, ADDRESSES),
      v2(0x21, 0x11, ADDRESSES:sub(1, 11)),
      v2(0x21, 0x11, ADDRESSES .. "\234\0\9x"),
      v2(0x21, 0x11, ADDRESSES .. "\3\0\4\0\0\0\0"),
      (v2(0x21, 0x11, ADDRESSES):sub(1, 20)),
      V2 .. "\33\17\255\255",
    }
    for _, bytes in ipairs(wrong) do
      local client = say(m, bytes)
      local got, how = client:receive_all()
      assert.are.equal("", got)
      assert.are_not.equal("timeout", how)
      client:close()
    end
    m:await_metric('connection_terminations_total{side="client",reason="proxy_header"}', #wrong)
    m:await_metric('errors_total{type="proxy_header"}', #wrong)
    m:await_log 'peer was refused[^\n]*peer=127%.0%.0%.1'
    held:send "still\n"
    assert.are.equal("still", held:receive_line())
    m:stop()
    m = start("true", nil, nil, "100ms")
    for _, bytes in ipairs { "GET / HTTP/1.1\r\n\r\n", "" } do
      local client = say(m, bytes)
      assert.are.equal("", (client:receive_all()))
      client:close()
    end
    m:await_metric('connection_terminations_total{side="client",reason="proxy_header"}', 2)
  end)

  it("says of each kind of refusal what was wrong, and of which connection", function()
    local m = start("true", nil, nil, "300ms")
    local client
    for _, case in ipairs {
      { "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", "a malformed PROXY header" },
      { "PROXY UNKNOWN " .. ("x"):rep(94), "a PROXY header that is too long" },
      { v2(0x21, 0x11, ADDRESSES .. "\3\0\4\0\0\0\0"), "a PROXY header whose checksum is wrong" },
      { "GET / HTTP/1.1\r\n", "something else where a PROXY header must be" },
      { "", "no PROXY header, where one must be" },
      { "PROXY TCP4 192", "a PROXY header that was not whole in time" },
      { "PROXY TCP4 192", "a PROXY header that was cut short: the peer has ended", true },
    } do
      client = say(m, case[1])
      if case[3] then
        client:shutdown()
      end
      client:receive_all()
      client:close()
      m:await_log(('peer was refused" error="%s"[^\n]* connection=%%d+%%-%%d+'):format(case[2]))
    end
  end)

  it("is refused from a stranger as soon as it is seen, who is served at once otherwise", function()
    local m = start(nil, '"192.0.2.0/24"')
    for _, header in ipairs { "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", v2(0x21, 0x11, ADDRESSES) } do
      local client = assert(net.connect(m:port "front"))
      assert.truthy(client:receive_line():find "^127%.0%.0%.1 ")
      client:send(header:sub(1, 3))
      client:send(header:sub(4) .. "and more\n")
      local _, how = client:receive_all()
      assert.are_not.equal("timeout", how)
      client:close()
    end
    local client = say(m, "PROVE\r\nPROXY TCP4\r\n")
    assert.truthy(client:receive_line())
    assert.are.equal("PROVE", client:receive_line())
    assert.are.equal("PROXY TCP4", client:receive_line())
    client:close()
    m:await_metric('connection_terminations_total{side="client",reason="proxy_header"}', 2)
  end)

  it("is an error of its own to a handler, whose bytes then go nowhere", function()
    local handler = [[handler = function(socket)
      local got, why = socket:receive "*l"
      moongate.log.info("heard", { got = tostring(got), why = why })
      local sent
      sent, why = socket:send "a secret\n"
      moongate.log.info("said", { sent = tostring(sent), why = why })
      sent, why = socket:starttls()
      moongate.log.info("encrypted", { sent = tostring(sent), why = why })
    end]]
    local m = start(nil, '"192.0.2.0/24"', handler)
    for _, header in ipairs { "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", v2(0x21, 0x11, ADDRESSES) } do
      local client = say(m, header .. "and more\n")
      assert.are.same({ "", "reset" }, { client:receive_all() })
      client:close()
    end
    m:await_metric('connection_terminations_total{side="client",reason="proxy_header"}', 2)
    for _, line in ipairs { '"heard" got', '"said" sent' } do
      m:await_log(line .. '=nil why="PROXY header refused"')
    end
    m:await_log '"encrypted" sent=nil'
    assert.are.equal(0, m:metric 'bytes_total{direction="out"}')
  end)

  it("leaves bytes alone where nobody is trusted, or accept is false", function()
    for _, case in ipairs { { nil, "" }, { "false", nil } } do
      local m = start(case[1], case[2])
      local client = say(m, "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n")
      assert.truthy(client:receive_line():find "^127%.0%.0%.1 ")
      assert.are.equal("PROXY TCP4 192.0.2.7 198.51.100.1 1 2", client:receive_line())
      m:stop()
    end
  end)

  it("goes to targets as the route says, with the client and what it had connected to", function()
    local target = net.listen()
    local m = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, send = true },',
      routes = ([[return {
        { name = "one", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "two", match = { ports = 0 }, action = { target = "127.0.0.1:%d",
          send_proxy_protocol = { version = 2, tlvs = { [0xEA] = "\1vpce" } } } },
        { name = "none", match = { ports = 0 }, action = { target = "127.0.0.1:%d", send_proxy_protocol = false } },
      }]]):format(target:port(), target:port(), target:port()),
    }
    local header = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
    local client = net.connect(m:port "one")
    client:send(header .. "x")
    local accepted = target:accept()
    assert.are.equal(header .. "x", (accepted:receive(#header + 1)))
    accepted:close()
    client:close()
    client = net.connect(m:port "two")
    client:send "PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\nx"
    accepted = target:accept()
    local expected = v2(0x21, 0x11, ADDRESSES .. "\234\0\5\1vpce") .. "x"
    assert.are.equal(expected, (accepted:receive(#expected)))
    accepted:close()
    client:close()
    client = net.connect(m:port "none")
    client:send "plain"
    accepted = target:accept()
    assert.are.equal("plain", (accepted:receive(5)))
    accepted:close()
    client:close()
    m:await_idle()
    assert.are.equal(#"xx" + #"plain", m:metric 'bytes_total{direction="in"}')
  end)

  -- A target that is connected to, and what came: the header's bytes and TLVs, with what follows it.
  local function read_v2(target)
    local accepted = target:accept()
    local head = accepted:receive(16)
    assert.are.equal(V2, head:sub(1, 12))
    local length = head:byte(15) * 256 + head:byte(16)
    local body, tlvs = accepted:receive(length), {}
    local at = ({ [0x11] = 12, [0x21] = 36, [0] = 0 })[head:byte(14)] + 1
    while at <= #body do
      local size = body:byte(at + 1) * 256 + body:byte(at + 2)
      assert.is_nil(tlvs[body:byte(at)], "a TLV twice")
      tlvs[body:byte(at)] = body:sub(at + 3, at + 2 + size)
      at = at + 3 + size
    end
    return { command = head:byte(13), family = head:byte(14), body = body, tlvs = tlvs, rest = accepted }
  end

  it("tells a target the name that a TLS client asks for, unless the route says another", function()
    local hellos = require "spec.support.hellos"
    local target, hello = net.listen(), hellos.recorded.openssl_1_3.bytes
    local m = moongate.start {
      routes = ([[
        local function pass(name, send)
          return { name = name, match = { ports = 0 },
            action = { target = "127.0.0.1:%d", tls = { mode = "passthrough" }, send_proxy_protocol = send } }
        end
        return { pass("known", 2), pass("said", { version = 2, tlvs = { [2] = "other.example", [0xEA] = "x" } }) }
      ]]):format(target:port()),
    }
    local client = net.connect(m:port "known")
    client:send(hello)
    local got = read_v2(target)
    assert.are.same({ [2] = "a.example.com" }, got.tlvs)
    assert.are.equal(hello, (got.rest:receive(#hello)))
    client = net.connect(m:port "said")
    client:send(hello)
    assert.are.same({ [2] = "other.example", [0xEA] = "x" }, read_v2(target).tlvs)
    client = net.connect(m:port "known")
    client:send(hellos.recorded.openssl_no_name.bytes)
    assert.are.same({}, read_v2(target).tlvs)
  end)

  it("passes on what a hop has said of the client's TLS, and its id, and nothing else of it", function()
    local target = net.listen()
    local m = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, send = 2, timeout = "10s" },',
      routes = moongate.front(target:port()),
    }
    local ssl = "\1\0\0\0\0\33\0\7TLSv1.3"
    local tlvs = "\1\0\2h2" .. "\2\0\5a.exa" .. "\32\0" .. string.char(#ssl) .. ssl .. "\5\0\2id" .. "\234\0\1v"
    say(m, v2(0x21, 0x11, ADDRESSES .. tlvs) .. "x")
    local got = read_v2(target)
    assert.are.same({ [1] = "h2", [2] = "a.exa", [32] = ssl, [5] = "id" }, got.tlvs)
    assert.are.equal(ADDRESSES, got.body:sub(1, 12))
    assert.are.equal("x", (got.rest:receive(1)))
  end)

  it("passes the id on with TLS too, unless the route says another", function()
    local hellos = require "spec.support.hellos"
    local target, hello = net.listen(), hellos.recorded.openssl_1_3.bytes
    local m = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, timeout = "10s" },',
      routes = ([[
        local function pass(name, send)
          return { name = name, match = { ports = 0 },
            action = { target = "127.0.0.1:%d", tls = { mode = "passthrough" }, send_proxy_protocol = send } }
        end
        return { pass("theirs", 2), pass("ours", { version = 2, tlvs = { [5] = "own" } }) }
      ]]):format(target:port()),
    }
    for name, id in pairs { theirs = "id", ours = "own" } do
      local client = net.connect(m:port(name))
      client:send(v2(0x21, 0x11, ADDRESSES .. "\5\0\2id" .. "\1\0\2h2") .. hello)
      assert.are.same({ [2] = "a.example.com", [5] = id }, read_v2(target).tlvs)
    end
  end)

  it("goes to unix sockets, from handlers that forward, and to where a target function says", function()
    local directory = require("spec.support.process").directory()
    local path = directory .. "/target"
    local target, tcp = net.listen_unix(path), net.listen()
    local m = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, timeout = "10s" },',
      routes = ([[
        local function to(name, action)
          action.send_proxy_protocol = 2
          return { name = name, match = { ports = 0 }, action = action }
        end
        return {
          to("unix", { target = "unix:%s" }),
          to("forward", { handler = function(socket, context)
            assert(socket:receive(1) == "x")
            context:forward("127.0.0.1:%d")
          end }),
          to("asked", { target = function(context) return "127.0.0.1", %d end }),
        }]]):format(path, tcp:port(), tcp:port()),
    }
    for name, listener in pairs { unix = target, forward = tcp, asked = tcp } do
      local client = net.connect(m:port(name))
      client:send(v2(0x21, 0x11, ADDRESSES) .. "xy")
      local got = read_v2(listener)
      assert.are.same({ 0x21, 0x11, ADDRESSES }, { got.command, got.family, got.body }, name)
      assert.are.equal("y", (got.rest:receive(name == "forward" and 1 or 2)):sub(-1), name)
      client:close()
      got.rest:close()
    end
    m:await_idle()
  end)

  it("does not wait for the client's first byte, for targets that speak first", function()
    local target = net.listen()
    local m = moongate.start {
      routes = moongate.front(("target = '127.0.0.1:%d', send_proxy_protocol = true"):format(target:port())),
    }
    local client = assert(net.connect(m:port "front"))
    local accepted = target:accept()
    assert.truthy(accepted:receive_line():find("^PROXY TCP4 127%.0%.0%.1 127%.0%.0%.1 %d+ " .. m:port "front" .. "$"))
    accepted:send "welcome\n"
    assert.are.equal("welcome", (client:receive_line()))
  end)

  it("is counted apart, both ways, and in no client's bytes", function()
    local target = net.listen()
    local m = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, send = true },',
      routes = moongate.front(target:port()),
    }
    local header = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
    local client = say(m, header .. "12345")
    local accepted = target:accept()
    assert.are.equal(header .. "12345", (accepted:receive(#header + 5)))
    m:await_metric('bytes_total{direction="in"}', 5)
    assert.are.equal(#header, m:metric 'overhead_bytes_total{kind="proxy_header",direction="in"}')
    assert.are.equal(#header, m:metric 'overhead_bytes_total{kind="proxy_header",direction="out"}')
    client:close()
    accepted:close()
    m:await_idle()
    assert.are.equal(5, m:metric 'route_bytes_total{route="front",direction="in"}')
    assert.are.equal(0, m:metric 'route_bytes_total{route="(none)",direction="in"}')
  end)

  it("gives the address that routes are chosen by, and that logs and the API tell", function()
    local port = net.free_ports(1)
    local m = moongate.start {
      config = 'proxy_protocol = { trusted = { "127.0.0.1" }, timeout = "10s" },',
      routes = ([[return {
        { name = "inner", match = { ports = %d, client_ip = "10.0.0.0/8" }, action = { %s } },
        { name = "when", match = { ports = %d, when = function(context)
          return context.proxy and context.proxy.tlvs[0xEA] == "\1vpce" end }, action = { %s } },
        { name = "rest", match = { ports = %d }, action = { %s }, security = { ip_block = "203.0.113.0/24" } },
      }]]):format(port, WHO, port, WHO, port, WHO),
    }
    for header, route in pairs {
      ["PROXY TCP4 10.1.2.3 198.51.100.1 7 443\r\n"] = "inner",
      [v2(0x21, 0x11, ADDRESSES .. "\234\0\5\1vpce")] = "when",
      [v2(0x21, 0x11, ADDRESSES)] = "rest",
    } do
      local client = assert(net.connect(port))
      client:send(header)
      assert(client:receive_line())
      assert.are.equal(1, m:live_connections({ route = route }).total, route)
      if route == "inner" then
        assert.are.equal("10.1.2.3", m:live_connections({ client = "10.0.0.0/8" }).connections[1].client_ip)
        assert.are.equal(7, m:live_connections({ client = "10.0.0.0/8" }).connections[1].client_port)
      end
    end
    local client = assert(net.connect(port))
    client:send "PROXY TCP4 203.0.113.9 198.51.100.1 7 443\r\n"
    assert.are.equal("reset", select(2, client:receive_all()))
    m:await_log "client was refused[^\n]*client=203%.0%.113%.9"
  end)
end)
