-- SPDX-License-Identifier: MIT
--
-- moongate.after, every and spawn: what runs without a connection, what runs beside one, and how each ends.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("moongate", function()
  after_each(moongate.finish)

  -- Answers each line with the entry of the dictionary "seen" of that name.
  local LOOK = [[
    return { name = "look", match = { ports = 0 }, action = { handler = function(socket)
      for line in socket:lines() do socket:send(tostring(moongate.shared "seen":get(line)) .. "\n") end
    end } }
  ]]

  local function start(text, options)
    options = options or {}
    options.routes = { ["a.lua"] = text, ["look.lua"] = LOOK }
    local m = moongate.start(options)
    local client = net.connect(m:port "look")
    local function seen(key)
      client:send(key .. "\n")
      return client:receive_line()
    end
    local function await(key, wanted)
      local fine = pcall(process.wait_for, function()
        return seen(key) == wanted
      end)
      assert.is_true(fine, ("%s is %s, not %s\n%s"):format(key, seen(key), wanted, m:log()))
    end
    return m, seen, await
  end

  local NO_ROUTES = "\nreturn {}"

  it("runs a timer made at load in every worker, and once where that is asked for", function()
    local _, seen, await = start([[
      local seen = moongate.shared "seen"
      moongate.after(0.01, function(by) seen:incr("each", by, 0) end, 3)
      moongate.every("10ms", function() seen:set("once " .. moongate.worker.number, 1) end, { once = true })
    ]] .. NO_ROUTES, { workers = 3 })
    await("each", "9")
    await("once 1", "1")
    assert.are.equal("nil", seen "once 2")
    assert.are.equal("nil", seen "once 3")
  end)

  it("repeats, never beside itself, until it is cancelled", function()
    local _, seen, await = start([[
      local seen = moongate.shared "seen"
      local running, timer = 0
      timer = moongate.every(0.001, function()
        running = running + 1
        if running > 1 then seen:set("overlap", 1) end
        moongate.sleep(0.005)
        running = running - 1
        if seen:incr("runs", 1, 0) == 5 then seen:set("was set", timer:cancel()) end
      end)
      moongate.after(0.3, function() seen:set("later", seen:get "runs") end)
    ]] .. NO_ROUTES)
    await("later", "5")
    assert.are.equal("nil", seen "overlap")
    assert.are.equal("true", seen "was set")
  end)

  it("ends the timers of a replaced version, those that wait too, and begins the new one's", function()
    local version = [[
      local seen = moongate.shared "seen"
      moongate.every(0.005, function() seen:incr("ticks of %d", 1, 0) end)
      moongate.after(0, function() seen:set("waits", %d) moongate.sleep(1.5) seen:set("survived %d", 1) end)
      return {}
    ]]
    local m, seen, await = start(version:format(1, 1, 1))
    await("waits", "1")
    m:write("a.lua", version:format(2, 2, 2))
    await("waits", "2")
    local ticks = seen "ticks of 1"
    await("survived 2", "1")
    assert.are.equal(ticks, seen "ticks of 1")
    assert.are.equal("nil", seen "survived 1")
    m:delete "a.lua"
    m:await_generation(3)
    ticks = seen "ticks of 2"
    moongate.command { "version" }
    assert.are.equal(ticks, seen "ticks of 2")
  end)

  it("counts and logs what a timer's function raises, and goes on", function()
    local m, seen = start([[
      local seen = moongate.shared "seen"
      moongate.every(0.005, function()
        if seen:incr("tries", 1, 0) < 4 then error "timer trouble" end
      end)
    ]] .. NO_ROUTES)
    process.wait_for(function()
      return tonumber(seen "tries") and tonumber(seen "tries") >= 6
    end)
    assert.are.equal(3, m:metric 'handler_errors_total{route="(none)"}')
    assert.are.equal(3, m:metric 'errors_total{type="handler"}')
    local line = m:await_log "[^\n]*timer trouble[^\n]*"
    assert.truthy(line:find("file=a.lua", 1, true))
    assert.truthy(line:find("traceback", 1, true))
  end)

  it("bounds the timers of a file, and makes them in handlers for the file's version", function()
    local m, _, await = start([[
      local seen = moongate.shared "seen"
      return { name = "a", match = { ports = 0 }, action = { handler = function(socket)
        local timers = {}
        for i = 1, 4 do
          local timer, err = moongate.after(i == 1 and 0.05 or 60, function() seen:set("outlived", 1) end)
          socket:send(tostring(timer and "timer" or err) .. "\n")
          timers[i] = timer
        end
        socket:send(tostring(timers[2]:cancel()) .. tostring(timers[2]:cancel()) .. "\n")
        socket:send((moongate.after(60, print) and "room" or "none") .. "\n")
        local ok, message = pcall(moongate.every, 1, print, { once = true })
        socket:send(message .. "\n")
      end } }
    ]], { config = "limits = { timers = 3 }" })
    local client = net.connect(m:port "a")
    for _, wanted in ipairs { "timer", "timer", "timer", "too many timers", "truefalse", "room" } do
      assert.are.equal(wanted, client:receive_line())
    end
    assert.truthy(client:receive_line():find("once = true", 1, true))
    client:receive_all()
    await("outlived", "1")
  end)

  it("raises for what is no timer, with the caller's line", function()
    local m = moongate.start { routes = [[
      return { name = "a", match = { ports = 0 }, action = { handler = function(socket)
        for _, try in ipairs {
          function() moongate.after("soon", print) end,
          function() moongate.after(1) end,
          function() moongate.every(0, print) end,
          function() moongate.every(1, print, { onec = true }) end,
          function() moongate.after(1, print).cancel() end,
        } do
          socket:send(select(2, pcall(try)) .. "\n")
        end
      end } }
    ]] }
    local client = net.connect(m:port "a")
    for line, wanted in ipairs {
      "a duration expected", "a function expected", "a duration of 1ms or more",
      "there is no option 'onec'; there are: once",
      "bad argument self to 'timer:cancel'",
    } do
      local answer = client:receive_line()
      assert.truthy(answer:find(wanted, 1, true), answer)
      assert.truthy(answer:find(("routes.lua:%d: "):format(line + 2), 1, true), answer)
    end
  end)

  it("joins what it spawned: results, errors, the cancelled", function()
    local m = moongate.start { routes = moongate.front [[handler = function(socket)
      local tasks = {
        moongate.spawn(function(a) moongate.sleep(0.05) return a, nil, 3 end, "one"),
        moongate.spawn(function() moongate.sleep(0.01) error "spawned trouble" end),
        moongate.spawn(function() moongate.sleep(60) end),
        moongate.spawn(function() return "early" end),
      }
      local waiting = moongate.spawn(function() return tasks[1]:join() end)
      socket:send(tostring(tasks[3]:cancel()) .. "\n")
      for i = 1, 4 do
        local values = { tasks[i]:join() }
        for n = 1, table.maxn(values) do values[n] = tostring(values[n]) end
        socket:send(table.concat(values, " ") .. "\n")
      end
      socket:send(tostring(waiting:join()) .. " " .. tostring(tasks[1]:join()) .. "\n")
      local myself
      myself = moongate.spawn(function() return pcall(myself.join, myself) end)
      socket:send(select(2, myself:join()) .. "\n")
    end]] }
    local client = net.connect(m:port "front")
    assert.are.equal("true", client:receive_line())
    assert.are.equal("one nil 3", client:receive_line())
    local failed = client:receive_line()
    assert.truthy(failed:find "^nil .*spawned trouble$", failed)
    assert.are.equal("nil cancelled", client:receive_line())
    assert.are.equal("early", client:receive_line())
    assert.are.equal("one one", client:receive_line())
    assert.truthy(client:receive_line():find("can't join itself", 1, true))
  end)

  it("cancels what waits in a join with its connection, in both orders", function()
    local m = moongate.start { routes = moongate.front([[handler = function(socket)
      local forever = moongate.spawn(function() moongate.sleep(600) end)
      moongate.spawn(function() forever:join() end)
      moongate.spawn(function() socket:receive() end)
      socket:send "here\n"
      forever:join()
    end]], nil, 'timeouts = { lifetime = "300ms" }') }
    for _ = 1, 50 do
      assert.are.equal("here", net.connect(m:port "front"):receive_line())
    end
    m:await_idle()
  end)
end)
