-- SPDX-License-Identifier: MIT
--
-- Where a connection goes: one target or several, TCP or unix, names, functions, real servers.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

describe("a route's target", function()
  after_each(moongate.finish)

  local function start(action, options)
    options = options or {}
    options.workers = options.workers or 2
    options.routes = moongate.front(action)
    return moongate.start(options)
  end

  -- Makes `count` connections, one after the other: how many came to each listener.
  local function spread(m, count, listeners)
    local came = {}
    for i = 1, #listeners do
      came[i] = 0
    end
    for _ = 1, count do
      local client = assert(net.connect(m:port "front"))
      client:send "x"
      process.wait_for(function()
        for i, listener in ipairs(listeners) do
          local served = listener:accept(0.002)
          if served then
            came[i] = came[i] + 1
            served:close()
            return true
          end
        end
      end, 10, "a target to be connected to")
      client:close()
    end
    return came
  end

  local function expect_through(m, target)
    local client = assert(net.connect(m:port "front"))
    client:send "ping"
    local served = assert(target:accept())
    assert.are.equal("ping", (served:receive(4)))
    served:send "pong"
    assert.are.equal("pong", (client:receive(4)))
  end

  it("may be nginx, for curl", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/page", "a page\n")
    assert(os.execute(("head -c 10000000 /dev/urandom > %s/html/large"):format(nginx.directory)) == 0)
    local m = start(("target = '127.0.0.1:%d'"):format(nginx.port))
    local url = ("http://127.0.0.1:%d/"):format(m:port "front")
    assert.are.equal("a page\n", peers.curl({ url .. "page" }).out)
    local answer = peers.curl { "-o", m.directory .. "/large", url .. "large", url .. "page" }
    assert.are.equal(0, answer.status, answer.err)
    assert.are.equal(0, os.execute(("cmp -s %s/large %s/html/large"):format(m.directory, nginx.directory)))
  end)

  it("may be haproxy, and moongate may stand before moongate", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/page", "a page\n")
    local haproxy = peers.haproxy(nginx.port)
    local inner = start(("target = '127.0.0.1:%d'"):format(haproxy.port))
    local outer = start(("target = '127.0.0.1:%d'"):format(inner:port "front"))
    local answer = peers.curl { ("http://127.0.0.1:%d/page"):format(outer:port "front") }
    assert.are.equal("a page\n", answer.out, answer.err)
  end)

  it("may be a unix socket", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/page", "a page\n")
    local m = start(("target = 'unix:%s'"):format(nginx.path))
    assert.are.equal("a page\n", peers.curl({ ("http://127.0.0.1:%d/page"):format(m:port "front") }).out)
  end)

  it("may be a name", function()
    local target = net.listen()
    expect_through(start(("target = 'localhost:%d'"):format(target:port())), target)
  end)

  it("may be an IPv6 address", function()
    local target = net.listen { host = "::1" }
    expect_through(start(("target = '[::1]:%d'"):format(target:port())), target)
  end)

  it("may be a table of host and port", function()
    local target = net.listen()
    expect_through(start(("target = { host = '127.0.0.1', port = %d }"):format(target:port())), target)
  end)

  it("keeps the port that the client came in on with port = 'preserve'", function()
    local port = net.free_ports(1)
    local target = net.listen { host = "127.0.0.2", port = port }
    local action = "target = { host = '127.0.0.2', port = 'preserve' }"
    local m = moongate.start { routes = moongate.front(action, ("ports = %d, address = '127.0.0.1'"):format(port)) }
    expect_through(m, target)
  end)

  it("may be several, which take turns evenly over all workers", function()
    local listeners = { net.listen(), net.listen(), net.listen() }
    local ports = { listeners[1]:port(), listeners[2]:port(), listeners[3]:port() }
    local targets = "targets = { '127.0.0.1:%d', { host = '127.0.0.1', port = %d }, '127.0.0.1:%d' }"
    local m = start(targets:format(unpack(ports)))
    assert.are.same({ 6, 6, 6 }, spread(m, 18, listeners))
  end)

  it("gets connections as often as its weight says", function()
    local listeners = { net.listen(), net.listen() }
    local targets = "targets = { { host = '127.0.0.1', port = %d, weight = 3 }, { host = '127.0.0.1', port = %d } }"
    local m = start(targets:format(listeners[1]:port(), listeners[2]:port()))
    assert.are.same({ 12, 4 }, spread(m, 16, listeners))
  end)

  it("is passed over for the next one when it refuses", function()
    local target = net.listen()
    local m = start(("targets = { '127.0.0.1:%d', '127.0.0.1:%d' }"):format(net.refusing_port(), target:port()))
    assert.are.same({ 8 }, spread(m, 8, { target }))
    assert.are.equal(1, m:metric 'errors_total{type="connect_refused"}') -- then it is tried last for a while
  end)

  it("may be a function of the context, which may wait", function()
    local target = net.listen()
    local m = start(([[target = function(context)
      moongate.sleep(0.05)
      assert(context.client_ip == "127.0.0.1" and context.client_port > 0 and context.route == "front")
      return "127.0.0.1", %d
    end]]):format(target:port()))
    for _ = 1, 3 do
      expect_through(m, target)
    end
  end)

  it("may be a function that returns a target in any of its forms", function()
    local target = net.listen()
    for _, form in ipairs { "'127.0.0.1:%d'", "{ host = '127.0.0.1', port = %d }" } do
      local m = start(("target = function() return " .. form .. " end"):format(target:port()))
      expect_through(m, target)
      assert.are.equal(0, m:stop())
    end
  end)

  it("may have a host function and a port function", function()
    local target = net.listen()
    local m = start(([[target = {
      host = function(context) return context.client_ip end,
      port = function(context) moongate.sleep(0.01) return context.port - context.port + %d end,
    }]]):format(target:port()))
    expect_through(m, target)
  end)

  it("keeps what the client sent while a function thinks, and its end", function()
    local target = net.listen()
    local m = start(([[target = function() moongate.sleep(0.3) return "127.0.0.1", %d end]]):format(target:port()))
    local client = net.connect(m:port "front")
    client:send "early"
    client:shutdown()
    local served = assert(target:accept())
    assert.are.same({ "early", "end" }, { served:receive_all() })
    served:send "late"
    served:close()
    assert.are.same({ "late", "end" }, { client:receive_all() })
  end)

  it("that is a function which fails costs that connection only, with a traceback", function()
    local target = net.listen()
    local m = start(([[target = function(context)
      if not failed then failed = true; error "out of ideas" end
      return "127.0.0.1", %d
    end]]):format(target:port()), { workers = 1 })
    assert.are.equal("", (net.connect(m:port "front"):receive_all()))
    m:await_log "out of ideas"
    m:await_log "stack traceback"
    assert.are.equal(1, m:metric 'handler_errors_total{route="front"}')
    expect_through(m, target)
  end)

  it("that is a function which answers nonsense costs that connection only", function()
    local shown = {
      ["'127.0.0.1:1\\0x'"] = [["\"127.0.0.1:1\" and a NUL behind it"]],
      [""] = "nothing", ["nil"] = "nil", ["{}"] = '"a table"', ["'127.0.0.1', 99999"] = [["\"127.0.0.1\", 99999"]],
    }
    local host_alone, port_alone, lists = "{ host = '127.0.0.1' }", "{ port = 80 }", "{ host = { 'a' }, port = 80 }"
    for _, answer in ipairs {
      "", "nil", "{}", "'', 80", "'127.0.0.1', 99999", "'127.0.0.1'", "'127.0.0.1:1\\0x'", host_alone, port_alone,
      lists,
    } do
      local m = start(("target = function() return %s end"):format(answer))
      local client = net.connect(m:port "front")
      local bytes, how = client:receive_all()
      assert.are.equal("", bytes)
      assert.are_not.equal("timeout", how, answer)
      m:await_idle()
      if shown[answer] then
        local line = m:await_log "[^\n]*action%.target [^\n]*"
        for _, part in ipairs { "route=front", "file=routes.lua", "client=127.0.0.1", "returned=" .. shown[answer] } do
          assert.truthy(line:find(part, 1, true), part .. " is not in " .. line)
        end
        assert.are.equal(1, m:metric 'handler_errors_total{route="front"}')
      end
      assert.are.equal(0, m:stop())
    end
  end)
end)
