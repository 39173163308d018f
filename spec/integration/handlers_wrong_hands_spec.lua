-- SPDX-License-Identifier: MIT
--
-- Sockets in wrong hands: after their end, in two tasks at once, in another connection's handler, in a coroutine that
-- outlives it, and after the version of their file has gone. Each is an answer or an error with the caller's line, and
-- the worker goes on.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("a socket", function()
  after_each(moongate.finish)

  local function start(body)
    return moongate.start {
      routes = ([[
local kept
local function show(...)
  local values = {}
  for i = 1, select("#", ...) do values[i] = tostring((select(i, ...))) end
  return table.concat(values, "|") .. "\n"
end
local function handler(socket, context)
  %s
end
return { name = "front", match = { ports = 0 }, action = { handler = handler } }]]):format(body),
    }
  end

  local function ask(m)
    return (assert(net.connect(m:port "front")):receive_all())
  end

  it("of another connection raises, with the line of who tries", function()
    local m = start [[
  if not kept then
    kept = socket
    socket:send "kept\n"
    socket:receive()
    return
  end
  socket:send(show(pcall(function() kept:send "not yours" end)))
  for _, name in ipairs { "receive", "peek", "close", "settimeout", "getpeername", "starttls", "tls", "getstats" } do
    assert(not pcall(kept[name], kept), name)
  end
  socket:send(show(pcall(socket.pipe, socket, kept)))
  error "seen"]]
    local first = assert(net.connect(m:port "front"))
    assert.are.equal("kept", first:receive_line())
    local answer = ask(m)
    assert.truthy(answer:find "routes.lua:14: this socket belongs to another connection", answer)
    m:await_log "error=.-seen"
    first:send "go\n"
    assert.are.equal("", (first:receive_all()))
  end)

  it("answers 'closed' once its connection has gone, whoever has kept it", function()
    local m = start [[
  local before = kept
  kept = socket
  if before then
    socket:send(show(before:receive()) .. show(before:send "x") .. show(before:close()) .. show(before:getpeername())
      .. show(before:starttls()) .. show(before:setoption("keepalive", true)) .. show(before:receiveuntil "x"())
      .. tostring(before))
  end]]
    ask(m)
    m:await_idle()
    local closed = "nil|closed\n"
    local wanted = "nil|closed|\nnil|closed|0\n" .. closed:rep(4) .. "nil|closed|\nsocket (closed)"
    assert.are.equal(wanted, ask(m))
  end)

  it("that two tasks read at once, or write, raises in the second", function()
    local server = net.listen()
    local m = start(([[
  moongate.spawn(function() socket:receive() end)
  moongate.sleep(0)
  local reading = show(pcall(function() socket:receive() end))
  local peer = assert(moongate.connect("127.0.0.1", %d))
  moongate.spawn(function() socket:send(("x"):rep(50000000)) end)
  moongate.sleep(0)
  moongate.log.warn("both", { reading = reading, sending = show(pcall(function() socket:send "y" end)),
    tls = show(pcall(socket.starttls, socket)), pipe = show(pcall(socket.pipe, socket, peer)) })]]):format(
      server:port()
    ))
    local client = assert(net.connect(m:port "front"))
    local line = m:await_log '[^\n]*msg="both"[^\n]*'
    assert.truthy(line:find 'reading="false|[^"]-routes.lua:%d+: the socket is busy: another task is reading from it')
    assert.truthy(line:find 'sending="false|[^"]-routes.lua:%d+: the socket is busy: another task is sending on it')
    assert.truthy(line:find 'tls="false|the socket is busy', line)
    client:close()
  end)

  it("works on in a handler whose file has another version, or none, by now", function()
    local m = start [[
  socket:send "old\n"
  local line = socket:receive()
  local peer = assert(moongate.connect("127.0.0.1", tonumber(line)))
  socket:send(peer:receive() .. "\n")
  peer:close()
  socket:send(show(peer:receive()))]]
    local server = net.listen()
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("old", client:receive_line())
    m:delete "routes.lua"
    m:reload()
    collectgarbage()
    client:send(server:port() .. "\n")
    local accepted = assert(server:accept(10))
    accepted:send "still here\n"
    assert.are.equal("still here", client:receive_line())
    assert.are.equal("nil|closed|\n", (client:receive_all()))
  end)

  it("may be waited for in a coroutine of one's own, and is not read by one that is left behind", function()
    local m = start [[
  local reader = coroutine.wrap(function() while true do coroutine.yield(socket:receive()) end end)
  socket:send(show(reader(), reader()))
  local left = coroutine.create(function() socket:receive() end)
  socket:settimeout(0.1)
  socket:send(show(coroutine.resume(left)))
  socket:send(show(socket:receive()))]]
    local client = assert(net.connect(m:port "front"))
    client:send "one\ntwo\n"
    assert.are.equal("one|two\ntrue\nnil|timeout|\n", (client:receive_all()))
  end)
end)
