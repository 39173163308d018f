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
end)
