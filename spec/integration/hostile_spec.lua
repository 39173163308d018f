-- SPDX-License-Identifier: MIT
--
-- Code that loops, nests or hoards in every way that is known, run in a handler: the process lives, the connection
-- ends, others of the worker wait no longer than limits.script_time allows, and the memory comes back. What could end
-- the process is also run while a file is loaded, by `moongate check`, and in a spec by `moongate test`.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local SCRIPT_TIME = 0.4
local HANGS = 90 -- seconds: what takes so long on any machine
local MOST_LOOPS = 6 -- that one of them spawns, each with a time of its own
local MORE_CPU = moongate.sanitized and 20 or 4 -- what the way out, and garbage, take beyond it
local MEBIBYTE = 1024 * 1024

-- Each connection of "hostile" sends what it wants to be run. The echo is of the same worker.
local HOSTILE = [[
  return { name = "hostile", match = { ports = 0 }, action = { handler = function(socket)
    local code = socket:receive(tonumber((socket:receive())))
    return assert(load(code, "@hostile.lua"))(socket)
  end } }
]]
local ECHO = [[
  return { name = "echo", match = { ports = 0 }, action = { handler = function(socket)
    for line in socket:lines() do socket:send(line .. "\n") end
  end } }
]]

-- Never ends.
local LOOPS = {
  "while true do end",
  "repeat local x = {} until false",
  "for i = 1, math.huge do end",
  "::again:: goto again",
  "local function f() return f() end f()",
  "while true do pcall(function() while true do end end) end",
  "while true do pcall(error) end",
  "while true do xpcall(error, function() while true do end end) end",
  "xpcall(function() while true do end end, function() while true do end end)",
  "while true do coroutine.wrap(function() while true do end end)() end",
  "local function f() while true do pcall(coroutine.wrap(f)) end end f()",
  "for _ in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end",
  "local t = setmetatable({}, { __index = function() while true do end end }) return t.x",
  "local t = setmetatable({}, { __newindex = function() while true do end end }) t.x = 1",
  "local t = setmetatable({}, { __call = function() while true do end end }) t()",
  "local t = setmetatable({}, { __concat = function() while true do end end }) return t .. t",
  "local m = { __eq = function() while true do end end } return setmetatable({}, m) == setmetatable({}, m)",
  "local m = { __lt = function() while true do end end } return setmetatable({}, m) < setmetatable({}, m)",
  "local m = { __le = function() while true do end end } return setmetatable({}, m) <= setmetatable({}, m)",
  "local m = { __lt = function() while true do end end } table.sort({ setmetatable({}, m), setmetatable({}, m) })",
  "local t = setmetatable({}, { __unm = function() while true do end end }) return -t",
  "local t = setmetatable({}, { __tostring = function() while true do end end }) return tostring(t)",
  "print(setmetatable({}, { __tostring = function() while true do end end }))",
  "error(setmetatable({}, { __tostring = function() while true do end end }))",
  "moongate.log.info('x', { field = setmetatable({}, { __tostring = function() while true do end end }) })",
  "tostring(setmetatable({}, { __tostring = tostring }))",
  "print(setmetatable({}, { __tostring = tostring }))",
  "error(setmetatable({}, { __tostring = tostring }))",
  "return ('%s'):format(setmetatable({}, { __tostring = tostring }))",
  "moongate.log.info('x', { field = setmetatable({}, { __tostring = tostring }) })",
  "table.sort({ 3, 2, 1 }, function() while true do end end)",
  "local t = {} for i = 1, 1000 do t[i] = i end while true do pcall(table.sort, t, function() return true end) end",
  "while true do local t = {} for i = 1, 2e5 do t[i] = i % 7 end table.sort(t) end",
  "while true do pcall(table.insert, {}, -2 ^ 30, 1) end",
  "local t = {} for i = 1, 1e6 do t[i] = 0 end while true do table.insert(t, 1, 0) table.remove(t) end",
  "while true do table.move({}, 1, 2 ^ 30, 2) end",
  "while true do table.foreach({ 1 }, function() end) end",
  "local t = {} for i = 1, 1e6 do t[i] = 'x' end while true do table.concat(t) end",
  "local t = {} for i = 1, 5000 do t[i] = i end while true do select('#', unpack(t)) end",
  "local t = {} for i = 1, 1e6 do t[i] = i end for i = 1, 1e6 do t[i] = nil end while true do next(t) end",
  "while true do string.rep('x', 1e7) end",
  "while true do ('x'):rep(1e6):upper():reverse() end",
  "local a, b = ('x'):rep(8e6), ('x'):rep(8e6) .. 'y' while true do local _ = a < b end",
  "local s = ('9'):rep(4e6) while true do local _ = s + 0 end",
  "while true do ('%99.99f'):rep(50):format(unpack({ 1e308, 1e308 })) end",
  "while true do pcall(string.format, '%s%s%s', 1, 2, {}) end",
  "while true do load('return ' .. ('('):rep(150) .. '1' .. (')'):rep(150)) end",
  "local s = ('::l%d:: goto l%d '):rep(3000):gsub('%%d', '1') while true do load(s) end",
  "load(function() while true do end end)",
  "for _ in load('return 1'), nil do load(function() return ' ' end) end",
  "while true do require('moongate.regex') end",
  "while true do pcall(require, 'no.such.module') end",
  "while true do dofile('/dev/null') end",
  "while true do collectgarbage() end",
  "local t = {} for i = 1, 2e5 do t[i] = {} end while true do collectgarbage('step', 1) end",
  "collectgarbage('stop') while true do local _ = ('x'):rep(1e5) .. math.random() end",
  "moongate.regex('.'):gsub('x', function() while true do end end)",
  "while true do moongate.regex('(a+)+$'):test(('a'):rep(25) .. 'b') end",
  "while true do ('x'):rep(1e4):gsub('.', function() end) end",
  "while true do debug.traceback() end",
  "while true do moongate.after(1000, function() end):cancel() end",
  "while true do moongate.shared('hostile'):set('key', 1) end",
  "while true do pcall(moongate.sleep, 'x') end",
  "moongate.spawn(function() while true do end end):join()",
  "for _ = 1, 5 do moongate.spawn(function() while true do end end) end moongate.sleep(0) while true do end",
  "while true do io.open('/dev/null'):close() end",
  "while true do pcall(io.lines, '/no/such/file') end",
  "local f = io.open('/dev/zero') while true do f:read(4096) end",
  "while true do os.date('%c') end",
  "local s = ('('):rep(100) while true do pcall(load, s) end",
}

