-- SPDX-License-Identifier: MIT
--
-- How a forwarded connection ends: an end is passed on after the last byte, a reset as a reset, and no byte is lost to
-- either, however slow the reader.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local megabyte = 1024 * 1024

describe("the end of a forwarded connection", function()
  after_each(moongate.finish)

  -- A moongate, and one connection through it: both ends.
  local function through(options)
    options = options or {}
    local target = net.listen(options.target)
    local m = moongate.start {
      clock = true,
      config = options.config,
      routes = moongate.front(("target = '127.0.0.1:%d', %s"):format(target:port(), options.action or "")),
    }
    local client = assert(net.connect(m:port "front", options.client))
    return client, assert(target:accept()), m
  end

  local function text(size)
    local line = {}
    for i = 1, math.ceil(size / 16) do
      line[i] = ("%015d\n"):format(i)
    end
    return table.concat(line):sub(1, size)
  end

  -- What `receiver` gets up to its end, and how that came, while `bytes` go out at `sender`, which ends then.
  -- `meanwhile` is called between two pieces.
  local function pump(sender, bytes, receiver, meanwhile)
    local sent, parts, how = 0, {}, nil
    process.wait_for(function()
      if sent < #bytes then
        local piece = bytes:sub(sent + 1, sent + 65536)
        local ok, _, count = sender:send(piece, 0)
        sent = sent + (ok and #piece or count)
        if sent == #bytes then
          sender:shutdown()
        end
      end
      if meanwhile then
        meanwhile()
      end
      repeat
        parts[#parts + 1], how = receiver:receive(65536, 0)
      until how ~= "whole"
      return how ~= "timeout"
    end, 60, "the end")
    return table.concat(parts), how
  end

  it("comes after the answer for a client that ends its side (nc)", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/page", text(300000))
    local m = moongate.start { routes = moongate.front(nginx.port) }
    local input = process.write(m.directory .. "/request", "GET /page HTTP/1.0\r\n\r\n")
    local answer = process.run({ "nc", "-N", "-w", "10", "127.0.0.1", m:port "front" }, { input = input })
    assert.are.equal(0, answer.status, answer.err)
    assert.are.equal(text(300000), answer.out:match "\r\n\r\n(.*)$")
    m:await_idle()
  end)

  it("is passed on when the client ends, and the target may still answer", function()
    local client, served, m = through()
    client:send "question"
    client:shutdown()
    assert.are.same({ "question", "end" }, { served:receive_all() })
    assert.are.same({ "", "timeout" }, { client:receive(1, 0.2) })
    served:send "answer"
    served:close()
    assert.are.same({ "answer", "end" }, { client:receive_all() })
    client:close()
    m:await_metric('connection_terminations_total{side="client",reason="ended"}', 1)
    m:await_idle()
  end)

  it("leaves the target its time to answer from the end on, however quiet it was before", function()
    local client, target, m = through { config = "timeouts = { half_dead = '1m', shutdown = '2s' }," }
    client:send "x"
    assert.are.equal("x", (target:receive(1)))
    m:advance(58)
    client:shutdown()
    assert.are.equal("end", select(2, target:receive_all()))
    m:advance(50)
    target:send "answer"
    target:close()
    assert.are.same({ "answer", "end" }, { client:receive_all() })
  end)

  it("is passed on when the client ends without having sent anything", function()
    local client, served = through()
    client:shutdown()
    assert.are.same({ "", "end" }, { served:receive_all() })
  end)

  -- Sends from one side to the other, a little time in between, until that reads something else than bytes: what.
  local function trickle(m, from, to)
    local how
    process.wait_for(function()
      m:advance(0.2)
      from:send("some more\n", 0)
      repeat
        how = select(2, to:receive(65536, 0.01))
      until how ~= "whole"
      return how ~= "timeout"
    end, 20, "an end")
    return how
  end

  it("is a reset where moongate ends it while bytes move, in either direction", function()
    for _, direction in ipairs { "to the client", "to the target" } do
      local client, served, m = through { config = "timeouts = { lifetime = '5s', shutdown = '2s' }," }
      local from, to = served, client
      if direction == "to the target" then
        from, to = client, served
      end
      assert.are.equal("reset", trickle(m, from, to), direction)
      m:await_metric('connection_terminations_total{side="client",reason="lifetime"}', 1)
      m:await_idle()
    end
  end)

  it("is an end for both where moongate ends what is quiet", function()
    local client, served, m = through { config = "timeouts = { lifetime = '10s', shutdown = '2s' }," }
    client:send "ping"
    assert.are.equal("ping", (served:receive(4)))
    process.wait_for(function() -- what is not acknowledged is in the middle of something
      return not m:live_connections().connections[1].unsent
    end, 10, "the acknowledgement")
    m:advance(10)
    assert.are.same({ "", "end" }, { client:receive_all() })
    assert.are.same({ "", "end" }, { served:receive_all() })
  end)

  it("is a reset for a client that waits for its answer when its moongate stops", function()
    local client, served, m = through { config = "timeouts = { shutdown = '1s' }," }
    client:send "question"
    client:shutdown()
    assert.are.same({ "question", "end" }, { served:receive_all() })
    m:stop()
    assert.are.same({ "", "reset" }, { client:receive_all() })
  end)

  it("closes the client when the target ends, once everything has gone out", function()
    local client, served, m = through()
    local bytes = text(megabyte)
    local got, how = pump(served, bytes, client)
    assert.are.equal(bytes, got)
    assert.are.equal("end", how)
    client:close()
    m:await_idle()
  end)

  it("does not cut an answer of 3 MB although the client's input is not read any more", function()
    local client, served, m = through { client = { receive_buffer = 16384 } }
    local bytes = text(3 * megabyte)
    client:send "the question"
    assert.are.equal("the question", (served:receive(12)))
    local got, how = pump(served, bytes, client, function()
      client:send(("x"):rep(5000), 0) -- what nobody will read
    end)
    assert.are.equal("end", how)
    assert.are.equal(#bytes, #got)
    assert.truthy(bytes == got)
    client:close()
    served:close()
    m:await_idle()
  end)

  it("is a reset for the target when the client resets", function()
    local client, served, m = through()
    client:send "half a"
    assert.are.equal("half a", (served:receive(6)))
    client:reset()
    assert.are.same({ "", "reset" }, { served:receive_all() })
    m:await_metric('connection_terminations_total{side="client",reason="reset"}', 1)
    m:await_idle()
  end)

  it("is a reset for the target also when the client has ended before, and the target is silent", function()
    local client, served, m = through()
    client:send "question"
    client:shutdown()
    assert.are.same({ "question", "end" }, { served:receive_all() })
    client:reset()
    m:await_metric('connection_terminations_total{side="client",reason="reset"}', 1)
    m:await_idle()
    process.wait_for(function()
      return select(2, served:send "too late") == "reset"
    end)
  end)

  it("is a reset for a target that takes its time only when it has all that the client sent before it reset", function()
    local client, served, m = through { target = { receive_buffer = 8192 } }
    local bytes = text(200000)
    assert(client:send(bytes))
    m:await_metric('bytes_total{direction="in"}', #bytes)
    client:reset()
    m:await_metric('connections_by_state{state="closing"}', 1)
    assert.are.same({ bytes, "reset" }, { served:receive_all(30) })
    m:await_metric('connection_terminations_total{side="client",reason="reset"}', 1)
    m:await_idle()
  end)

  it("is a reset for the client when the target resets", function()
    local client, served, m = through()
    served:send "half an"
    assert.are.equal("half an", (client:receive(7)))
    served:reset()
    assert.are.same({ "", "reset" }, { client:receive_all() })
    m:await_metric('connection_terminations_total{side="target",reason="reset"}', 1)
    m:await_idle()
  end)

  it("never looks like an end when the target resets in the middle of an answer", function()
    local client, served = through()
    local bytes = text(500000)
    local sent = 0
    repeat
      local _, _, count = served:send(bytes:sub(sent + 1), 0.2)
      sent = sent + (count or #bytes - sent)
    until count or sent == #bytes
    served:reset()
    local got, how = client:receive_all()
    assert.are.equal("reset", how)
    assert.are.equal(bytes:sub(1, #got), got)
  end)

  it("lets both sides go on alone with half_open", function()
    local client, served, m = through { action = "half_open = true", config = 'keep_alive = "immortal",' }
    served:send "all I had to say"
    served:shutdown()
    assert.are.same({ "all I had to say", "end" }, { client:receive_all() })
    process.wait_for(function()
      local deadline = m:live_connections().connections[1].deadline
      return deadline and deadline.reason == "half_closed" and deadline.seconds > 1700
    end)
    client:send "but I"
    assert.are.equal("but I", (served:receive(5)))
    client:send " go on"
    client:shutdown()
    assert.are.same({ " go on", "end" }, { served:receive_all() })
    client:close()
    served:close()
    m:await_idle()
  end)

  it("waits for a reader that does not read, with bounded memory, and loses nothing", function()
    local client, served, m = through { client = { receive_buffer = 8192 }, target = { send_buffer = 65536 } }
    local before = m:rss()
    local chunk = text(65536)
    local sent = 0
    while true do
      local ok, _, count = served:send(chunk, 0.5)
      sent = sent + (ok and #chunk or count)
      if not ok then
        break
      end
      assert.truthy(sent < 64 * megabyte, "there is no backpressure")
    end
    if not moongate.sanitized then
      assert.truthy(m:rss() - before < 4 * megabyte, "it buffers without a bound")
    end
    served:shutdown()
    local got, how = client:receive_all(30)
    assert.are.equal("end", how)
    assert.are.equal(sent, #got)
    for at = 0, sent - 1, #chunk do
      assert.truthy(got:sub(at + 1, at + #chunk) == chunk:sub(1, math.min(#chunk, sent - at)), "wrong bytes")
    end
    client:close()
    m:await_idle()
  end)

  it("waits for a reader that takes longer than half_dead, but goes on taking", function()
    local target = net.listen()
    local m = moongate.start {
      clock = true,
      routes = moongate.front(
        ("target = '127.0.0.1:%d'"):format(target:port()),
        "",
        "timeouts = { half_dead = '10s' }"
      ),
    }
    local bytes, sent, received, how = text(6 * megabyte), 0, 0, nil
    local client = assert(net.connect(m:port "front", { receive_buffer = 65536 }))
    client:shutdown()
    local served = assert(target:accept())
    process.wait_for(function()
      if sent < #bytes then
        local piece = bytes:sub(sent + 1, sent + 262144)
        local ok, _, count = served:send(piece, 0)
        sent = sent + (ok and #piece or count)
        if sent == #bytes then
          served:close()
        end
      end
      local got
      got, how = client:receive(65536, 0)
      received = received + #got
      if #got > 0 then
        m:advance(1)
      end
      return how == "end" or how == "reset"
    end, 60, "the end")
    assert.are.same({ #bytes, "end" }, { received, how })
  end)

  it("does not hold up other connections of the worker while a reader does not read", function()
    local target = net.listen()
    local m = moongate.start { workers = 1, routes = moongate.front(target:port()) }
    local slow = net.connect(m:port "front", { receive_buffer = 8192 })
    local source = target:accept()
    source:send(("x"):rep(8 * megabyte), 0.5)
    local client = net.connect(m:port "front")
    client:send "ping"
    local served = target:accept(2)
    assert.are.equal("ping", (served:receive(4, 2)))
    slow:close()
  end)
end)
