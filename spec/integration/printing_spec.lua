-- SPDX-License-Identifier: MIT
--
-- print and io.write of scripts are ours, and behave as Lua's do.

local moongate = require "spec.support.moongate"
local process = require "spec.support.process"

local ROUTES = [[
print()
print(1, nil, true, "a\0b", setmetatable({}, { __tostring = function() return "named" end }))
print(pcall(print, setmetatable({}, { __tostring = function() return {} end })))
print(setmetatable({}, { __tostring = function() return 0.5 end }))
print(io.write("x", 1, 0.5, "\n"), io.stdout:write("y\n"))
print(pcall(function() io.write("x", {}) end))
print(pcall(function() io.stdout:write(nil) end))
print(pcall(io.stdout.write, "no file", "x"))
local path = "@PATH@"
io.output(path)
io.write("to a file ", 2, "\n")
print "still here"
io.output():write("and more\n")
io.close()
io.output(io.stdout)
io.write("back\n")
local tostring_of_lua = tostring
function tostring(value) return "<" .. tostring_of_lua(value) .. ">" end
print(3)
return {}
]]

describe("what scripts print", function()
  after_each(moongate.finish)

  it("is written as Lua does", function()
    local path = process.directory() .. "/file"
    local m = moongate.start { routes = (ROUTES:gsub("@PATH@", path)) }
    local expected = {
      "",
      "1\tnil\ttrue\ta\0b\tnamed",
      "false\t'tostring' must return a string to 'print'",
      "0.5",
      "x10.5",
      "y",
      "true\ttrue",
      "false\troutes/routes.lua:6: bad argument #2 to 'write' (string expected, got table)",
      "false\troutes/routes.lua:7: bad argument #1 to 'write' (string expected, got nil)",
      "false\tbad argument #1 to '?' (FILE* expected, got string)",
      "still here",
      "back",
      "<3>",
      "",
    }
    local text = m.process:out():gsub("[^\t\n]*/routes/routes%.lua", "routes/routes.lua")
    assert.are.equal(table.concat(expected, "\n"), text)
    assert.are.equal("to a file 2\nand more\n", process.read(path))
  end)
end)
