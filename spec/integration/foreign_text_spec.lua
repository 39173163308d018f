-- SPDX-License-Identifier: MIT
--
-- What others have chosen (names of files, unknown keys, the text of errors, what stands on the command line) goes to
-- no terminal as it is: it can't move the cursor, colour, ring, turn the order of letters, or begin a line.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local NASTY = "\27[2J\27]0;x\7\194\155\49m\226\128\174\127\rX\nFORGED: all is well\n"
local LUA = ("%q"):format(NASTY):gsub("\\\n", "\\n"):gsub("\r", "\\r")

-- All but the newline: of ASCII, of C1, separators and marks of direction, and bytes that are no UTF-8.
local function control_in(text)
  local plain = text:gsub("\n", "")
  for _, pattern in ipairs { "[%c\127]", "\194[\128-\159]", "\226\128[\168-\174]", "\226\129[\166-\169]" } do
    if plain:find(pattern) then
      return ("%q"):format(plain:match(("%s.?.?.?.?"):format(pattern)))
    end
  end
end

local function assert_harmless(answer, what)
  for _, text in ipairs { answer.out, answer.err } do
    assert.is_nil(control_in(text), what .. ": " .. text)
    assert.is_nil(("\n" .. text):find("\nFORGED", 1, true), what .. " lets a line begin:\n" .. text)
  end
end

local GOOD = ([[return {
  { name = "odd", description = %s, match = { ports = 0, when = function() error(%s) end },
    action = { target = "127.0.0.1:1" } },
  { name = "plain", match = { ports = 0 }, action = { handler = function(s) s:receive "*a" end } },
}]]):format(LUA, LUA)

local BAD = {
  ("return { [%s] = 1 }"):format(LUA),
  ("return { name = %s, match = { ports = 0, [%s] = 1 }, action = { target = %s } }"):format(LUA, LUA, LUA),
  ("error(%s)"):format(LUA),
  ("error(setmetatable({}, { __tostring = function() return %s end }))"):format(LUA),
  ("require(%s)"):format(LUA),
  ("return { name = 'x', match = { ports = 0, domains = %s }, action = { target = 'a:1' } }"):format(LUA),
  "return { [\27[2J] }",
  ("local x = %s; x.y.z = 1"):format(LUA),
}

describe("text that others have chosen", function()
  local m, space

  before_each(function()
    space = moongate.workspace { routes = { ["good.lua"] = GOOD } }
    for i, text in ipairs(BAD) do
      process.write(("%s/routes/%d%s.lua"):format(space.directory, i, NASTY), text)
    end
  end)

  after_each(moongate.finish)

  it("is shown harmlessly by check, and in its JSON", function()
    for _, more in ipairs { {}, { "--json" } } do
      local words = { "check", moongate.files_of(space) }
      words[#words + 1] = more[1]
      local answer = moongate.command(words)
      assert.are.equal(1, answer.status)
      assert.truthy(answer.out:find("all is well", 1, true), answer.out) -- it was told
      assert_harmless(answer, "check " .. (more[1] or ""))
    end
    for _, text in ipairs {
      ("return { [%s] = 1 }"):format(LUA),
      ("error(%s)"):format(LUA),
      ("return { admin = { listen = %s } }"):format(LUA),
    } do
      local path = process.write(("%s/%sconfig.lua"):format(space.directory, NASTY), text)
      for _, verb in ipairs { "check", "run" } do
        local answer = moongate.command { verb, "--config", path, "--routes", space.directory .. "/routes" }
        assert.are.equal(1, answer.status)
        assert_harmless(answer, verb .. " --config")
      end
    end
  end)

  it("is shown harmlessly by every command that asks, and by a start that is refused", function()
    m = moongate.start { space = space }
    local one = assert(net.connect(m:port "plain"))
    process.wait_for(function()
      return m:live_connections().total == 1
    end)
    for _, words in ipairs {
      { "status" }, { "routes" }, { "routes", NASTY }, { "routes", "odd" }, { "conns" }, { "conns", "--stuck" },
      { "conns", "--route", NASTY }, { "conns", "--target", NASTY }, { "explain", NASTY },
      { "explain", "http://" .. NASTY }, { "explain", "--domain", NASTY, "1" }, { "diagnose" }, { "reload" },
      { "explain", tostring(m:port "plain") }, { "explain", tostring(m:port "odd") }, { NASTY },
      { "run", NASTY }, { "status", "--" .. NASTY }, { "run", "--workers", NASTY }, { "conns", "--limit", NASTY },
      { "check", "--config", NASTY }, { "check", "--routes", NASTY }, { "test", "--timeout", NASTY },
      { "help", NASTY }, { "drain", NASTY },
    } do
      local argv = { "--control", m.control, unpack(words) }
      if words[1] == "test" then
        argv = words
      end
      assert_harmless(moongate.command(argv), table.concat(words, " "))
      if words[1] == "status" or words[1] == "routes" or words[1] == "conns" or words[1] == "diagnose" then
        argv[#argv + 1] = "--json"
        assert_harmless(moongate.command(argv), table.concat(words, " ") .. " --json")
      end
    end
    one:close()
    local refused = moongate.command { "run", "--strict", moongate.files_of(space) }
    assert.are.equal(1, refused.status)
    assert_harmless(refused, "run --strict")
    assert_harmless({ out = m:log(), err = "" }, "the log")
  end)

  it("passes for nothing of the log's own in a field, in either format", function()
    for format, pattern in pairs { json = '"([%w_]+)":', logfmt = "([%w_]+)=" } do
      local handled = moongate.start {
        config = ("log = { format = %q }"):format(format),
        routes = moongate.front [[handler = function()
          moongate.log.warn("real", { time = "never", level = "info", msg = "forged", field_time = 1, ["a b"] = 2,
            a_b = 3, [("k"):rep(40)] = 4, [("k"):rep(41)] = 5 })
        end]],
      }
      assert(net.connect(handled:port "front")):receive_all()
      local line = handled:await_log "[^\n]*real[^\n]*"
      local seen = {}
      for key in line:gmatch(pattern) do
        assert.is_nil(seen[key], key .. " stands twice in " .. line)
        seen[key] = true
      end
      assert.is_nil(line:find('[ ,{]"?msg"?[=:]"?forged'), line)
      assert.truthy(line:find "field_level", line)
      assert.truthy(line:find('[ ,{]"?level"?[=:]"?warn'), line)
    end
  end)
end)
