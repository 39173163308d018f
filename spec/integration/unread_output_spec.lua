-- SPDX-License-Identifier: MIT
--
-- What scripts print to a pipe or a terminal that nobody reads is lost and counted, and holds up neither workers, nor
-- the loading of files, nor the end; to one that is read all of it comes.

local fcntl = require "posix.fcntl"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local stdlib = require "posix.stdlib"
local unistd = require "posix.unistd"

local LARGE = 256 * 1024

-- A line that asks for it gets much printed in all the ways that there are, and then an answer.
local ROUTES = ([[
local text = (("x"):rep(63) .. "\n"):rep(%d)
print(text)
local function answer(socket)
  for line in socket:lines() do
    if line == "print" then
      print(text)
      io.write(text, 1, "\n")
      io.stdout:write(text, "\n")
    elseif line == "error" then
      io.stderr:write(text, "\n")
    end
    socket:send(line .. " done\n")
  end
end
return { name = "front", match = { ports = 0 }, action = { handler = answer } }
]]):format(LARGE / 64)

-- $1: a FIFO that is opened for reading and writing, so that opening it waits for nobody.
local UNREAD = [[fifo=$1; shift; exec 9<>"$fifo"; exec "$@" %s>"$fifo"]]

describe("standard output that nobody reads", function()
  after_each(moongate.finish)

  local function start(number)
    local fifo = process.directory() .. "/fifo"
    assert(os.execute("mkfifo " .. fifo) == 0)
    return moongate.start {
      workers = 2,
      routes = ROUTES,
      within = { "sh", "-c", UNREAD:format(number), "sh", fifo },
    }
  end

  it("is no reason to wait: print and io.write drop what is too much, count it and say so", function()
    local m = start "1"
    local clients = {}
    for i = 1, 4 do
      clients[i] = assert(net.connect(m:port "front"))
      assert.are.equal("print done", net.ask(clients[i], "print"))
      assert.are.equal("hello done", net.ask(clients[i], "hello"))
    end
    m:await_metric('output_lost_total{stream="stdout"}', function(value)
      return value >= 12
    end)
    local line = m:await_log "[^\n]*what scripts print is lost[^\n]*"
    assert.truthy(line:find("level=warn", 1, true) and line:find("stream=stdout", 1, true), line)
    assert.are.equal(0, m:metric "stuck_workers")
    for _, client in ipairs(clients) do
      client:close()
    end
    assert.are.equal(0, m:stop())
  end)

  it("is none either when it is standard error, where the log goes as well", function()
    local m = start "2"
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("error done", net.ask(client, "error"))
    assert.are.equal("error done", net.ask(client, "error"))
    assert.is_true(m:metric 'output_lost_total{stream="stderr"}' >= 1)
    m.process:signal "SIGHUP"
    m:await_metric('output_lost_total{stream="log"}', function(value)
      m.process:signal "SIGUSR1"
      return value >= 1
    end)
    client:close()
    assert.are.equal(0, m:stop())
  end)

  it("may be a terminal that was stopped", function()
    local master = assert(stdlib.openpt(fcntl.O_RDWR + fcntl.O_NOCTTY))
    assert(stdlib.grantpt(master) == 0 and stdlib.unlockpt(master) == 0)
    local m = moongate.start {
      routes = ROUTES,
      within = { "sh", "-c", 'tty=$1; shift; exec "$@" >"$tty" 2>&1', "sh", stdlib.ptsname(master) },
    }
    local client = assert(net.connect(m:port "front"))
    for _, word in ipairs { "print", "error", "print" } do
      assert.are.equal(word .. " done", net.ask(client, word))
    end
    m:await_metric('output_lost_total{stream="log"}', function(value)
      m.process:signal "SIGUSR1" -- a line of the log
      return value >= 1
    end)
    client:close()
    assert.are.equal(0, m:stop())
    unistd.close(master)
  end)

  -- How much somebody who reads all the time has got of what was printed, and how many texts moongate has given up.
  local function print_to_reader()
    local directory = process.directory()
    assert(os.execute(("mkfifo %s/fifo"):format(directory)) == 0)
    -- It reads in small pieces, so that the pipe is full again and again.
    local script = [[dir=$1; shift; dd bs=256 < "$dir/fifo" 2> "$dir/dd" | wc -c > "$dir/count" &
      exec "$@" > "$dir/fifo"]]
    local m = moongate.start { routes = ROUTES, within = { "sh", "-c", script, "sh", directory } }
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("print done", net.ask(client, "print"))
    client:close()
    local lost = m:metric 'output_lost_total{stream="stdout"}'
    assert.are.equal(0, m:stop())
    local count = process.wait_for(function()
      return tonumber(process.read(directory .. "/count"))
    end)
    return count, lost
  end

  it("gets all of it when it is read", function()
    local printed = 4 * LARGE + 5 -- once when it was loaded
    local count, lost
    for _ = 1, 20 do -- a reader that is starved for some 20 ms is not waited for, and that is told
      count, lost = print_to_reader()
      if lost == 0 then
        break
      end
      assert.is_true(count < printed)
    end
    assert.are.equal(0, lost)
    assert.are.equal(printed, count)
  end)
end)
