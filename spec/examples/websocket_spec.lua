-- SPDX-License-Identifier: MIT
--
-- examples/websocket.lua: WebSockets that outlive every idle time, through TLS that is not opened. Days pass in
-- milliseconds.

local testing = require "moongate.testing"

describe("the example of WebSockets", function()
  local back, m

  -- RFC 6455, the key and its answer that stand there as an example.
  local KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

  -- A WebSocket server over TLS, which sends each text back: masked frames of fewer than 126 bytes.
  local function serve(socket)
    assert(socket:starttls({})) -- with a certificate of its own making
    local key
    for line in socket:lines() do
      key = line:match "^Sec%-WebSocket%-Key: (.+)$" or key
      if line == "" then
        break
      end
    end
    assert(key == KEY, "another key than the specification's")
    socket:send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      .. "Sec-WebSocket-Accept: " .. ACCEPT .. "\r\n\r\n")
    while true do
      local head = socket:receive(2)
      if not head then
        return
      end
      local size = head:byte(2) - 128
      local mask, text = socket:receive(4), socket:receive(size)
      local plain = text:gsub("()(.)", function(at, byte)
        return string.char(bit.bxor(byte:byte(), mask:byte((at - 1) % 4 + 1)))
      end)
      socket:send(string.char(0x81, size) .. plain)
    end
  end

  before_each(function()
    back = testing.start({
      routes = { { name = "server", match = { ports = 1 }, action = { handler = serve } } },
      config = { timeouts = { idle = 0, lifetime = 0 } },
    })
    local routes = {}
    for index, route in ipairs(testing.load "examples/websocket.lua") do
      routes[index] = route
      route.action.target = "127.0.0.1:" .. back:port "server"
    end
    m = testing.start({ routes = routes })
  end)

  after_each(function()
    m:stop()
    back:stop()
  end)

  local function open(name)
    local socket = m:connect(8443)
    socket:settimeout(10)
    assert(socket:starttls({ server_name = name, verify = false }))
    socket:send(("GET /feed HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"):format(name, KEY))
    assert.equal("HTTP/1.1 101 Switching Protocols", socket:receive "*l")
    repeat
      local line = assert(socket:receive "*l")
    until line == ""
    return socket
  end

  local function expect_echo(socket, text)
    socket:send(string.char(0x81, 128 + #text) .. "\0\0\0\0" .. text)
    assert.equal(string.char(0x81, #text) .. text, socket:receive(2 + #text))
    moongate.sleep(0.1) -- the kernel keeps to real time: what was said is acknowledged a little later
  end

  local function ended(reason)
    return m:metrics()[('moongate_connection_terminations_total{side="client",reason="%s"}'):format(reason)]
  end

  it("keeps an immortal one for as long as both want it", function()
    local socket = open "live.example"
    expect_echo(socket, "hello")
    testing.clock.advance "40d"
    expect_echo(socket, "still there")
    assert.equal(1, m:connections())
  end)

  it("keeps an extended one six times as long, and says so before it ends", function()
    local socket = open "chat.example"
    expect_echo(socket, "hello")
    testing.clock.advance "358m"
    assert.equal(1, m:connections())
    testing.clock.advance "3m"
    assert.equal(1, ended "idle")
    assert.matches("a kept connection is going to be ended", table.concat(m:log(), "\n"))
  end)

  it("keeps the one of a function as it says for this client", function()
    local socket = open "devices.example"
    expect_echo(socket, "hello")
    testing.clock.advance "19m"
    assert.equal(1, m:connections())
    testing.clock.advance "2m"
    assert.equal(1, ended "idle")
  end)
end)
