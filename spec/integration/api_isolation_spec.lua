-- SPDX-License-Identifier: MIT
--
-- What a route file can't reach, and that what it changes is its own.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("a route file", function()
  after_each(moongate.finish)

  local SHELL = [[
    %s
    return { name = %q, match = { ports = 0 }, action = { handler = function(socket)
      for line in socket:lines() do
        local function show(...)
          local texts = {}
          for i = 2, select("#", ...) do texts[i - 1] = tostring((select(i, ...))) end
          return table.concat(texts, " ")
        end
        socket:send((show(pcall(assert(load("return " .. line)))):gsub("\n.*", "")) .. "\n")
      end
    end } }
  ]]

  local ask = net.ask

  it("changes no globals and no tables of the library for others", function()
    local m = moongate.start {
      routes = {
        ["a.lua"] = SHELL:format([[
          mine = "a's"
          string.upper = function() return "broken" end
          table.concat_again, getmetatable("").__index.reverse = 1, function() return "broken" end
          moongate.now, moongate.log.info, moongate.handlers.echo = nil, nil, nil
          _G.pairs = nil
        ]], "a"),
        ["b.lua"] = SHELL:format("", "b"),
      },
    }
    local a, b = net.connect(m:port "a"), net.connect(m:port "b")
    assert.are.equal("a's broken nil nil", ask(a, "mine, ('x'):upper(), moongate.now, pairs"))
    assert.are.equal("nil X xy", ask(b, "mine, ('x'):upper(), ('yx'):reverse()"))
    assert.are.equal("function function function function", ask(b,
      "type(moongate.now), type(moongate.log.info), type(moongate.handlers.echo), type(pairs)"))
    assert.are.equal("broken", ask(a, "moongate.regex('.'):gsub('x', 'y') and ('x'):upper()"))
    assert.are.equal(200, (m:get "/metrics"))
  end)

  it("finds out of reach what would end, block or break the process", function()
    local m = moongate.start { routes = SHELL:format("", "shell") }
    local client = net.connect(m:port "shell")
    for line, wanted in pairs {
      ["os.exit(1)"] = "os.exit is not available",
      ["os.execute('true')"] = "os.execute is not available",
      ["os.setlocale('C')"] = "not available",
      ["io.popen('true')"] = "io.popen is not available",
      ["string.dump(print)"] = "string.dump is not available",
      ["require 'ffi'"] = "not available",
      ["require 'jit'"] = "not available",
      ["require 'string.buffer'"] = "not available",
      ["load('\\27LJ')"] = "nil",
      ["loadstring('\\27LJ')"] = "nil",
      ["newproxy"] = "nil",
      ["jit"] = "nil",
      ["package.loadlib"] = "nil",
      ["debug.getregistry"] = "nil",
      ["debug.sethook"] = "nil",
      ["debug.getupvalue"] = "nil",
      ["debug.setmetatable"] = "nil",
      ["debug.getlocal"] = "nil",
      ["require 'moongate.pcre'.compile"] = "function", -- memory-safe: it only takes what it has made itself
      ["moongate.regex('a').code"] = "nil",
      ["getmetatable(moongate.shared 'x')"] = "moongate.shared",
      ["getmetatable(moongate.regex 'x')"] = "moongate.regex",
      ["pcall(setmetatable, moongate.shared 'x', {})"] = "false",
      ["pcall(setmetatable, moongate.regex 'x', {})"] = "false",
    } do
      local answer = ask(client, line)
      assert.truthy(answer and answer:find(wanted, 1, true), line .. ": " .. tostring(answer))
    end
    assert.are.equal("2", ask(client, "1 + 1"))
  end)

  it("gets no C function from the stack that the sandbox stands in front of", function()
    local m = moongate.start { routes = SHELL:format([[
      function found_by(fn, ...)
        local seen = {}
        xpcall(fn, function()
          for level = 0, 5 do
            local info = debug.getinfo(level, "f")
            seen[#seen + 1] = info and info.func
          end
        end, ...)
        for _, one in pairs(seen) do
          if debug.getinfo(one, "S").what == "C" then return "a C function" end
        end
        return #seen > 0 and "none" or "nothing"
      end
      function lines() return debug.getinfo(1, "l").currentline, debug.getinfo(lines, "S").linedefined end
      threads = coroutine.create(function() coroutine.yield() end)
      coroutine.resume(threads)
    ]], "shell") }
    local client = net.connect(m:port "shell")
    assert.are.equal("none none none", ask(client,
      "found_by(load, {}), found_by(loadstring, {}), found_by(coroutine.resume, 5)"))
    assert.are.equal("14 14", ask(client, "lines()"))
    assert.are.equal("nil true", ask(client,
      "debug.getinfo(threads, 0, 'f').func, debug.getinfo(print, 'f').func == print"))
  end)

  it("passes what is not theirs to methods in vain", function()
    local m = moongate.start { routes = SHELL:format([[
      s, r = moongate.shared "x", moongate.regex "x"
      c = moongate.metrics.counter "c"
      t = moongate.after(1000, function() end)
      pcre = require "moongate.pcre"
    ]], "shell") }
    local client = net.connect(m:port "shell")
    for _, line in ipairs {
      "s.get(io.stdout, 'k')", "s.get(c, 'k')", "s.get(nil, 'k')", "r.test(io.stdout, 'x')", "c.inc(s)", "c.inc(t)",
      "t.cancel(s)", "t.cancel(io.stdout)", "pcre.exec(s, 'x', 0)", "pcre.exec(nil, 'x', 0)", "pcre.names({})",
      "pcre.exec(io.stdout, 'x', 0)", "pcre.exec(t, 'x', 0/0)",
    } do
      local answer = ask(client, line)
      assert.truthy(answer and answer:find("bad argument", 1, true), line .. ": " .. tostring(answer))
    end
  end)

  it("may call the parts of the HTTP server in any order", function()
    local m = moongate.start { routes = [[
      local parsers = require "moongate.http_parser"
      local function handler(socket)
        local parser = parsers.new()
        local lines = { [200] = "HTTP/1.1 200 OK\r\n" }
        local receive, take, answer, tell = parsers.exchange(parser, socket, lines, true, true)
        local before = { pcall(take) }
        tell()
        local unasked = answer { status = 200 }
        receive()
        take()
        local again = { pcall(take) }
        receive()
        local late = answer { status = 200 }
        socket:send(("%s %s %s %s"):format(before[2], unasked, again[2], late))
      end
      return { name = "front", match = { ports = 0 }, action = { handler = handler } }
    ]] }
    local client = net.connect(m:port "front")
    client:send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /" .. ("x"):rep(5000))
    client:shutdown()
    local whole = "take: no request has come whole"
    assert.are.equal(("%s false %s false"):format(whole, whole), (client:receive_all()))
  end)
end)
