-- SPDX-License-Identifier: MIT
--
-- A side that ends, or resets, while the other does not read: what it sent stands in every buffer on the way, and its
-- end behind that. It is acted upon all the same, within a bound, and nothing is left.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"
local resource = require "posix.sys.resource"

local PIECE = ("x"):rep(65536)

-- 1,000 where the kernel has room for what they hold, about 400 KiB each: half of what it gives TCP without pressure.
local MANY = math.min(1000, math.floor(process.read("/proc/sys/net/ipv4/tcp_mem"):match "%d+%s+(%d+)" / 200))

describe("bytes that nobody takes", function()
  setup(function()
    local limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, { rlim_cur = limits.rlim_max, rlim_max = limits.rlim_max })
  end)

  after_each(moongate.finish)

  -- A moongate with one route, and a function that makes a connection through it: the client's end, the target's.
  local function start(options)
    -- Small segments: or the kernel holds megabytes for each.
    local target = net.listen { receive_buffer = 4096, send_buffer = 65536, segment = 536, backlog = 1024 }
    local m = moongate.start {
      workers = options.workers,
      config = ("timeouts = { linger = '1s', shutdown = '1s', %s }, %s"):format(
        options.timeouts or "",
        options.config or ""
      ),
      routes = moongate.front((options.action or "target = '127.0.0.1:%d'"):format(target:port()), nil, options.more),
    }
    return m, function()
      local client = assert(net.connect(m:port "front", { send_buffer = 65536, receive_buffer = 4096, segment = 536 }))
      return { client = client, target = assert(target:accept()) }
    end
  end

  -- Fills everything between the senders of these pairs and the others, who do not read: how much they have sent.
  local function jam(pairs_, sender)
    local total = 0
    local quiet = 0
    repeat
      local moved = 0
      for _, pair in ipairs(pairs_) do
        local ok, _, count = pair[sender]:send(PIECE, 0)
        moved = moved + (ok and #PIECE or count)
      end
      total = total + moved
      quiet = moved == 0 and quiet + 1 or 0
      process.nap(moved == 0 and 0.02 or 0)
    until quiet == 10
    return total
  end

  -- Sends so much that moongate reads no more, and no more than that: all of it has left the sender, and its end can be
  -- seen behind it.
  local function clog(m, pair, sender)
    local passed = ('bytes_total{direction="%s"}'):format(sender == "client" and "in" or "out")
    local sent = 0
    process.wait_for(function()
      local before = m:metric(passed)
      if before > sent - 32768 then
        assert(pair[sender]:send(("x"):rep(16384), 0))
        sent = sent + 16384
        process.nap(0.02)
        return false
      end
      process.nap(0.3)
      return m:metric(passed) == before
    end, 60, "bytes that moongate does not read")
    return sent
  end

  for _, sender in ipairs { "client", "target" } do
    local receiver = sender == "client" and "target" or "client"

    it(("leave nothing of %d connections whose %s resets behind them"):format(MANY, sender), function()
      local m, connect = start { workers = 2, config = 'keep_alive = "immortal",' }
      local before, all = m:fds(), {}
      for i = 1, MANY do
        all[i] = connect()
      end
      jam(all, sender)
      assert.are.equal(MANY, m:metric 'connections_by_state{state="forwarding"}')
      for _, pair in ipairs(all) do
        pair[sender]:reset()
      end
      m:await_idle(20)
      assert.are.equal(MANY, m:metric(('connection_terminations_total{side="%s",reason="reset"}'):format(sender)))
      process.wait_for(function()
        return m:fds() <= before
      end, 20, "the descriptors, those of kernel pipes too")
      assert.are.equal("reset", select(2, all[1][receiver]:receive_all()))
    end)

    it(("are bounded by half_dead where the %s ends behind them, and cut by a reset"):format(sender), function()
      for _, treatment in ipairs { "standard", "immortal" } do
        local m, connect =
          start { timeouts = "half_dead = '1s'", config = ('keep_alive = "%s",'):format(treatment) }
        local pair = connect()
        pair[receiver]:send "x" -- or it would be stuck
        pair[sender]:receive(1)
        clog(m, pair, sender)
        pair[sender]:shutdown()
        m:await_idle(20)
        assert.are.equal(1, m:metric(('connection_terminations_total{side="%s",reason="half_dead"}'):format(receiver)))
        assert.are.equal("reset", select(2, pair[receiver]:receive_all()))
        m:stop()
      end
    end)

    it(("are said to end by whoever asks, where the %s has left behind them"):format(sender), function()
      local m, connect = start { timeouts = "half_dead = '200s'", more = "timeouts = { linger = '100s' }" }
      local pair = connect()
      pair[receiver]:send "x"
      pair[sender]:receive(1)
      clog(m, pair, sender)
      local function expect(reason, limit)
        local row
        process.wait_for(function()
          row = m:live_connections().connections[1]
          return row.deadline.reason == reason
        end, 20, "the bound " .. reason)
        assert.are.same({ sender, "half_dead", limit }, { row.ended, row.class.name, row.class.limit })
        assert.truthy(row.deadline.seconds <= limit)
      end
      pair[sender]:shutdown()
      expect("half_dead", 200)
      pair[sender]:reset()
      expect("reset", 100)
    end)

    it(("all arrive before the reset where the %s resets, and the reader is merely slow"):format(sender), function()
      local m, connect = start {}
      local pair = connect()
      local sent = clog(m, pair, sender)
      pair[sender]:reset()
      local got, since = 0, process.now()
      process.wait_for(function()
        local bytes, how = pair[receiver]:receive(math.ceil(sent / 20), 0)
        got = got + #bytes
        process.nap(how == "whole" and 0.1 or 0)
        return how == "reset"
      end, 60, "the reset")
      assert.truthy(process.now() - since > 1.2, "it took no longer than linger, and so shows nothing")
      assert.are.equal(sent, got)
      m:await_idle()
    end)
  end

  it("are dropped at once with linger = 0", function()
    local m, connect = start { more = "timeouts = { linger = 0 }" }
    local pair = connect()
    jam({ pair }, "client")
    pair.client:reset()
    m:await_idle(20)
    assert.are.equal("reset", select(2, pair.target:receive_all()))
  end)

  describe("in a handler's pipe", function()
    local action = "handler = function(s) local o = moongate.connect('127.0.0.1', %d) "
      .. "local _, why = s:pipe(o) moongate.log.warn('piped', { why = why }) %s end"

    it("end it when the client resets behind them, though they were encrypted", function()
      local server = peers.tls_server "a.test"
      local tls = action:gsub("%%d%)", "%%d, { tls = { verify = false } })")
      local m = moongate.start {
        config = "timeouts = { linger = '1s', shutdown = '1s' },",
        routes = moongate.front(tls:gsub("%%s", ""):format(server.port)),
      }
      local client = assert(net.connect(m:port "front"))
      client:send "GET / HTTP/1.0\r\nX: "
      m:await_metric('bytes_total{direction="in"}', 19)
      process.nap(0.3) -- the handshake
      server.process:signal "SIGSTOP"
      jam({ { client = client } }, "client")
      client:reset()
      m:await_log("piped.*why=closed", 20)
      m:await_idle(20)
      server.process:signal "SIGCONT"
    end)

    for _, sender in ipairs { "client", "target" } do
      local receiver = sender == "client" and "target" or "client"

      it(("end it when the %s resets behind them"):format(sender), function()
        local m, connect = start { action = action:gsub("%%s", "s:close() o:close()") }
        local pair = connect()
        jam({ pair }, sender)
        pair[sender]:reset()
        m:await_log("piped.*why=closed", 20)
        m:await_idle(20)
        assert.are.equal("reset", select(2, pair[receiver]:receive_all()))
      end)

      it(("end it when the %s ends behind them and half_dead passes"):format(sender), function()
        local m, connect = start { action = action:gsub("%%s", ""), timeouts = "half_dead = '1s'" }
        local pair = connect()
        clog(m, pair, sender)
        pair[sender]:shutdown()
        m:await_log("piped.*why=timeout", 20)
        m:await_idle(20)
        assert.are.equal("reset", select(2, pair[receiver]:receive_all()))
      end)
    end
  end)
end)
