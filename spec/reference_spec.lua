-- SPDX-License-Identifier: MIT
--
-- What is generated from the schema is as `./dev docs` would write it, and leaves nothing out.

local annotations = require "scripts.reference.annotations"
local page = require "scripts.reference.page"
local schema = require "moongate.schema"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

-- Not assert.are.equal: nobody wants to read both files.
local function assert_current(path, text)
  assert.is_true(read(path) == text, path .. " is not what the schema says: run ./dev docs")
end

describe("what is generated from the schema", function()
  it("is docs/reference.md as it stands", function()
    assert_current("docs/reference.md", page.write(schema))
  end)

  it("are the annotations of the config and of routes as they stand", function()
    assert_current("lua/moongate/_meta/config.lua", annotations.config(schema))
    assert_current("lua/moongate/_meta/route.lua", annotations.route(schema))
  end)

  it("has a line for each field, with its words", function()
    local text = read "docs/reference.md"
    local function visit(fields, path)
      for name, field in pairs(fields) do
        local whole = path .. name
        assert.truthy(text:find("| `" .. whole .. "` |", 1, true), whole .. " is not in the reference")
        assert.truthy(type(field.doc) == "string" and #field.doc > 2, whole .. " has no doc in the schema")
        visit(field.fields or {}, whole .. ".")
      end
    end
    visit(schema.config.fields, "")
    visit(schema.route.fields, "")
  end)

  it("shows another field, another default, another range", function()
    local function pages(field)
      local config = { type = "table", doc = "", fields = { speed = field } }
      local other = { config = config, route = { type = "table", doc = "", fields = {} } }
      return page.write(other), annotations.config(other)
    end
    local text, classes = pages { type = "integer", default = 7, min = 3, max = 9, doc = "How fast" }
    assert.truthy(text:find("| `speed` | integer, 3 to 9 | `7` | How fast |", 1, true), text)
    assert.truthy(classes:find("---@field speed? integer How fast (7)", 1, true), classes)
    text, classes = pages { type = "unsupported", doc = "How fast" }
    assert.truthy(text:find("**later**, refused: How fast", 1, true), text)
    assert.falsy(classes:find("speed", 1, true), classes)
  end)

  it("goes on when a type has no words yet, and knows which", function()
    local kinds = require "scripts.reference.kinds"
    local fields = { speed = { type = "warp", doc = "How fast" } }
    local text = page.write { config = { fields = fields }, route = { fields = {} } }
    assert.truthy(text:find("| `speed` |  |  | How fast |", 1, true), text)
    assert.is_true(kinds.unknown.warp)
  end)
end)
