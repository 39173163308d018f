-- SPDX-License-Identifier: MIT
--
-- A handler that leaves one direction, or a number of bytes of it, to C: pipe with one_way, and with bytes.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local show = [[
  local function show(...)
    local values = {}
    for i = 1, select("#", ...) do values[i] = tostring((select(i, ...))) end
    return table.concat(values, "|")
  end
]]

describe("a handler's pipe of one way", function()
  after_each(moongate.finish)

  -- A moongate whose handler has the client, `socket`, and a target, `other`; the client's end, and the target's. What
  -- it shows is logged.
  local function start(body, options)
    options = options or {}
    local target = net.listen(options.peers or {})
    local handler = "handler = function(socket, context) local other = assert(moongate.connect('127.0.0.1', %d)) %s end"
    local m = moongate.start {
      workers = 1,
      config = options.config,
      routes = show .. moongate.front(handler:format(target:port(), body), nil, options.more),
    }
    local client = assert(net.connect(m:port "front", options.peers))
    return m, client, assert(target:accept())
  end

  local function pattern(size)
    local digits = {}
    for i = 1, math.ceil(size / 8) do
      digits[i] = ("%08d"):format(i)
    end
    return table.concat(digits):sub(1, size)
  end

  -- Sends in the background what is too much for the kernel at once: by and by, in between of what `receive` does.
  local function exchange(from, bytes, to, size)
    local sent, parts, received = 0, {}, 0
    process.wait_for(function()
      local ok, _, count = from:send(bytes:sub(sent + 1, sent + 65536), 0)
      sent = sent + (ok and math.min(65536, #bytes - sent) or count)
      if received < size then
        local part = to:receive(math.min(size - received, 262144), 0)
        parts[#parts + 1] = part
        received = received + #part
      end
      return sent == #bytes and received == size
    end, 60, "the bytes to arrive")
    return table.concat(parts)
  end

  -- Fills all between the two, until nothing has moved for a while: how much was sent.
  local function jam(sender)
    local piece, total, quiet = pattern(65536), 0, 0
    repeat
      local at = total % #piece
      local ok, _, count = sender:send(piece:sub(at + 1), 0)
      count = ok and #piece - at or count
      total = total + count
      quiet = count == 0 and quiet + 1 or 0
      process.nap(count == 0 and 0.02 or 0)
    until quiet == 15 or total > 4e6
    return total
  end

  local narrow = { receive_buffer = 4096, send_buffer = 65536, segment = 536 }

  for way, config in pairs { splice = "", copy = "limits = { splice_pipes = 0 }" } do
    it(("moves exactly so many bytes, and leaves what stands behind them (%s)"):format(way), function()
      local m, client, target = start(
        [[for line in socket:lines() do
            other:send(show(socket:pipe(other, { bytes = tonumber(line) })) .. "\n")
          end]],
        { config = config }
      )
      local total = 0
      for _, size in ipairs { 0, 1, 5, 1000, 65536, 65537, 3000000 } do
        local body = pattern(size)
        local head = ("%d\n"):format(size)
        assert.are.equal(body .. size, exchange(client, head .. body, target, size + #tostring(size)))
        assert.are.equal("", target:receive_line())
        total = total + #head + #body
      end
      -- All at once: what was read ahead goes first.
      client:send "3\nabc10\nABCDEFGHIJ0\n5\nvwxyz"
      assert.are.same({ "abc3", "ABCDEFGHIJ10", "0", "vwxyz5" }, {
        target:receive_line(),
        target:receive_line(),
        target:receive_line(),
        target:receive_line(),
      })
      client:close()
      m:await_idle()
      assert.are.equal(total + 27, m:metric 'bytes_total{direction="in"}')
      assert.are.equal(total + 27, m:metric 'route_bytes_total{route="front",direction="in"}')
    end)

    it(("gives back what it could not pass on (%s)"):format(way), function()
      local m, client, target = start(
        [[socket:settimeout("600ms", "b")
          local _, why, moved = socket:pipe(other, { one_way = true })
          socket:settimeout()
          moongate.log.info(show("moved", moved, why))
          socket:receive(5)
          local _, _, rest = socket:receive(1e7)
          moongate.log.info(show("rest", #rest, rest:sub(-9)))]],
        { config = config, peers = narrow }
      )
      local sent = jam(client)
      local moved = tonumber(m:await_log("moved|%d+|timeout"):match "moved|(%d+)|timeout")
      client:send "the end"
      client:shutdown()
      local at = 65536 + sent % 65536
      local last = pattern(65536):rep(2):sub(at - 1, at) .. "the end"
      m:await_log(("rest|%d|%s"):format(sent - moved - 5 + 7, last))
      assert.are.equal(moved, #target:receive(moved))
    end)
  end

  for source, ends in pairs { ["goes on"] = false, ["has ended"] = true } do
    it("gives back what it could not pass on in front of what was read ahead of a source that " .. source, function()
      local m, client = start(
        [[local filling = ("x"):rep(65536)
          other:settimeout(0.2)
          repeat until not other:send(filling)
          socket:peek(11)
          socket:settimeout("300ms", "b")
          local _, why, moved = socket:pipe(other, { bytes = 5 })
          socket:settimeout()
          moongate.log.info(show("got", moved, why, socket:receive(10)))]],
        { peers = narrow }
      )
      client:send(ends and "0123456789" or "0123456789-")
      if ends then
        client:shutdown()
      end
      m:await_log "got|0|timeout|0123456789"
    end)
  end

  it("ends with its source, and passes no end on", function()
    local m, client, target = start [[
      local moved, err = socket:pipe(other, { one_way = true })
      other:send(show("", moved, err, socket:receive(1)))
      socket:send(other:receive())]]
    client:send "all of it"
    client:shutdown()
    assert.are.equal("all of it|9|nil|nil|closed", target:receive(26))
    target:send "an answer\n"
    assert.are.same({ "an answer", "end" }, { client:receive_all() })
    m:await_idle()
  end)

  it("says how far it came when the source ends before all", function()
    local m, client, target = start "moongate.log.info(show(socket:pipe(other, { bytes = 10 })))"
    client:send "1234567"
    client:shutdown()
    assert.are.same({ "1234567", "end" }, { target:receive_all() })
    m:await_log "nil|closed|7"
  end)

  it("says so when the source resets, behind all that it had sent", function()
    local m, client, target = start [[
      moongate.log.info(show(other:pipe(socket, { one_way = true })))
      moongate.log.info(show("then", other:receive()))
      socket:send "and that was it"]]
    target:send "half a"
    assert.are.equal("half a", client:receive(6))
    target:reset()
    m:await_log "nil|closed|6"
    m:await_log "then|nil|closed"
    assert.are.same({ "and that was it", "end" }, { client:receive_all() })
  end)

  it("ends at once when who gets the bytes is gone, though there are none", function()
    local m, client, target = start [[
      other:send "hello"
      moongate.log.info(show(socket:pipe(other, { one_way = true })))
      socket:send(socket:receive())]]
    assert.are.equal("hello", target:receive(5))
    target:reset()
    m:await_log "nil|closed|0"
    client:send "still here\n"
    assert.are.same({ "still here", "end" }, { client:receive_all() })
  end)

  it("runs both ways in two tasks", function()
    local m, client, target = start [[
      local back = moongate.spawn(function() return other:pipe(socket, { one_way = true }) end)
      local there = socket:pipe(other, { one_way = true })
      other:shutdown "send"
      moongate.log.info(show("both", there, back:join()))]]
    client:send "a question"
    assert.are.equal("a question", target:receive(10))
    target:send "an "
    assert.are.equal("an ", client:receive(3))
    client:send ", more"
    client:shutdown()
    assert.are.same({ ", more", "end" }, { target:receive_all() })
    target:send "answer"
    target:close()
    assert.are.same({ "answer", "end" }, { client:receive_all() })
    m:await_log "both|16|9"
    m:await_idle()
  end)

  it("leaves the other direction to the script", function()
    local m, client, target = start [[
      moongate.spawn(function() other:pipe(socket, { one_way = true }) end)
      for line in socket:lines() do
        other:send((line == "secret" and "no" or line) .. "\n")
      end]]
    for i = 1, 20 do
      client:send(("question %d\nsecret\n"):format(i))
      assert.are.equal(("question %d"):format(i), target:receive_line())
      assert.are.equal("no", target:receive_line())
      target:send(("answer %d\n"):format(i))
      assert.are.equal(("answer %d"):format(i), client:receive_line())
    end
    client:close()
    m:await_idle()
  end)

  it("can be cancelled, and what it held is read on", function()
    local m, client, target = start(
      [[local back = moongate.spawn(function() other:pipe(socket, { one_way = true }) end)
        socket:receive()
        back:cancel()
        local rest = other:receive "*a"
        socket:send("|" .. #rest .. "|" .. rest:sub(-4))]],
      { peers = narrow }
    )
    local sent = jam(target)
    client:send "enough\n"
    m:await_metric('bytes_total{direction="in"}', 7)
    assert(target:send "last")
    target:shutdown()
    local all, how = client:receive_all()
    assert.are.equal("end", how)
    local moved, count, last = all:match "^(.*)|(%d+)|(.*)$"
    assert.are.same({ sent + 4, "last" }, { #moved + tonumber(count), last })
  end)

  for how, body in pairs {
    ["while bytes move"] = [[moongate.spawn(function() socket:pipe(other, { one_way = true }) end)
      other:receive()]],
    ["before all"] = [[moongate.spawn(function() socket:pipe(other, { bytes = 100 }) end)
      other:receive()
      moongate.sleep(0.7)]],
  } do
    it(("that the handler's end cuts short %s resets who got a part"):format(how), function()
      local _, client, target = start(body)
      client:send "a part"
      assert.are.equal("a part", target:receive(6))
      target:send "\n"
      assert.are.equal("reset", select(2, target:receive_all()))
    end)
  end

  it("that the handler's end finds in front of what the client does not take resets the client", function()
    local m, client, target = start(
      [[moongate.spawn(function() other:pipe(socket, { one_way = true }) end)
        socket:receive()]],
      { peers = narrow }
    )
    local sent = jam(target)
    client:send "enough\n"
    m:await_metric('connections{state="handling"}', 0)
    local all, how = client:receive_all()
    assert.are.equal("reset", how)
    assert.truthy(#all < sent)
    m:await_idle()
  end)

  it("that the handler's end finds quiet ends well", function()
    local m, client, target = start [[
      moongate.spawn(function() socket:pipe(other, { one_way = true }) end)
      other:receive()
      moongate.sleep(0.7)]]
    client:send "all"
    assert.are.equal("all", target:receive(3))
    target:send "\n"
    assert.are.same({ "", "end" }, { target:receive_all() })
    m:await_idle()
  end)

  it("that is quiet is cut by nothing when its connection ends", function()
    local m, client, target = start(
      [[moongate.spawn(function() other:pipe(socket, { one_way = true }) end)
        for line in socket:lines() do other:send(line .. "\n") end]],
      { config = "timeouts = { lifetime = '2s' }," }
    )
    client:send "a question\n"
    assert.are.equal("a question", target:receive_line())
    target:send "an answer"
    assert.are.same({ "an answer", "end" }, { client:receive_all() })
    assert.are.same({ "", "end" }, { target:receive_all() })
    m:await_idle()
  end)

  it("tells a TLS that was cut from one that has ended", function()
    local port = net.free_ports(1, "127.0.0.1")
    local routes = [[return {
      { name = "back", match = { ports = %d }, action = { handler = function(socket)
        socket:starttls()
        socket:send "half a mess"
        if socket:receive() == "break" then error "and now it breaks" end
      end } },
      { name = "front", match = { ports = 0 }, action = { handler = function(socket)
        local back = assert(moongate.connect("127.0.0.1", %d, { tls = { verify = false } }))
        back:send(socket:receive() .. "\n")
        moongate.log.info(show("moved", back:pipe(socket, { one_way = true })))
      end } } }]]
    local m = moongate.start { workers = 1, routes = show .. routes:format(port, port) }
    for word, expected in pairs { ["break"] = "moved|nil|%l+|11", finish = "moved|11\"" } do
      local client = assert(net.connect(m:port "front"))
      client:send(word .. "\n")
      assert.are.same({ "half a mess", "end" }, { client:receive_all() })
      m:await_log(expected)
    end
    m:await_idle()
  end)

  it("is bounded by the timeouts of its source", function()
    local m, client, target = start [[
      socket:settimeout(0.3)
      moongate.log.info(show("in all", socket:pipe(other, { bytes = 10 })))
      socket:settimeout(0)
      moongate.log.info(show("at once", socket:pipe(other, { bytes = 10 })))
      socket:settimeout()
      moongate.log.info(show("at last", socket:pipe(other, { bytes = 4 })))]]
    client:send "abc"
    m:await_log "in all|nil|timeout|3"
    m:await_log "at once|nil|timeout|0"
    client:send "defghi"
    assert.are.same({ "abcdefg", "end" }, { target:receive_all() })
    m:await_log "at last|4"
  end)

  for how, words in pairs { reset = { "linger", "closed" }, shutdown = { "half_dead", "timeout" } } do
    it(("is bounded where nobody takes what stands in front of a %s"):format(how), function()
      local m, client = start(
        "moongate.log.info(show('piped', socket:pipe(other, { one_way = true })))",
        { peers = narrow, config = ("timeouts = { %s = '1s' },"):format(words[1]) }
      )
      local passed, sent = 'bytes_total{direction="in"}', 0
      process.wait_for(function() -- more than moongate reads, and no more: all of it has left the client
        local before = m:metric(passed)
        if before > sent - 32768 then
          assert(client:send(("x"):rep(16384), 0))
          sent = sent + 16384
          process.nap(0.02)
          return false
        end
        process.nap(0.3)
        return m:metric(passed) == before
      end, 60, "bytes that moongate does not read")
      client[how](client)
      m:await_log("piped|nil|" .. words[2] .. "|%d+", 30)
      m:await_idle(30)
    end)
  end

  it("is told what it is given wrongly", function()
    local cases = {
      { "socket, { one_way = true }", "bad argument #1 to 'socket:pipe' (another socket than this one" },
      { "other, 5", "bad argument #2 to 'socket:pipe' (a table of options expected, got number)" },
      { "other, { 5 }", "there is no option '[1]'; there are: one_way, bytes" },
      { "other, { oneway = true }", "there is no option 'oneway'; there are: one_way, bytes" },
      { "other, { one_way = 1 }", "one_way = true or false expected, got number" },
      { "other, { bytes = '5' }", "bytes = a whole number from 0 on expected, got string" },
      { "other, { bytes = -1 }", "got -1" },
      { "other, { bytes = 1.5 }", "got 1.5" },
      { "other, { bytes = 0/0 }", "got nan" },
      { "other, { bytes = math.huge }", "got inf" },
      { "other, { bytes = 2^54 }", "bytes = a whole number" },
      { "other, { one_way = false, bytes = 1 }", "one_way = false contradicts" },
    }
    local body = {}
    for _, case in ipairs(cases) do
      body[#body + 1] = ("socket:send(show(pcall(function() socket:pipe(%s) end)) .. '\\n')"):format(case[1])
    end
    local _, client = start(table.concat(body, " "))
    for _, case in ipairs(cases) do
      local line = client:receive_line()
      assert.truthy(line:find("false|", 1, true) and line:find(case[2], 1, true), case[1] .. ": " .. line)
    end
  end)

  it("shares its sockets with nobody in its direction", function()
    local _, client = start [[
      moongate.spawn(function() socket:pipe(other, { one_way = true }) end)
      moongate.sleep(0)
      local function try(f, ...) socket:send(show(pcall(f, ...)) .. "\n") end
      try(socket.receive, socket)
      try(other.send, other, "x")
      try(socket.pipe, socket, other)
      try(socket.pipe, socket, other, { bytes = 1 })
      try(other.shutdown, other, "send")
      try(socket.starttls, socket)
      try(context.forward, context, "127.0.0.1", 1)]]
    for _ = 1, 6 do
      assert.truthy(client:receive_line():find "false|.*socket is busy")
    end
    assert.truthy(client:receive_line():find "can't forward")
  end)

  for ending, words in pairs {
    ["socket:shutdown 'receive'"] = "then|3",
    ["socket:close()"] = "then|nil|closed|3",
    ["other:close()"] = "then|nil|closed|3",
  } do
    it("is ended by " .. ending, function()
      local m, client, target = start(([[
        local moving = moongate.spawn(function() return socket:pipe(other, { one_way = true }) end)
        other:receive()
        %s
        moongate.log.info(show("then", moving:join()))]]):format(ending))
      client:send "abc"
      assert.are.equal("abc", target:receive(3))
      target:send "\n"
      m:await_log(words)
      assert.are.same({ "", "end" }, { target:receive_all() })
      m:await_idle()
    end)
  end

  it("counts what is moved, whatever TLS adds to it", function()
    local port = net.free_ports(1, "127.0.0.1")
    local body = [[
      { name = "back", match = { ports = %d }, action = { handler = function(socket)
        socket:starttls()
        local back = assert(moongate.connect("127.0.0.1", %d))
        for line in socket:lines() do
          moongate.log.info(show("back", socket:pipe(back, { bytes = tonumber(line) })))
        end
        moongate.log.info "the end of TLS"
      end } },
      { name = "front", match = { ports = 0 }, action = { handler = function(socket)
        local there = assert(moongate.connect("127.0.0.1", %d, { tls = { verify = false } }))
        moongate.log.info(show("front", socket:pipe(there, { one_way = true })))
      end } }]]
    local target = net.listen()
    local routes = show .. "return {" .. body:format(port, target:port(), port) .. "}"
    local m = moongate.start { workers = 1, routes = routes }
    local client = assert(net.connect(m:port "front"))
    client:send "5\n"
    local served = assert(target:accept())
    local large = pattern(2000000)
    local rest = "12345" .. "2000000\n" .. large .. "1\nx"
    assert.are.equal("12345" .. large .. "x", exchange(client, rest, served, 2000006))
    client:shutdown()
    for _, line in ipairs { "back|5", "back|2000000", "back|1", ("front|%d"):format(2 + #rest), "the end of TLS" } do
      m:await_log(line)
    end
    m:await_idle()
  end)
end)
