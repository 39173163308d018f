-- SPDX-License-Identifier: MIT
--
-- Bytes: none lost, none wrong, none counted twice. Both ends check all of the content, and /metrics has to equal, to
-- the byte, what the clients sent and received. With MOONGATE_SLOW=1 the large transfers are 1 GiB.

local moongate = require "spec.support.moongate"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local large = os.getenv "MOONGATE_SLOW" and "1g" or moongate.sanitized and "16m" or "64m"

-- How bytes get through: by splice where a direction is bulk, or always copied.
local ways = { splice = "", copy = "limits = { splice_pipes = 0 }" }

for way, config in pairs(ways) do
  describe(("traffic (%s)"):format(way), function()
    after_each(moongate.finish)

    local function start(server)
      return moongate.start { workers = 2, config = config, routes = moongate.front(server.port) }
    end

    -- Sends clients through: all goes well, and everybody has counted the same.
    local function expect_counted(options)
      local server = peers.server()
      local m = start(server)
      options.port = m:port "front"
      local counted = peers.clients(options, 250)
      assert.are.equal(0, counted.failed, counted.errors)
      assert.are.equal(0, counted.wrong)
      m:await_idle()
      local metrics = m:metrics()
      assert.are.equal(counted.sent, metrics['moongate_bytes_total{direction="in"}'])
      assert.are.equal(counted.received, metrics['moongate_bytes_total{direction="out"}'])
      assert.are.equal(counted.sent, metrics['moongate_route_bytes_total{route="front",direction="in"}'])
      assert.are.equal(counted.received, metrics['moongate_route_bytes_total{route="front",direction="out"}'])
      assert.are.equal(counted.connections, metrics["moongate_connections_total"])
      local totals = server.totals()
      assert.are.equal(counted.sent, totals.received)
      assert.are.equal(counted.received, totals.sent)
      assert.are.equal(0, totals.wrong + totals.failed)
    end

    it("of mixed sizes over two workers is counted to the byte", function()
      expect_counted {
        connections = 600,
        parallel = 12,
        kinds = { "exchange", "half" },
        up = { 0, 1, 7, 100, 1460, 4096, 16384, 65535, 65536, 65537, "200k", "1m", 3 },
        down = { 1, 0, 99, 1024, 5000, 65536, "300k", "2m", 12345, 2, 16385 },
      }
    end)

    it("of one large upload and one large download arrives whole", function()
      expect_counted { connections = 1, up = large, down = large }
      expect_counted { connections = 2, parallel = 2, kinds = "half,exchange", up = large, down = 1 }
      expect_counted { connections = 2, parallel = 2, kinds = "half,exchange", up = 1, down = large }
    end)

    it("to slow readers, on either side, arrives whole", function()
      local kinds, sizes = "exchange,half", { "3m", "2m" }
      expect_counted { connections = 4, parallel = 4, kinds = kinds, down = sizes, up = 10, pace = 4000 }
      expect_counted { connections = 4, parallel = 4, kinds = kinds, up = sizes, down = 10, server_pace = 4000 }
    end)

    it("of bulk goes through kernel pipes, or not, as it is told", function()
      local m = start(peers.server())
      local before, most = m.process:pipes(), 0
      local clients = peers.start_clients { port = m:port "front", down = "8m", pace = 65536 }
      process.wait_for(function()
        most = math.max(most, m.process:pipes())
        return not clients.process:alive()
      end, 60, "the client to end")
      assert.are.equal(0, clients.finish().failed)
      assert.are.equal(way == "splice", most > before)
    end)

    it("that goes from small to bulk and back arrives whole", function()
      expect_counted {
        connections = 24,
        parallel = 8,
        kinds = { "exchange", "half" },
        up = { "8m", 100 },
        down = { 100, "8m", "1m" },
        pace = 50000,
        server_pace = 60000,
      }
    end)
  end)
end

describe("every count of bytes", function()
  after_each(moongate.finish)

  it("adds up over the routes", function()
    local server, echo = peers.server(), peers.server "echo"
    local m = moongate.start {
      workers = 2,
      routes = ([[return {
        { name = "one", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "two", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "three", match = { ports = 0 }, action = { handler = moongate.handlers.echo() } },
      }]]):format(server.port, echo.port),
    }
    local function clients(name, kind)
      local up, down = { 1, "90k", 500 }, { "80k", 3 }
      return peers.start_clients {
        port = m:port(name), connections = 30, parallel = 3, kinds = kind, up = up, down = down,
      }
    end
    local runs = { one = clients("one", "exchange"), two = clients("two", "echo"), three = clients("three", "echo") }
    local sent, received = 0, 0
    for name, run in pairs(runs) do
      local counted = run.finish()
      assert.are.equal(0, counted.failed, counted.errors)
      sent, received = sent + counted.sent, received + counted.received
      m:await_metric(('route_bytes_total{route="%s",direction="in"}'):format(name), counted.sent)
      m:await_metric(('route_bytes_total{route="%s",direction="out"}'):format(name), counted.received)
    end
    m:await_idle()
    assert.are.equal(sent, m:metric 'bytes_total{direction="in"}')
    assert.are.equal(received, m:metric 'bytes_total{direction="out"}')
    assert.are.equal(90, m:metric "connections_total")
  end)
end)
