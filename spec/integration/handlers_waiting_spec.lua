-- SPDX-License-Identifier: MIT
--
-- What a handler may wait for, beside its own socket, while nothing else waits with it: connect, sleep, spawn, pipe,
-- forward.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

describe("a handler", function()
  after_each(moongate.finish)

  local function start(body)
    local action = ("handler = function(socket, context) %s end"):format(body)
    return moongate.start { workers = 1, routes = moongate.front(action) }
  end

  it("connects to others and talks to them", function()
    local target = net.listen()
    local m = start(([[
      local other = assert(moongate.connect("127.0.0.1", %d))
      other:send("for " .. socket:receive() .. "\n")
      socket:send(other:receive() .. "\n")
      other:close()
    ]]):format(target:port()))
    local client = net.connect(m:port "front")
    client:send "me\n"
    local served = target:accept()
    assert.are.equal("for me", served:receive_line())
    served:send "here you are\n"
    assert.are.same({ "here you are\n", "end" }, { client:receive_all() })
    assert.are.same({ "", "end" }, { served:receive_all() })
  end)

  it("is told why connecting failed", function()
    local m = start(([[
      for _, place in ipairs { { "127.0.0.1", %d }, { "nowhere.invalid", 80 }, { "127.0.0.1", %d } } do
        local other, err = moongate.connect(place[1], place[2], { timeout = 1 })
        socket:send(tostring(other) .. " " .. type(err) .. " " .. tostring(err) .. "\n")
      end
    ]]):format(net.refusing_port(), net.blackhole()))
    local client = net.connect(m:port "front")
    assert.truthy(client:receive_line():find "^nil string .*refused")
    assert.truthy(client:receive_line():find "^nil string ")
    assert.are.equal("nil string timeout", client:receive_line())
  end)

  it("sleeps while others of its worker go on", function()
    local m = start [[
      local name = socket:receive()
      if name == "slow" then moongate.sleep(1) end
      socket:send(name)
    ]]
    local slow, began = net.connect(m:port "front"), process.now()
    slow:send "slow\n"
    for _ = 1, 20 do
      local quick = net.connect(m:port "front")
      quick:send "quick\n"
      assert.are.same({ "quick", "end" }, { quick:receive_all(5) })
      quick:close()
    end
    assert.are.same({ "slow", "end" }, { slow:receive_all() })
    assert.truthy(process.now() - began >= 0.95)
  end)

  it("spawns what runs beside it, with arguments", function()
    local m = start [[
      moongate.spawn(function(word, number)
        moongate.sleep(0.05)
        socket:send(word .. number .. "\n")
      end, "spawned", 7)
      socket:send "first\n"
      socket:receive()
    ]]
    local client = net.connect(m:port "front")
    assert.are.equal("first", client:receive_line())
    assert.are.equal("spawned7", client:receive_line())
  end)

  it("survives the end of what it spawned, by an error too", function()
    local m = start [[
      moongate.spawn(function() error "spawned trouble" end)
      moongate.sleep(0.05)
      socket:send "fine"
    ]]
    assert.are.same({ "fine", "end" }, { net.connect(m:port "front"):receive_all() })
    m:await_log "spawned trouble"
  end)

  it("pipes two sockets until both end, and learns the bytes each way", function()
    local target = net.listen()
    local m = start(([[
      local hello = socket:receive()
      local other = assert(moongate.connect("127.0.0.1", %d))
      other:send("[" .. hello .. "]")
      local out, back = socket:pipe(other)
      moongate.log.info("piped " .. tostring(out) .. " and " .. tostring(back) .. " bytes")
    ]]):format(target:port()))
    local client = net.connect(m:port "front")
    client:send "hello\nread ahead,"
    local served = target:accept()
    client:send " and more"
    client:shutdown()
    assert.are.same({ "[hello]read ahead, and more", "end" }, { served:receive_all() })
    served:send "an answer"
    served:close()
    assert.are.same({ "an answer", "end" }, { client:receive_all() })
    m:await_log "piped 20 and 9 bytes"
    client:close()
    m:await_idle()
  end)

  it("forwards to a target, with all that it has read ahead", function()
    local server = peers.server "echo"
    local m = start(([[
      local name = socket:receive()
      local ahead = socket:peek(5)
      context:forward("127.0.0.1:%d")
      error "forward returned"
    ]]):format(server.port))
    local client = net.connect(m:port "front")
    client:send "name\nahead of"
    client:send " its time"
    client:shutdown()
    assert.are.same({ "ahead of its time", "end" }, { client:receive_all() })
    client:close()
    m:await_idle()
    assert.are.equal(0, m:metric 'handler_errors_total{route="front"}')
    assert.are.equal(#"name\nahead of its time", m:metric 'bytes_total{direction="in"}')
    assert.are.equal(#"ahead of its time", m:metric 'bytes_total{direction="out"}')
  end)

  it("forwards large traffic to a target", function()
    local server = peers.server()
    local m = start(([[context:forward("127.0.0.1:%d")]]):format(server.port))
    local counted = peers.clients {
      port = m:port "front",
      connections = 8,
      parallel = 2,
      kinds = { "exchange", "half" },
      up = { "2m", 1 },
      down = { 1, "4m", "4m" },
    }
    assert.are.equal(0, counted.failed, counted.errors)
    m:await_idle()
    assert.are.equal(counted.sent, m:metric 'bytes_total{direction="in"}')
    assert.are.equal(counted.received, m:metric 'bytes_total{direction="out"}')
  end)

  it("ends the connection when what it forwards to refuses", function()
    local m = start(([[context:forward("127.0.0.1:%d")]]):format(net.refusing_port()))
    local bytes, how = net.connect(m:port "front"):receive_all()
    assert.are.equal("", bytes)
    assert.are_not.equal("timeout", how)
    m:await_metric('connection_terminations_total{side="target",reason="refused"}', 1)
    m:await_idle()
  end)

  it("leaves no descriptor behind, however it ends", function()
    local server = peers.server "echo"
    local m = start(([[
      local other = assert(moongate.connect("127.0.0.1", %d))
      local what = socket:receive()
      if what == "error" then error "as told" end
      if what == "wait" then other:settimeout(0.1) other:receive(1) end
      if what == "lose" then other = nil end
      socket:send "done"
    ]]):format(server.port))
    local warm = net.connect(m:port "front")
    warm:send "return\n"
    warm:receive_all()
    warm:close()
    m:await_idle()
    local before = m:fds()
    for _ = 1, 50 do
      for _, what in ipairs { "error", "wait", "lose", "return" } do
        local client = net.connect(m:port "front")
        client:send(what .. "\n")
        if what == "wait" then
          client:reset()
        else
          client:receive_all()
          client:close()
        end
      end
    end
    m:await_metric("connections_total", 201)
    m:await_idle()
    process.wait_for(function()
      return m:fds() <= before + 8
    end, 30, "descriptors to be closed")
  end)

  it("can't wait in a coroutine that was resumed where C calls Lua, and nothing of that stays behind", function()
    local m = start [[
      local task = moongate.spawn(function() moongate.sleep(60) end)
      local function within(wait)
        local fine, err
        local _ = ("x"):gsub("x", function() fine, err = pcall(coroutine.wrap(wait)) end)
        for _ = 1, 3 do collectgarbage() end
        local filled = {}
        for i = 1, 2000 do filled[i] = ("A"):rep(i) end
        socket:send(tostring(fine) .. " " .. tostring(err) .. "\n")
      end
      within(function() task:join() end)
      within(function() moongate.connect("nowhere.invalid", 80) end)
      within(function() moongate.resolve "nowhere-else.invalid" end) -- of the first there may be an answer by now
      within(function() coroutine.wrap(function() moongate.sleep(0.01) end)() end)
      within(function() context:forward("127.0.0.1", 1) end)
      moongate.sleep(0.01)
      socket:send "still here\n"
    ]]
    local client = net.connect(m:port "front")
    for _ = 1, 5 do
      local line = client:receive_line()
      assert.truthy(line:find "^false [^\n]*routes%.lua:%d+: can't wait here: the coroutine", line)
    end
    assert.are.same({ "still here\n", "end" }, { client:receive_all() })
  end)
end)
