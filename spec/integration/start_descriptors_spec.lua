-- SPDX-License-Identifier: MIT
--
-- Started without some of the descriptors 0 to 2, as some supervisors and `cmd <&- >&- 2>&-` do: their numbers must not
-- become those of sockets and pipes of ours, which the log and what scripts print would be written into.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local CLOSED = { [0] = "<&-", ">&-", "2>&-" }

-- It says something on every descriptor that it has.
local ROUTE = [[
print "loaded"
local function greet(socket)
  print "greeting"
  io.stderr:write "greeting\n"
  moongate.log.warn("greeting")
  socket:send "hello\n"
end
return { name = "front", match = { ports = 0 }, action = { handler = greet } }
]]

-- "<&- 2>&-", for the numbers whose bits are set.
local function redirection(bits)
  local words = {}
  for number = 0, 2 do
    if math.floor(bits / 2 ^ number) % 2 == 1 then
      words[#words + 1] = CLOSED[number]
    end
  end
  return table.concat(words, " ")
end

describe("started without standard descriptors", function()
  after_each(moongate.finish)

  for bits = 0, 7 do
    local closed = redirection(bits)
    it(("runs, serves and stops: %s"):format(closed ~= "" and closed or "all are there"), function()
      local m = moongate.start {
        routes = ROUTE,
        within = { "sh", "-c", 'exec "$@" ' .. closed, "sh" },
      }
      for number = 0, 2 do
        local wanted = math.floor(bits / 2 ^ number) % 2 == 1 and "^/$" or "^/dev/null$"
        if number > 0 and wanted == "^/dev/null$" then
          wanted = "^/tmp/"
        end
        local target = lfs.symlinkattributes(("/proc/%d/fd/%d"):format(m.process.pid, number), "target")
        assert.truthy(target and target:find(wanted), ("descriptor %d is %s"):format(number, tostring(target)))
      end
      for _ = 1, 3 do
        local client = assert(net.connect(m:port "front"))
        assert.are.equal("hello\n", client:receive_all())
        client:close()
      end
      m.process:signal "SIGHUP"
      process.wait_for(function()
        return m:get "/readyz" == 200
      end)
      assert.are.equal(0, m:stop())
    end)
  end
end)
