-- SPDX-License-Identifier: MIT
--
-- What others have chosen (names of files, unknown keys, the text of errors, what stands on the command line) goes to
-- no terminal as it is: it can't move the cursor, colour, ring, turn the order of letters, or begin a line.

local cjson = require "cjson"
local hellos = require "spec.support.hellos"
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

  -- Version 2, with an authority and a TLV of somebody's own.
  local function proxied(text)
    local function tlv(kind)
      return string.char(kind, 0, #text) .. text
    end
    local body = "\192\0\2\7\198\51\100\1\39\16\1\187" .. tlv(2) .. tlv(0xEA)
    return "\r\n\r\n\0\r\nQUIT\n\33\17" .. string.char(0, #body) .. body
  end

  it("forges no line of the log from what a client sends: PROXY headers, names in hellos, lines", function()
    local forging = 'x" level=error msg="FORGED\27[2J\194\155\r\n'
      .. 'time=2026-01-01T00:00:00Z level=error\n{"level":"error"}'
    for _, format in ipairs { "json", "logfmt" } do
      local talking = moongate.start {
        admin = true,
        config = ('log = { format = %q, level = "debug", access = true },'):format(format)
          .. 'proxy_protocol = { trusted = { "127.0.0.1" } },',
        routes = [[return {
          { name = "front", match = { ports = 0 }, action = { handler = function(s, context)
            local tlvs = context.proxy and context.proxy.tlvs or {}
            moongate.log.warn("said", { said = s:receive "*a", authority = tlvs[2], own = tlvs[0xEA] })
            error(tlvs[2])
          end } },
          { name = "tls", match = { ports = 0, domains = "*.example" },
            action = { target = "127.0.0.1:1", tls = { mode = "passthrough" } } },
        }]],
      }
      local function say(port, bytes)
        local client = assert(net.connect(port))
        client:send(bytes)
        client:shutdown()
        client:receive_all()
        client:close()
      end
      say(talking:port "front", proxied(forging) .. forging)
      say(talking:port "front", "PROXY TCP4 " .. forging .. "\r\n")
      for _, name in ipairs { forging, "a.example\n", 'a" level=error.example', "\27[31m.example", "a.example" } do
        say(talking:port "tls", hellos.make(name))
      end
      for _, line in ipairs {
        "GET /" .. forging .. " HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /%0alevel=error HTTP/1.1\r\nHost: " .. forging .. "\r\n\r\n",
        'GET /api/v1/status HTTP/1.1\r\nHost: "level=error"\r\n\r\n',
      } do
        say(talking.admin, line)
      end
      talking:await_log "said"
      talking:await_log "a%.example[^\n]*"
      assert.truthy(select(2, talking:log():gsub("FORGED", "")) >= 2, talking:log()) -- it has come that far
      for line in talking:log():gmatch "[^\n]+" do
        assert.is_nil(line:find "[%c\127-\255]", line)
        local ours
        if format == "json" then
          ours = cjson.decode(line)
        else
          ours = { time = line:match "^time=(%d%S+) level=%a+ msg=\"", level = line:match "^time=%S+ level=(%a+)" }
          local unquoted = line:gsub('\\.', ""):gsub('"[^"]*"', "")
          assert.are.equal(1, select(2, unquoted:gsub("level=", "")), line)
          assert.is_nil(unquoted:find '"', line)
        end
        assert.truthy(ours.time and ours.time:find "^20%d%d%-", line)
        assert.is_nil(ours.time:find("2026-01-01T00:00:00Z", 1, true), line)
      end
    end
  end)
end)
