-- SPDX-License-Identifier: MIT
--
-- Hellos of real clients in every kind of piece: each has to reach the target of its domain, byte for byte.

local hellos = require "spec.support.hellos"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("a ClientHello in pieces", function()
  local m, port, targets

  before_each(function()
    targets = {}
    for _, name in ipairs { "www.example.com", "a.example.com", "b.example.com", "none" } do
      targets[name] = net.listen { backlog = 512 }
    end
    port = net.free_ports(1)
    m = moongate.start {
      workers = 2,
      routes = hellos.routes(port, {
        { name = "www", domains = "'www.example.com'", target = targets["www.example.com"]:port() },
        { name = "a", domains = "'A.example.com'", target = targets["a.example.com"]:port() },
        { name = "b", domains = "{ 'x.example.org', '*.example.com' }", target = targets["b.example.com"]:port() },
        { name = "rest", target = targets.none:port() },
      }),
    }
  end)

  after_each(moongate.finish)

  -- Connections at once, one for each list of pieces: what is sent to the target of `domain` and back is what it was.
  local function expect_all(domain, lists)
    local clients, longest, wanted = {}, 0, {}
    for i, pieces in ipairs(lists) do
      clients[i] = hellos.connect(port)
      longest = math.max(longest, #pieces)
      wanted[i] = table.concat(pieces)
    end
    for round = 1, longest do
      for i, pieces in ipairs(lists) do
        if pieces[round] then
          assert(clients[i]:send(pieces[round]))
        end
      end
      process.nap(0.002) -- makes the segments, but nothing depends on them
    end
    for i, client in ipairs(clients) do
      assert(client:send(("%06d"):format(i)))
      client:shutdown()
    end
    for _ = 1, #lists do
      local served = assert(targets[domain or "none"]:accept())
      local bytes, how = served:receive_all()
      assert.are.equal("end", how)
      local i = assert(tonumber(bytes:sub(-6)))
      assert.is_true(bytes == wanted[i] .. bytes:sub(-6), "bytes were lost or changed")
      wanted[i] = nil
      served:send(bytes:sub(-6))
      served:close()
    end
    for i, client in ipairs(clients) do
      assert.are.same({ ("%06d"):format(i), "end" }, { client:receive_all() })
      client:close()
    end
  end

  local function expect_cuts(domain, bytes)
    local lists = {}
    for cut = 1, #bytes do
      lists[#lists + 1] = { bytes:sub(1, cut), cut < #bytes and bytes:sub(cut + 1) or nil }
      if #lists == 100 or cut == #bytes then
        expect_all(domain, lists)
        lists = {}
      end
    end
  end

  for name, hello in pairs(hellos.recorded) do
    it(("reaches its target cut at every offset: %s"):format(name), function()
      expect_cuts(hello.domain, hello.bytes)
      m:await_idle()
      assert.are.equal(#hello.bytes * (#hello.bytes + 6), m:metric 'bytes_total{direction="in"}')
    end)

    it(("reaches its target in records of every size: %s"):format(name), function()
      local lists = {}
      for _, size in ipairs { 1, 2, 3, 5, 7, 16, 31, 64, 100, 255, 256, 1000, 16384 } do
        local bytes = hellos.in_records(hello.bytes, size)
        lists[#lists + 1] = { bytes }
        lists[#lists + 1] = { bytes:sub(1, 1), bytes:sub(2, 9), bytes:sub(10) }
      end
      expect_all(hello.domain, lists)
    end)
  end

  it("reaches its target in segments of one byte", function()
    local lists = {}
    for _, name in ipairs { "openssl_1_2", "openssl_1_3" } do
      local bytes, pieces = hellos.recorded[name].bytes, {}
      for i = 1, #bytes do
        pieces[i] = bytes:sub(i, i)
      end
      lists[#lists + 1] = pieces
    end
    expect_all("a.example.com", lists)
  end)

  it("reaches its target when it has 16 or 64 KiB, in large records and in records of one byte", function()
    for _, extra in ipairs { 16000, 65000 } do
      local bytes = hellos.make("a.example.com", extra)
      expect_all("a.example.com", { { bytes }, { bytes:sub(1, 9000), bytes:sub(9001) } })
      local message = bytes:gsub("\22\3\1..", "") -- the filling has no such bytes
      local small = hellos.in_records("xxxxx" .. message, 1)
      expect_all("a.example.com", { { small }, { small:sub(1, 100), small:sub(101, 70000), small:sub(70001) } })
    end
  end)

  it("gives back what came behind it", function()
    local bytes = hellos.recorded.curl.bytes
    local more = ("early data "):rep(50000)
    expect_all("b.example.com", { { bytes .. more }, { bytes:sub(1, 100), bytes:sub(101) .. more } })
  end)
end)