-- Takes memory, or C's stack, or Lua's, until there is no more; or would run past what LuaJIT looks at.
local CRASHES = {
  "local function f() return 1 + f() end f()",
  "local function f() pcall(f) pcall(f) end f()",
  "local function f() xpcall(f, f) f() end f()",
  "local function f() return coroutine.wrap(f)() end f()",
  "local function f() return select(2, coroutine.resume(coroutine.create(f))) end f()",
  "local function f() xpcall(error, function() coroutine.wrap(f)() end) f() end f()",
  "local function f() table.sort({ 1, 2 }, f) end f()",
  "local function f() coroutine.wrap(function() table.sort({ 1, 2 }, f) end)() end f()",
  "local t = {} t[1], t[2] = t, table.sort table.sort(t, table.sort)",
  "local function f() return (('x'):gsub('.', f)) end f()",
  "local function f() coroutine.wrap(function() return (('x'):gsub('.', f)) end)() end f()",
  "local function f() return (moongate.regex('.'):gsub('x', f)) end f()",
  "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return ('%s'):format(t) end tostring(t)",
  "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() print(t) end print(t)",
  "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() error(t) end error(t)",
  "local t = setmetatable({}, {}) getmetatable(t).__index = function() return t.x end return t.x",
  "local m = {} function m.__lt(t) coroutine.wrap(table.sort)({ t, t }) end local t = setmetatable({}, m) return t < t",
  "local t = setmetatable({}, {}) getmetatable(t).__concat = function() return coroutine.wrap(function() "
    .. "return t .. t end)() end return t .. t",
  "setmetatable({}, { __call = pcall })()",
  "local t = {} for i = 1, 7900 do t[i] = pcall end pcall(unpack(t))",
  "local function f() return pcall(pcall, pcall, pcall, pcall, pcall, pcall, pcall, pcall, pcall, pcall, f) end f()",
  "local function f() load(function() f() end) end f()",
  "local function f(n) local ok = pcall(function() f(n + 1) end) if not ok then pcall(f, n) end end f(1)",
  "local t = setmetatable({}, { __index = moongate.connect }) moongate.connect(t)",
  "local t = {} while true do t = { t } end",
  "local t = {} while true do t[#t + 1] = #t end",
  "local s = 'x' while true do s = s .. s end",
  "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
  "while true do string.rep('x', 2 ^ 31 - 1) end",
  "require('table.new')(2 ^ 26, 2 ^ 26)",
  "io.open('/dev/zero'):read('*a')",
  "for _ in io.lines('/dev/zero') do end",
  "io.stdout.__index.__gc = function() while true do end end",
  "debug.getinfo(1, 'f').func() debug.getinfo(1, 'f').func()",
  "load('x = ' .. ('{'):rep(1000))()",
  "load(('local x = function() '):rep(250) .. ('end '):rep(250))()",
  "while true do moongate.spawn(function() moongate.sleep(1000) end) end",
  "while true do moongate.after(1000, function() end) end",
}

