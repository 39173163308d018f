-- SPDX-License-Identifier: MIT
--
-- Stopping in good order: the command, the API and signals; what is idle, and what is in the middle of something.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("draining", function()
  after_each(moongate.finish)

  -- A moongate with one route, and how long stopping may take. Its clock is moved.
  local function start(action, options)
    options = options or {}
    options.routes = moongate.front(action)
    options.clock = true
    options.config = ('timeouts = { shutdown = %q },'):format(options.shutdown or "60s")
    return moongate.start(options)
  end

  local function drain(m, ...)
    return process.start { moongate.binary, "--control", m.control, "drain", ... }
  end

  local function await_draining(m)
    process.wait_for(function()
      return m:get "/readyz" == 503 or not m.process:alive()
    end)
  end

  -- How the command ended, when moongate has ended as well.
  local function finished(m, child)
    local status = child:wait(30)
    m.stopped = true
    assert.are.equal(0, m.process:wait(15))
    return status, child:out(), child:err()
  end

  it("ends at once, with 0, when there is nothing to wait for", function()
    local m = start "handler = moongate.handlers.echo()"
    local status, out = finished(m, drain(m))
    assert.are.equal(0, status)
    assert.matches("^drained: every connection has ended by itself", out)
    assert.is_nil(net.connect_unix(m.control))
  end)

  it("takes nothing new, waits for what runs, and says so", function()
    local m = start "handler = function(s) moongate.sleep(20) s:send('done') end"
    local client = assert(net.connect(m:port "front"))
    m:await_metric('connections_by_state{state="handling"}', 1)
    local port, child = m:port "front", drain(m)
    await_draining(m)
    assert.is_nil(net.connect(port))
    local status = m:status()
    assert.is_true(status.draining)
    assert.is_true(status.drain.seconds > 30 and status.drain.seconds <= 60)
    process.wait_for(function()
      return child:err():find("draining: 1 connection left %(1 handling%), cut in %d+s\n")
    end)
    m:advance(20)
    assert.are.same({ "done", "end" }, { client:receive_all() })
    client:close()
    local code, out = finished(m, child)
    assert.are.equal(0, code)
    assert.matches("^drained", out)
  end)

  it("is what ends a connection that would have had longer", function()
    local m = start("handler = function(s) moongate.sleep(300) end", { shutdown = "30s" })
    local client = assert(net.connect(m:port "front"))
    m:await_metric('connections_by_state{state="handling"}', 1)
    assert.are.equal("idle", m:live_connections().connections[1].deadline.reason)
    local child = drain(m)
    await_draining(m)
    local deadline = m:live_connections().connections[1].deadline
    assert.are.equal("shutdown", deadline.reason)
    assert.is_true(deadline.seconds <= 30)
    local snapshot = moongate.command { "diagnose", "--control", m.control }
    assert.truthy(snapshot.out:find("stopping: what is still open is ended in ", 1, true), snapshot.out)
    client:close()
    m.process:signal "SIGTERM"
    finished(m, child)
  end)

  it("cuts what is left at the time that the command gives, and ends with 1", function()
    local m = start "handler = function(s) moongate.sleep(600) end"
    assert(net.connect(m:port "front"))
    assert(net.connect(m:port "front"))
    m:await_metric('connections_by_state{state="handling"}', 2)
    local child = drain(m, "--timeout", "30s")
    await_draining(m)
    m:advance(28)
    assert.are.equal(2, m:status().connections.active)
    m:advance(2)
    local code, out = finished(m, child)
    assert.are.equal(1, code)
    assert.matches("^stopped: 2 connections had to be cut", out)
    assert.matches("msg=\"stopped\"[^\n]* cut=2", m:log())
  end)

  it("resets the clients of the handlers that it cuts, for what they got is not all", function()
    local m = start "handler = function(s) s:send('half of it') moongate.sleep(600) end"
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("half of it", (client:receive(10)))
    local child = drain(m, "--timeout", "30s")
    await_draining(m)
    m:advance(30)
    assert.are.equal(1, (finished(m, child)))
    assert.are.same({ "", "reset" }, { client:receive_all() })
  end)

  it("can be cut short by a second one, which the first is told as well", function()
    local m = start "handler = function(s) moongate.sleep(600) end"
    assert(net.connect(m:port "front"))
    m:await_metric('connections_by_state{state="handling"}', 1)
    local first = drain(m)
    await_draining(m)
    local second = drain(m, "--timeout", "0", "--json")
    assert.are.equal(1, second:wait(20))
    assert.are.equal(1, cjson.decode(second:out()).cut)
    assert.are.equal(1, (finished(m, first)))
  end)

  it("is ended by a signal at once", function()
    local m = start "handler = function(s) moongate.sleep(600) end"
    assert(net.connect(m:port "front"))
    m:await_metric('connections_by_state{state="handling"}', 1)
    local child = drain(m)
    await_draining(m)
    m.process:signal "SIGTERM"
    assert.are.equal(1, (finished(m, child)))
    assert.matches("stopping at once", m:log())
  end)

  it("by SIGINT waits as well, and a second one ends it at once", function()
    local m = start "handler = function(s) moongate.sleep(600) end"
    assert(net.connect(m:port "front"))
    m:await_metric('connections_by_state{state="handling"}', 1)
    m.process:signal "SIGINT"
    await_draining(m)
    assert.are.equal(1, m:status().connections.active)
    assert.are.equal(0, m:stop "SIGINT")
  end)

  it("is answered over TCP with the token only", function()
    local m = start("handler = moongate.handlers.echo()", { admin = true })
    assert.are.equal(403, (m:request("POST", "/api/v1/drain", { tcp = true })))
    assert.are.equal(400, (m:request("POST", "/api/v1/drain?timeout=soon")))
    assert.are.equal(405, (m:get "/api/v1/drain"))
    local status, body = m:request("POST", "/api/v1/drain?timeout=5s")
    assert.are.equal(200, status)
    assert.are.equal(0, cjson.decode(body).cut)
    m.stopped = true
    assert.are.equal(0, m.process:wait(15))
  end)

  it("says on the command line what is wrong", function()
    local nobody = moongate.command { "--control", "/tmp/moongate-spec-nobody.sock", "drain" }
    assert.are.equal(1, nobody.status)
    assert.matches("no moongate answers", nobody.err)
    local wrong = moongate.command { "drain", "--timeout", "soon" }
    assert.are.equal(2, wrong.status)
    assert.matches("expected a duration", wrong.err)
  end)

  describe("goes by what a connection does:", function()
    -- A moongate that has been told to stop, with one connection.
    local function told(action, prepare)
      local m = start(action)
      local client = assert(net.connect(m:port "front"))
      prepare(m, client)
      m.process:signal "SIGTERM"
      await_draining(m)
      return m, client
    end

    -- With the client, for one that stays has `linger` to read what it was sent.
    local function expect_exit(m, client)
      client:close()
      m.stopped = true
      assert.are.equal(0, m.process:wait(20))
    end

    -- However long it is quiet, it is not taken for idle.
    local function expect_patience(m, client)
      for _ = 1, 5 do
        m:advance(1)
      end
      assert.are.same({ "", "timeout" }, { client:receive(1, 0.1) })
    end

    it("a handler that waits for its client is idle", function()
      local m, client = told("handler = moongate.handlers.echo()", function(m)
        m:await_metric('connections_by_state{state="handling"}', 1)
      end)
      m:advance(2)
      assert.are.same({ "", "end" }, { client:receive_all() })
      expect_exit(m, client)
    end)

    it("a handler that has half a line is not", function()
      local m, client = told("handler = function(s) s:send((s:receive('*l') or '') .. '!') end", function(m, client)
        client:send "half "
        m:await_metric('route_bytes_total{route="front",direction="in"}', 5)
      end)
      expect_patience(m, client)
      client:send "a line\n"
      assert.are.same({ "half a line!", "end" }, { client:receive_all() })
      expect_exit(m, client)
    end)

    it("a handler that waits on another socket is not, nor one that has spawned what does", function()
      local target = net.listen()
      local wait = ("local o = moongate.connect('127.0.0.1', %d) s:send(o:receive(2))"):format(target:port())
      for _, body in ipairs { wait, ("moongate.spawn(function() %s s:close() end) s:receive(1)"):format(wait) } do
        local other
        local m, client = told(("handler = function(s) %s end"):format(body), function()
          other = assert(target:accept())
        end)
        expect_patience(m, client)
        other:send "ok"
        assert.are.same({ "ok", "end" }, { client:receive_all() })
        expect_exit(m, client)
      end
    end)

    it("a function that is asked may answer", function()
      local target = net.listen()
      local action = "target = function() moongate.sleep(6) return '127.0.0.1', %d end"
      local m, client = told(action:format(target:port()), function(m, client)
        client:send "question"
        m:await_metric('connections_by_state{state="connecting"}', 1)
      end)
      expect_patience(m, client)
      m:advance(2)
      local server = assert(target:accept())
      assert.are.equal("question", server:receive(8))
      server:send "answer"
      server:close()
      assert.are.same({ "answer", "end" }, { client:receive_all() })
      expect_exit(m, client)
    end)

    it("a quiet forwarded connection is idle; a client that has ended waits for its answer", function()
      local target = net.listen()
      local action = ("target = '127.0.0.1:%d'"):format(target:port())
      local quiet
      local m, client = told(action, function(m, client)
        quiet = assert(net.connect(m:port "front"))
        client:send "question"
        client:shutdown()
        m:await_metric('connections_by_state{state="forwarding"}', 2)
      end)
      local server, other = assert(target:accept()), assert(target:accept())
      assert.are.same({ "question", "end" }, { server:receive_all() })
      m:advance(2)
      assert.are.same({ "", "end" }, { quiet:receive_all() })
      quiet:close()
      other:close()
      expect_patience(m, client)
      server:send "answer"
      server:close()
      assert.are.same({ "answer", "end" }, { client:receive_all() })
      expect_exit(m, client)
    end)

    it("a reader that is slow gets all of it", function()
      local target = net.listen()
      local m = start(("target = '127.0.0.1:%d'"):format(target:port()))
      local client = assert(net.connect(m:port "front", { receive_buffer = 4096 }))
      local server = assert(target:accept())
      local text = ("x"):rep(1024 * 1024)
      local sent = 0
      process.wait_for(function()
        local ok, _, count = server:send(text:sub(sent + 1), 0)
        sent = sent + (ok and #text - sent or count or 0)
        return sent > 0 and m:metric('route_bytes_total{route="front",direction="out"}') > 0
      end)
      m.process:signal "SIGTERM"
      await_draining(m)
      for _ = 1, 5 do
        m:advance(1)
      end
      assert.are.equal(sent, #client:receive(sent))
      server:close()
      assert.are.same({ "", "end" }, { client:receive_all() })
      expect_exit(m, client)
    end)
  end)
end)
