-- SPDX-License-Identifier: MIT

local json = require "moongate.json"

-- A counter that no number holds, as native has it.
local beyond = setmetatable({ digits = "18446744073709551615" }, {
  is_counter = true,
  __tostring = function(counter)
    return counter.digits
  end,
})

describe("json", function()
  it("writes counters to the last digit, those too that no number holds", function()
    assert.are.equal('{"a":18446744073709551615,"b":[9007199254740992]}', json.encode { a = beyond, b = { 2 ^ 53 } })
  end)

  it("writes numbers to their last digit", function()
    assert.equal("9007199254740992", json.encode(2 ^ 53))
    assert.equal("1125899906842625", json.encode(2 ^ 50 + 1))
    assert.equal("-5", json.encode(-5))
    assert.equal("0.5", json.encode(0.5))
    assert.equal("null", json.encode(0 / 0))
    assert.equal("null", json.encode(math.huge))
  end)

  it("escapes strings and keeps them UTF-8", function()
    assert.equal([["a\"b\\c\n\u0001/\u007f"]], json.encode "a\"b\\c\n\1/\127")
    assert.equal('"caf\239\191\189 \195\169"', json.encode "caf\233 \195\169")
  end)

  it("tells empty lists from empty objects, and sorts keys", function()
    assert.equal('{"a":[],"b":{},"c":[1,true,false]}', json.encode { c = { 1, true, false }, b = {}, a = json.list {} })
    assert.equal("[]", json.encode(json.list()))
  end)

  it("raises for what has no JSON", function()
    assert.has_error(function()
      json.encode { print }
    end, "json: there is no JSON for a function")
    assert.has_error(function()
      json.encode { [2] = "x" }
    end, "json: a key of an object is number, not a string")
    local circle = {}
    circle[1] = circle
    assert.has_error(function()
      json.encode(circle)
    end, "json: nested too deeply")
  end)

  it("reads back what it wrote, and says what is wrong with other text", function()
    local value = { a = { 1, 2, { b = "c\n" } }, d = true }
    assert.same(value, json.decode(json.encode(value)))
    local nothing, message = json.decode "{"
    assert.is_nil(nothing)
    assert.is_string(message)
  end)
end)