describe("hostile code", function()
  after_each(moongate.finish)

  -- Runs it in a handler; how long the connection took to end, and for how much of the process's work the other has
  -- waited at most: on a busy machine time says nothing of it.
  local function run(m, code, other)
    local client = net.connect(m:port "hostile")
    client:send(("%d\n%s"):format(#code, code))
    local began, longest = process.now(), 0
    repeat
      local before = m.process:cpu()
      other:send "ping\n"
      assert(other:receive_line(HANGS) == "ping", code .. "\nthe other's connection has ended:\n" .. m:log():sub(-2000))
      longest = math.max(longest, m.process:cpu() - before)
      local _, how = client:receive(1, 0.001)
    until how ~= "timeout" or process.now() - began > HANGS
    client:close()
    return process.now() - began, longest
  end

  local function expect_bounded(list)
    local m = moongate.start {
      config = ('limits = { script_time = "%dms", script_memory = "64m" }'):format(SCRIPT_TIME * 1000),
      routes = { ["echo.lua"] = ECHO, ["hostile.lua"] = HOSTILE },
    }
    local other, worst = net.connect(m:port "echo"), 0
    run(m, CRASHES[1], other)
    for _, code in ipairs(list) do
      local before = m.process:cpu()
      local took, longest = run(m, code, other)
      worst = math.max(worst, longest)
      assert(m.process:alive(), code .. "\nhas ended the process:\n" .. m:log():sub(-2000))
      local cpu = m.process:cpu() - before
      assert.truthy(cpu < MOST_LOOPS * SCRIPT_TIME + MORE_CPU, ("%s\ntook %.2f s of a core"):format(code, cpu))
      assert.truthy(longest < 2 * SCRIPT_TIME + MORE_CPU, ("%s\nothers waited for %.2f s of it"):format(code, longest))
      assert.truthy(took < HANGS, ("%s\nlasted %.2f s"):format(code, took))
    end
    other:close()
    print(("    %d of a kind: longest wait %4.0f ms"):format(#list, worst * 1000))
    return m
  end

  it("that loops is stopped", function()
    local m = expect_bounded(LOOPS)
    m:await_idle()
  end)

  it("that takes all there is ends in an error, and gives it back", function()
    local m = expect_bounded(CRASHES)
    m:await_idle()
    m:write("hostile.lua", ECHO:gsub("echo", "calm")) -- its state goes
    m:await_well "hostile.lua"
    local most = (moongate.sanitized and 400 or 60) * MEBIBYTE
    process.wait_for(function()
      return m:rss() < most
    end, 10, "the memory to come back")
  end)

  it("is a fault of its file for moongate check", function()
    local routes = {}
    for i, code in ipairs(CRASHES) do
      routes[("f%02d.lua"):format(i)] = "moongate.sleep = nil\n" .. code
    end
    local space = moongate.workspace {
      config = 'limits = { script_time = "400ms", script_memory = "64m" }',
      routes = routes,
    }
    local answer = moongate.command({ "check", moongate.files_of(space) }, { seconds = 120 })
    assert.are.equal(1, answer.status, answer.out .. answer.err)
  end)

  it("in coroutines within each other is an error in a spec, too", function()
    local directory = process.directory()
    assert(require("lfs").mkdir(directory .. "/spec"))
    process.write(
      directory .. "/spec/a_spec.lua",
      [[
      it("nests", function()
        local function f() return coroutine.wrap(f)() end
        assert.has_error(f)
        local function g() return select(2, coroutine.resume(coroutine.create(g))) end
        assert.matches("stack overflow", g())
        local function h() return (("x"):gsub(".", h)) end
        assert.has_error(h)
      end)
    ]]
    )
    local answer = process.run({ moongate.binary, "test" }, { cwd = directory, seconds = 60 })
    assert.are.equal(0, answer.status, answer.out .. answer.err)
  end)
end)
