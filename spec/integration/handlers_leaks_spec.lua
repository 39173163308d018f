-- SPDX-License-Identifier: MIT
--
-- Many short handler connections, and many whose handler is cancelled where it waits, in one way or another: afterwards
-- Lua's memory, the process's, and descriptors are back where they were. MOONGATE_SLOW=1 makes it 100,000 and 10,000.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local slow = os.getenv "MOONGATE_SLOW"
local short, cut = slow and 100000 or 4000, slow and 10000 or 800
local patience = slow and 600 or 120

describe("after thousands of handlers", function()
  after_each(moongate.finish)

  it("Lua's memory and the descriptors are back", function()
    local silent, server = net.listen(), peers.server "echo"
    local m = moongate.start {
      config = "timeouts = { linger = '1s', shutdown = '2s' }",
      routes = ([[
        local silent, echo = %d, %d
        local ways = {
          function(socket) socket:receive(100) end,
          function(socket) socket:receiveuntil "never" (7) end,
          function(socket) socket:send(("x"):rep(8000000)) end,
          function(socket) moongate.sleep(1000) end,
          function(socket) socket:starttls() end,
          function(socket) moongate.connect("127.0.0.1", silent, { tls = { verify = false } }) end,
          function(socket) socket:pipe(assert(moongate.connect("127.0.0.1", echo))) end,
          function(socket)
            local other = assert(moongate.connect("127.0.0.1", echo))
            moongate.spawn(function() other:pipe(socket, { one_way = true }) end)
            socket:pipe(other, { bytes = 8000000 })
          end,
          function(socket)
            for _ = 1, 3 do moongate.spawn(function() moongate.sleep(1000) end) end
            coroutine.wrap(function() socket:peek(1000) end)()
          end,
        }
        local n = 0
        return {
          { name = "short", match = { ports = 0 }, action = { handler = function(socket)
            local bytes = socket:receiveany(4096)
            if bytes then socket:send(bytes) socket:receive "*a" end
          end } },
          { name = "cut", match = { ports = 0 }, timeouts = { idle = "500ms" }, action = { handler = function(socket)
            n = n + 1
            ways[n %% #ways + 1](socket)
          end } },
          { name = "memory", match = { ports = 0 }, action = { handler = function(socket)
            -- Each collection halves the table of strings once, however few are left.
            for _ = 1, 16 do collectgarbage() moongate.sleep(0.002) end
            socket:send(("%%d"):format(collectgarbage "count" * 1024))
          end } },
        }]]):format(silent:port(), server.port),
    }

    local function dose(scale)
      local runs = {
        peers.start_clients {
          port = m:port "short",
          connections = math.floor(short * scale),
          parallel = 8,
          kinds = "echo",
          up = 100,
        },
        peers.start_clients {
          port = m:port "cut",
          connections = math.floor(cut * scale),
          parallel = 16,
          kinds = "leave,reset",
        },
      }
      local counted = runs[1].finish(patience)
      assert.are.equal(0, counted.failed, counted.errors)
      runs[2].finish(patience)
      m:await_idle(60)
    end

    local function lua_memory()
      local bytes = tonumber((assert(net.connect(m:port "memory")):receive_all()))
      m:await_idle()
      return bytes
    end

    dose(0.25) -- what is made once is made now
    local fds, rss, memory = m:fds(), m:rss(), lua_memory()
    dose(1)
    local after = lua_memory()
    assert.truthy(after - memory < 64 * 1024, ("Lua held %d bytes, and now %d"):format(memory, after))
    process.wait_for(function()
      return m:fds() <= fds
    end, 20, ("%d descriptors to become %d again"):format(m:fds(), fds))
    if not moongate.sanitized then
      assert.truthy(m:rss() - rss < 8 * 1024 * 1024, ("%d KiB more than before"):format((m:rss() - rss) / 1024))
    end
    print(("# %d short, %d cut: Lua %d -> %d bytes, rss %d -> %d KiB, descriptors %d -> %d"):format(
      short, cut, memory, after, rss / 1024, m:rss() / 1024, fds, m:fds()
    ))
  end)
end)
