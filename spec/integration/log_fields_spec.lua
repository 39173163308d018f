-- SPDX-License-Identifier: MIT
--
-- What a script says beside a message of moongate.log, and what the log says of files and the config that are mended.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local process = require "spec.support.process"

local LOGS = [[
local log = moongate.log
local deep = { 1 }
for _ = 1, 10 do
  deep = { deep }
end
local cycle = {}
cycle.cycle = cycle
log.info("told", {
  zebra = "z", apple = 1, mango = true,
  tags = { "a", "b\nc", 3 }, whole = { size = 1e15 + 1, name = "x y", [1.5] = 0, none = {} },
  own = setmetatable({ 1 }, { __tostring = function() return "by itself" end }),
  deep = deep, cycle = cycle, large = { ("x"):rep(3000) }, ratio = 0.5, count = 2 ^ 53,
})
return { name = "front", match = { ports = 0 }, action = { target = "127.0.0.1:1" } }
]]

local function line_of(format)
  local m = moongate.start { config = ("log = { format = %q },"):format(format), routes = LOGS }
  for line in m:log():gmatch "[^\n]+" do
    if line:find("told", 1, true) then
      return line
    end
  end
end

describe("the fields of a script's line", function()
  after_each(moongate.finish)

  it("stand in the order of their names, and tables are written as what is in them", function()
    local line = assert(line_of "logfmt")
    local order = {}
    for name in (" " .. line:gsub("\\.", ""):gsub('"[^"]*"', '""')):gmatch " ([%l_]+)=" do
      order[#order + 1] = name
    end
    assert.are.equal(
      "time level msg apple count cycle deep large mango own ratio tags whole zebra",
      table.concat(order, " ")
    )
    for _, part in ipairs {
      " apple=1 ", " count=9007199254740992 ", " mango=true ", ' own="by itself" ', " ratio=0.5 ",
      [[ tags="[\"a\",\"b\\u000ac\",3]" ]], [[ whole="{\"name\":\"x y\",\"none\":{},\"size\":1000000000000001}" ]],
    } do
      assert.truthy(line:find(part, 1, true), part .. line)
    end
    assert.truthy(line:find("…", 1, true) and #line < 8192)
  end)

  it("are values in JSON", function()
    local line = line_of "json"
    local fields = cjson.decode(line)
    assert.are.same({ "a", "b\nc", 3 }, fields.tags)
    assert.are.same({ name = "x y", none = {}, size = 1e15 + 1 }, fields.whole)
    assert.are.same({ 1, true, "z", "by itself" }, { fields.apple, fields.mango, fields.zebra, fields.own })
    assert.are.same({ { { { "…" } } } }, fields.deep)
    assert.are.equal("string", type(fields.large))
  end)
end)

describe("what is mended", function()
  after_each(moongate.finish)

  it("is told, of a route file and of the config", function()
    local good = moongate.front(1)
    local m = moongate.start { routes = { ["a.lua"] = good, ["b.lua"] = good:gsub("front", "back") } }
    m:write("b.lua", "return {")
    m:await_fault("b.lua", "b.lua")
    assert.is_nil(m:log():find("well again", 1, true))
    m:write("b.lua", (good:gsub("front", "back")) .. "-- mended")
    m:await_well "b.lua"
    m:await_log 'level=info msg="a route file is well again" file=b%.lua version=%d+ routes=1'
    assert.is_nil(m:log():find("well again\" file=a.lua", 1, true))
  end)

  it("stays in status, findings and metrics until it is: a faulty config, and what waits for a start", function()
    local m = moongate.start { routes = moongate.front(1) }
    local text = process.read(m.config_path)
    local function status()
      return (moongate.command({ "status", "--control", m.control }).out:gsub("%s+", " "))
    end
    local function findings()
      return (moongate.command({ "diagnose", "--control", m.control }).out:gsub("%s+", " "))
    end
    assert.are.same({ 0, 0 }, { m:metric "config_faults", m:metric "restart_needed_settings" })
    process.write(m.config_path, (text:gsub("workers = 1", "workers = 2")))
    assert.are.equal(200, (m:request("POST", "/api/v1/reload")))
    assert.truthy(status():find("a restart is needed: workers", 1, true), status())
    assert.truthy(findings():find("a restart is needed for what the config says: workers", 1, true), findings())
    process.write(m.config_path, (text:gsub("workers = 1", "wrokers = 2")))
    assert.are.equal(422, (m:request("POST", "/api/v1/reload")))
    m:write("c.lua", moongate.front(1):gsub("front", "third") .. "") -- a round that does not read the config
    m:await_generation(2)
    assert.are.same({ 1, 1 }, { m:metric "config_faults", m:metric "restart_needed_settings" })
    assert.truthy(status():find("moongate.lua:2: wrokers: ", 1, true), status())
    assert.truthy(status():find("1 fault: it is as it was before", 1, true), status())
    assert.truthy(findings():find("the config has 1 fault", 1, true), findings())
    assert.are.equal("wrokers", m:status().config_faults[1].field)
    process.write(m.config_path, text)
    assert.are.equal(200, (m:request("POST", "/api/v1/reload")))
    m:await_log 'level=info msg="the config is well again"'
    assert.are.same({ 0, 0 }, { m:metric "config_faults", m:metric "restart_needed_settings" })
    assert.is_nil(status():find("fault", 1, true) or status():find("restart", 1, true))
    assert.are.same({}, m:status().restart_needed)
  end)
end)
