-- SPDX-License-Identifier: MIT
--
-- testing.load: the routes of a file, for specs of their functions. Run by moongate test.

local testing = require "moongate.testing"

describe("testing.load", function()
  local path

  local function write(text)
    path = os.tmpname() .. ".lua"
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    return path
  end

  after_each(function()
    os.remove(path)
    os.remove((path:gsub("%.lua$", "")))
  end)

  it("gives the routes as a list, and by their names", function()
    local routes = testing.load(write([[
      return {
        { name = "one", match = { ports = 80 }, action = { target = function() return "h", 1 end } },
        { match = { ports = 81 }, action = { target = "127.0.0.1:1" } },
      }
    ]]))
    assert.equal(2, #routes)
    assert.same({ "h", 1 }, { routes.one.action.target() })
    assert.equal(routes[2], routes[path:match "[^/]+$" .. "#2"])
  end)

  it("takes a file that makes timers while it is loaded, in one worker or in each", function()
    local routes = testing.load(write([[
      local ticks = 0
      for _, options in ipairs { { once = true }, {} } do
        moongate.every("1m", function() ticks = ticks + 1 end, options)
      end
      return { name = "ticks", match = { ports = 80 }, action = { handler = function() return ticks end } }
    ]]))
    testing.clock.advance(61)
    assert.equal(2, testing.call(routes.ticks):wait())
  end)

  it("says what is wrong with the file, as moongate check would", function()
    local fine, message = pcall(testing.load, write("return {\n  name = 'x',\n  match = { prots = 80 },\n}\n"))
    assert.is_false(fine)
    assert.matches(path .. ":3: route \"x\": match.prots", message, 1, true)
  end)

  it("says where the file does not compile", function()
    local fine, message = pcall(testing.load, write("return {\n  name = = 1\n}\n"))
    assert.is_false(fine)
    assert.matches(":2:", message, 1, true)
  end)
end)
